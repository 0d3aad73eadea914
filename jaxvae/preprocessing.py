"""How does a stored image become what the model sees?"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, UInt8

from jaxvae.config import Binarization


def preprocess(
    pixels: UInt8[Array, "height width channel"], key: Key[Array, ""], binarization: Binarization
) -> Float[Array, "height width channel"]:
    """One image in the model's space.

    ``none``: pixel / 255 in [0, 1]. ``threshold``: 1 where pixel > 127. ``static`` and ``dynamic``: a
    Bernoulli draw with probability pixel / 255 from ``key``; the two differ only in the caller's key.
    """
    if binarization == "none":
        return pixels.astype(jnp.float32) / 255
    if binarization == "threshold":
        return (pixels > 127).astype(jnp.float32)
    return _bernoulli(pixels, key)


def _bernoulli(
    pixels: UInt8[Array, "height width channel"], key: Key[Array, ""]
) -> Float[Array, "height width channel"]:
    """1 with probability pixel / 255, by comparing 16 random bits with 65536 * pixel / 255.

    Half the random bits of a float draw. ``257 pixel`` is that threshold to within one part in 65536
    and the last term rounds it, so that 255 is always 1, 0 is always 0 and no probability is off by
    more than 8e-6.
    """
    words = jax.random.bits(key, ((pixels.size + 1) // 2,), jnp.uint32)
    uniform = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[: pixels.size]
    level = pixels.reshape(-1).astype(jnp.int32)
    ones = uniform.astype(jnp.int32) < 257 * level + (level > 127).astype(jnp.int32)
    return ones.astype(jnp.float32).reshape(pixels.shape)
