"""How does a picture become 8-bit numbers of the wanted size and colours? Pillow does it."""

import io

import numpy as np
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageOps, UnidentifiedImageError

from jaxvae.config import Data
from jaxvae.errors import UserError

_KEPT = {"1": "L", "L": "L", "RGB": "RGB", "P": "RGB"}
"""Modes of Pillow that are gray or RGB of 8 bits, or say the same in fewer."""
_CONVERTED = {*_KEPT, "LA", "PA", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"}
"""Modes of 8 bits that can be made gray or RGB."""


def decode(content: bytes, name: str, data: Data) -> UInt8[np.ndarray, "height width channel"]:
    """The image in a PNG, JPEG or other file; raises UserError with its ``name`` if there is none."""
    try:
        image = Image.open(io.BytesIO(content))
        image.load()
        # A camera turns its picture by a note in the file.
        image = ImageOps.exif_transpose(image)
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{name} cannot be read as an image: {error}") from error
    return _unify(image, name, data)


def adjust(
    image: Shaped[np.ndarray, "height width channel"], name: str, data: Data
) -> UInt8[np.ndarray, "new_height new_width new_channel"]:
    """An array of 0 to 255, or of truth values, in the wanted size and colours."""
    pixels = image.astype(np.uint8) * (255 if image.dtype == np.bool_ else 1)
    if data.image_size is None and data.color == "keep":
        return pixels
    if pixels.shape[2] not in (1, 3):
        raise UserError(
            f"{name} has {pixels.shape[2]} channels: --data.image_size and --data.color need 1 or 3"
        )
    return _unify(Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels), name, data)


def _unify(image: Image.Image, name: str, data: Data) -> UInt8[np.ndarray, "height width channel"]:
    mode = _KEPT.get(image.mode) if data.color == "keep" else {"gray": "L", "rgb": "RGB"}[data.color]
    if image.mode not in _CONVERTED:
        raise UserError(f"{name} is a {image.mode} image: 8 bits a channel are needed")
    if mode is None:
        raise UserError(
            f"{name} is neither gray nor RGB but {image.mode}: --data.color gray or rgb converts every image"
        )
    image = image.convert(mode)
    if data.image_size is not None:
        size = (data.image_size, data.image_size)
        scale = ImageOps.fit if data.resize == "crop" else Image.Image.resize
        image = scale(image, size, Image.Resampling.LANCZOS)
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels
