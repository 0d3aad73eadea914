"""How do random numbers come from a key?

By Threefry-2x32 with 20 rounds (Salmon et al. 2011), the generator behind JAX's keys; a key of another
generator is made one of Threefry first. ``fold_in`` is ``jax.random.fold_in``. The draws are not those of
``jax.random``: they use both words of a block, where JAX uses one, and they are written as one expression,
which compilers fuse, where JAX has a loop on CPUs. A tenth of a step of a small model on a CPU is what that
saves.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Shaped, UInt32

from jaxvae.models.input_checks import one_key

Words = UInt32[Array, "..."]

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = np.uint32(0x1BD11BDA)


def fold_in(key: Key[Array, ""], data: Shaped[Array, ""]) -> Key[Array, ""]:
    """``jax.random.fold_in(key, data)``, the same key. As there, ``key`` is not used up."""
    first, second = _threefry(_words_of(key), (jnp.zeros((), jnp.uint32), data.astype(jnp.uint32)))
    return jax.random.wrap_key_data(jnp.stack([first, second]), impl="threefry2x32")


def bits(key: Key[Array, ""], count: int) -> UInt32[Array, " count"]:
    """``count`` words of 32 random bits. The key is used up, as by ``jax.random.bits``."""
    # A draw of nothing, of which a compiler leaves nothing: ``jax_debug_key_reuse`` does not see the words of
    # a key being taken.
    jax.random.bits(one_key(key, "sample"), (0,))
    blocks = jnp.arange(-(-count // 2), dtype=jnp.uint32)
    return jnp.concatenate(_threefry(_words_of(key), (blocks, jnp.zeros_like(blocks))))[:count]


def uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent draws from (0, 1), float32: the middles of 2^23 equal steps, never 0 and never 1."""
    return (_steps(key, math.prod(shape)) + 2**-24).reshape(shape)


def normal(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Independent draws from N(0, 1), float32: the normal quantile of 23 random bits each.

    None lies beyond +-5.3.
    """
    # The middle of one of 2^23 equal steps of (-1, 1).
    uniform = 2 * _steps(key, math.prod(shape)) + (2**-23 - 1)
    return (math.sqrt(2) * jax.lax.erf_inv(uniform)).reshape(shape)


def _steps(key: Key[Array, ""], count: int) -> Float[Array, " count"]:
    """Numbers drawn from the 2^23 multiples of 2^-23 in [0, 1)."""
    # 23 bits as the mantissa of a number in [1, 2).
    words = bits(key, count)
    return jax.lax.bitcast_convert_type((words >> 9) | np.uint32(0x3F800000), jnp.float32) - 1


def categorical(key: Key[Array, ""], logits: Float[Array, "*shape level"]) -> Int[Array, "*shape"]:
    """Independent draws with the probabilities ``softmax(logits)`` over the last axis: where the logits plus
    standard Gumbel noise are largest."""
    return jnp.argmax(logits - jnp.log(-jnp.log(uniform(key, logits.shape))), -1)


def _words_of(key: Key[Array, ""]) -> tuple[Words, Words]:
    """The words of a Threefry key; of the four of an ``rbg`` key, two that depend on all."""
    data = jax.random.key_data(key)
    if data.shape == (2,):
        return data[0], data[1]
    if data.shape == (4,):
        # Not its own draws: under vmap those of every key would come from the first one.
        return _threefry((data[0], data[1]), (data[2], data[3]))
    raise TypeError(
        f'keys of {jax.random.key_impl(key)} cannot be used: jax.random.key(seed, impl="threefry2x32")'
    )


def _threefry(key: tuple[Words, Words], counter: tuple[Words, Words]) -> tuple[Words, Words]:
    schedule = (*key, key[0] ^ key[1] ^ _PARITY)
    left, right = counter[0] + schedule[0], counter[1] + schedule[1]
    for part in range(5):
        for rotation in _ROTATIONS[part % 2]:
            left = left + right
            right = (right << rotation) | (right >> (32 - rotation))
            right = left ^ right
        left = left + schedule[(part + 1) % 3]
        right = right + schedule[(part + 2) % 3] + np.uint32(part + 1)
    return left, right
