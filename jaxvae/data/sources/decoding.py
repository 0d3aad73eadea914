"""How does a file become an image? Pillow reads it; whatever it raises is the file's error, by name."""

import io
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt16
from PIL import ExifTags, Image, ImageFile

from jaxvae.config import Data
from jaxvae.data.dataset import Picture, UnreadableError
from jaxvae.data.image_grid import is_marked
from jaxvae.data.sources.resizing import adjust_image
from jaxvae.errors import UserError

SCALED = "of 16 bits scaled to 8"
FRAMES = "of several frames, of which the first is read"

_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each orientation in which a camera was held (EXIF 2.32, tag 0x0112)."""


def import_formats() -> None:
    """Imports what Pillow reads each format with, which it would else do when the first file of one comes:
    on a thread, if threads decode."""
    Image.init()


def decode(content: bytes, name: str, data: Data) -> Picture:
    """The image in a file, in the wanted size and colours.

    Raises UnreadableError with its ``name`` if there is none, and UserError if it needs an option that is
    not set.
    """
    reason = impostor(content)
    if reason is not None:
        raise UnreadableError(name, reason)
    if is_marked(content):
        raise UserError(f"{name} is a picture that jaxvae made: move it to where no images are read from")
    image = _open(content, name)
    form, notes = "JPEG" if image.form == "MPO" else image.form, (FRAMES,) * image.has_frames
    if image.is_deep and data.sixteen_bit == "refuse":
        raise UserError(f"{name} has 16 bits a channel: --data.sixteen_bit scale makes 8 of them")
    if image.is_deep:
        notes = (*notes, SCALED)
        # Of the colours in a PPM file, Pillow makes 8 bits as it is done here.
        if image.form != "PPM" or image.image.mode != "RGB":
            pixels = scale(_deep(image.image, content, name))
            image = image._replace(image=Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    picture = adjust_image(image.image, name, data)
    return picture._replace(form=form, notes=(*notes, *picture.notes))


def impostor(content: bytes) -> str | None:
    """What a file is that is often found under the name of images or arrays and holds none; or None."""
    if not content:
        return "is empty"
    if content.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself: git lfs pull fetches that"
    if content[:512].lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith((b"<!doctype html", b"<html")):
        return "is a web page (HTML) under another name"
    return None


def scale(image: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Values of 16 bits as 8: value / 257, rounded, so that 65535 becomes 255."""
    return ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)


class _Opened(NamedTuple):
    image: Image.Image
    """As it is to be seen."""
    form: str | None
    has_frames: bool
    is_deep: bool
    """Whether the file has 16 bits a channel, which the mode of the image does not say: of colours, Pillow
    keeps the upper 8 without a word."""


def _open(content: bytes, name: str, lower: bool = False) -> _Opened:
    """The image in the file; of 16 bits a channel, the ``lower`` 8 if it is asked for them."""
    try:
        image = Image.open(io.BytesIO(content))
        if image.format == "EPS":
            # Pillow would have Ghostscript run it.
            raise ValueError("EPS is a program and no image")
        raw = [_raw_mode(tile) for tile in image.tile]
        if any(";12" in mode for mode in raw) or (image.mode == "I;16" and _white_is_zero(image)):
            raise ValueError("TIFF of 12 bits, or of 16 with 0 for white, is not supported")
        is_deep = image.mode.startswith("I") or any(";16" in mode for mode in raw)
        if lower:
            image.tile = [_lower(tile) for tile in image.tile]
        _mend_transparency(image)
        image.load()
        has_frames = getattr(image, "n_frames", 1) > 1 and image.format != "MPO"
    except Exception as error:
        raise UnreadableError(name, f"cannot be read as an image: {_reason(error)}") from error
    return _Opened(_turn(image, name), image.format, has_frames, is_deep)


def _raw_mode(tile: Any) -> str:
    """How Pillow is about to unpack a part of the file."""
    arguments = tile[3] if isinstance(tile[3], tuple) else (tile[3],)
    if tile[0].startswith("ppm"):
        return ";16" if any(isinstance(a, int) and a > 255 for a in arguments) else ""
    return next((a for a in arguments if isinstance(a, str)), "")


def _lower(tile: Any) -> Any:
    """The same part, unpacked with the bytes of each number the other way round."""
    codec, extents, offset, arguments = tile
    mode = _raw_mode(tile)
    other = mode.replace("16B", "16L") if "16B" in mode else mode.replace("16L", "16B")
    # Gray with opacity can be unpacked in one of both orders.
    if other in (mode, "LA;16L"):
        raise ValueError(
            "16 bits a channel in this form are not supported: store it as RGB in PNG, or with 8"
        )
    arguments = (other, *arguments[1:]) if isinstance(arguments, tuple) else other
    return codec, extents, offset, arguments


def _white_is_zero(image: Image.Image) -> bool:
    return image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0


def _mend_transparency(image: ImageFile.ImageFile) -> None:
    """Gray of 2 or 4 bits is spread over 0 to 255, but Pillow leaves its transparent level as it was."""
    level, tiles = image.info.get("transparency"), image.tile
    if isinstance(level, int) and tiles and tiles[0][3] in ("L;2", "L;4"):
        image.info["transparency"] = level * (85 if tiles[0][3] == "L;2" else 17)


def _turn(image: Image.Image, name: str) -> Image.Image:
    """A camera turns its picture by a note in the file. That alone is read: rewriting the others, as
    ``ImageOps.exif_transpose`` does, fails on many that other programs wrote."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:
        reason = f"has EXIF that cannot be read, so which side is up is not known: {_reason(error)}"
        raise UnreadableError(name, reason) from error
    method = _TURNED.get(orientation) if isinstance(orientation, int) else None
    if method is None:
        return image
    turned = image.transpose(method)
    turned.format = image.format
    return turned


def _reason(error: Exception) -> str:
    if isinstance(error, Image.UnidentifiedImageError):
        return "it is in no format that Pillow knows"
    return f"{type(error).__name__}: {error}".rstrip(": ") if not isinstance(error, OSError) else str(error)


def _deep(image: Image.Image, content: bytes, name: str) -> UInt16[np.ndarray, "height width channel"]:
    """All 16 bits of each channel."""
    pixels = np.asarray(image)
    if pixels.ndim == 3 and "transparency" not in image.info:
        return pixels.astype(np.uint16) * 256 + np.asarray(_open(content, name, lower=True).image)
    if pixels.ndim == 3 or "transparency" in image.info:
        raise UserError(
            f"{name} has 16 bits a channel and a transparent colour: store it with alpha, or 8 bits"
        )
    if pixels.dtype.kind not in "iu" or pixels.min() < 0 or pixels.max() > 65535:
        raise UserError(f"{name} holds numbers that are not of 16 bits, from 0 to 65535")
    return pixels.astype(np.uint16)[..., None]
