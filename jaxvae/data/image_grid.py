"""How are images shown? As one PNG with a grid of them."""

import os
from pathlib import Path

import numpy as np
from jaxtyping import Float

from jaxvae.errors import UserError, printable

TILE = 56
"""Smaller images are enlarged by a whole factor to about this many pixels."""
GAP = 2
MARK = ("Software", "jaxvae")
"""A text entry in every PNG that is written here, to distinguish it from the user's own images."""


def write_grid(path: Path, images: Float[np.ndarray, "image height width channel"], columns: int) -> None:
    """Writes images (values in [0, 1]; others are clipped) row by row, ``columns`` a row.

    Of images with two channels the first is shown, of those with more than three the first three.
    """
    # Imported here, because it is needed only when a picture is written.
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    images = images[..., : 1 if images.shape[3] < 3 else 3]
    count, height, width, channel = images.shape
    pixels = np.round(np.clip(images, 0, 1) * 255).astype(np.uint8)
    factor = max(1, TILE // max(height, width))
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    rows = -(-count // columns)
    cell_height, cell_width = height * factor + GAP, width * factor + GAP
    sheet = np.full((rows * cell_height + GAP, columns * cell_width + GAP, channel), 96, np.uint8)
    for number, tile in enumerate(pixels):
        top, left = GAP + number // columns * cell_height, GAP + number % columns * cell_width
        sheet[top : top + height * factor, left : left + width * factor] = tile
    partial = path.with_name(path.name + ".partial")
    mark = PngInfo()
    mark.add_text(*MARK)
    try:
        Image.fromarray(sheet[..., 0] if channel == 1 else sheet).save(partial, format="PNG", pnginfo=mark)
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def refuse_others_file(path: Path) -> None:
    """Raises UserError if a picture at ``path`` would replace anything other than an empty file or a picture
    of ``write_grid``."""
    try:
        if not os.path.lexists(path):
            return
        if path.is_file() and is_ours(path):
            return
    except OSError as error:
        raise UserError(f"--picture {printable(path)} cannot be read ({error.strerror})") from error
    what = "a folder" if path.is_dir() else "there already, and no picture that jaxvae made"
    raise UserError(f"--picture {printable(path)} is {what}: name another file")


def is_ours(path: Path) -> bool:
    """Whether a file is empty or a picture of ``write_grid``. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        head = file.read(256)
    return not head or is_marked(head)


def is_marked(content: bytes) -> bool:
    """Whether ``write_grid`` wrote the PNG file that begins with ``content``; 256 bytes are enough."""
    return "\0".join(MARK).encode() in content[:256]
