"""How is every image given the wanted colours and size, without what alpha hides coming to light?"""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageColor, ImageOps

from jaxvae.config import Data
from jaxvae.data.dataset import Picture
from jaxvae.errors import UserError

_KEPT = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB"}
"""Modes of Pillow that are gray or RGB of 8 bits, or say the same in fewer."""
_CONVERTED = {*_KEPT, "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}
"""Modes of 8 bits that can be made gray or RGB."""


def background(data: Data) -> tuple[int, int, int] | None:
    """The colour that transparent images are laid on; raises UserError if it is none."""
    if data.background is None:
        return None
    try:
        color = ImageColor.getrgb(data.background)
    except (ValueError, AttributeError, TypeError):
        color = ()
    if len(color) != 3 or max(color) > 255:
        raise UserError(
            f"--data.background {data.background} is no colour: a name such as white, or #RRGGBB, is"
        )
    return color


def adjust(pixels: UInt8[np.ndarray, "height width channel"], name: str, data: Data) -> Picture:
    """An array of 8 bits in the wanted size and colours; of four channels, the last is opacity if there is a
    background to lay it on. Raises UserError with its ``name`` if that cannot be done."""
    channels = pixels.shape[2]
    has_alpha = channels == 4 and data.background is not None
    if not has_alpha and data.image_size is None and data.color == "keep":
        return Picture(pixels)
    if not has_alpha and channels not in (1, 3):
        alpha = ", and --data.background lays four on a colour, by the last" * (channels == 4)
        raise UserError(
            f"{name} has {channels} channels: --data.image_size and --data.color need 1 or 3{alpha}"
        )
    return adjust_image(Image.fromarray(pixels[..., 0] if channels == 1 else pixels), name, data)


def adjust_image(image: Image.Image, name: str, data: Data) -> Picture:
    """An image of Pillow in the wanted size and colours.

    Raises UserError with its ``name`` if it is of another kind, or if it is not opaque and there is no
    background to lay it on.
    """
    image, laid = _opaque(image, name, data)
    if image.mode not in _CONVERTED:
        raise UserError(f"{name} is an image of mode {image.mode}: 8 bits a channel are needed")
    mode = _KEPT.get(image.mode) if data.color == "keep" else {"gray": "L", "rgb": "RGB"}[data.color]
    if mode is None:
        raise UserError(
            f"{name} is neither gray nor RGB but {image.mode}: --data.color gray or rgb converts every image"
        )
    image = image.convert(mode)
    if data.image_size is not None:
        size = (data.image_size, data.image_size)
        resize = ImageOps.fit if data.resize == "crop" else Image.Image.resize
        image = resize(image, size, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return Picture(pixels[..., None] if pixels.ndim == 2 else pixels, notes=laid)


def _opaque(image: Image.Image, name: str, data: Data) -> tuple[Image.Image, tuple[str, ...]]:
    """The image without alpha: as it is where every pixel is opaque, else laid on the background,
    (alpha c + (255 - alpha) b) / 255, rounded."""
    if not image.has_transparency_data:
        return image, ()
    gray = image.mode in ("1", "L", "LA", "La")
    both = np.asarray(image.convert("LA" if gray else "RGBA"))
    color, alpha = both[..., :-1], both[..., -1:].astype(np.uint32)
    note = ()
    if alpha.min() < 255:
        behind = background(data)
        if behind is None:
            raise UserError(
                f"{name} is transparent in places: --data.background white, or another colour, is laid "
                "behind such images"
            )
        if gray and len(set(behind)) == 1:
            behind = behind[:1]
        # Twice the sum, so that halves are whole numbers.
        doubled = 2 * (alpha * color + (255 - alpha) * np.array(behind, np.uint32))
        color = ((doubled + 255) // 510).astype(np.uint8)
        note = (f"transparent and laid on {data.background}",)
    color = color[..., 0] if color.shape[2] == 1 else color
    return Image.fromarray(np.ascontiguousarray(color)), note
