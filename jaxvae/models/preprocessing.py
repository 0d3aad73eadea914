"""How does a stored image become what the model sees?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jaxvae.config import Data
from jaxvae.models import noise


def preprocess(
    pixels: UInt8[Array, "height width channel"], key: Key[Array, ""], data: Data
) -> Float[Array, "height width channel"]:
    """One image in the model's space.

    Binarization ``none``: pixel / 255 in [0, 1], or with uniform dequantization (pixel + u) / 256 in
    [0, 1) (Uria et al. 2013, arXiv 1306.0186). ``threshold``: 1 where pixel > 127. ``static`` and
    ``dynamic``: a Bernoulli draw with probability pixel / 255 from ``key``; the two differ only in the
    caller's key.
    """
    if data.dequantization == "uniform":
        return _dequantize(pixels, key)
    if data.binarization == "none":
        return pixels.astype(jnp.float32) / 255
    if data.binarization == "threshold":
        return (pixels > 127).astype(jnp.float32)
    return _bernoulli(pixels, key)


def flip_half(
    x: Float[Array, "height width channel"], key: Key[Array, ""]
) -> Float[Array, "height width channel"]:
    """The image, or with probability 1/2 its mirror image, left for right."""
    return jnp.where(noise.bits(key, 1)[0] >> 31 == 1, x[:, ::-1], x)


def _dequantize(
    pixels: UInt8[Array, "height width channel"], key: Key[Array, ""]
) -> Float[Array, "height width channel"]:
    """``(pixel + r / 2^16) / 256`` with r uniform on 16 bits: exact in float32, and always below 1."""
    words = noise.bits(key, -(-pixels.size // 2))
    r = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[: pixels.size]
    levels = pixels.reshape(-1).astype(jnp.float32)
    x = (levels + r.astype(jnp.float32) / 65536) / 256
    return x.reshape(pixels.shape)


def _bernoulli(
    pixels: UInt8[Array, "height width channel"], key: Key[Array, ""]
) -> Float[Array, "height width channel"]:
    """1 with probability pixel / 255, exactly, from 8 random bits a pixel.

    With r uniform on 0..255 and d on 0..254, ``(255 r + d) / 65280`` is uniform on 65280 equal steps, and
    ``pixel / 255`` of them are below ``256 pixel``: those with r < pixel, and r = pixel if d < pixel. Each
    pixel has its own r; the image's pixels share d, which moves each one's probability, given d, by less
    than 1/256. Random bits are a tenth of a step on a CPU: this takes a quarter of what a draw of floats
    does, and bytes are compared four times as fast as whole numbers.
    """
    words = noise.bits(key, -(-pixels.size // 4) + 1)
    r = jax.lax.bitcast_convert_type(words[1:], jnp.uint8).reshape(-1)[: pixels.size]
    d = (words[0] % 255).astype(jnp.uint8)
    flat = pixels.reshape(-1)
    ones = (r < flat) | ((r == flat) & (d < flat))
    return ones.astype(jnp.float32).reshape(pixels.shape)
