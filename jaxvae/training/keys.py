"""Which random numbers does the run use, and from which key?

Every stream starts at the run's seed and is named here; a training step's key is
``fold_in(stream, step)``, and an example's key is that folded with its index. No key is carried from step to
step, so any step can be computed without the ones before it. The order of the data is computed on the
host, in ``order``.
"""

import enum
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Key

from jaxvae.models import noise


class Stream(enum.IntEnum):
    """The purpose of a stream of random numbers. The values determine every run: never renumber them."""

    INITIAL_WEIGHTS = 0
    POSTERIOR = 1
    """Reparameterisation noise: by step, then by index in the global batch."""
    BINARIZATION = 2
    """Dynamic binarisation: by step, then by index in the global batch."""
    STATIC_BINARIZATION = 3
    """The one draw of a statically binarised training image: by index in the training set."""
    TEST_BINARIZATION = 4
    """The one draw of a test image, binarised or dequantised: by index in the test set."""
    TEST_POSTERIOR = 5
    """Importance samples: by index in the test set, then by sample."""
    PICTURES = 6
    """Latents of the sample pictures, the same at every evaluation."""
    DEQUANTIZATION = 7
    """The noise added to pixels of 256 levels: by step, then by index in the global batch."""
    FLIPS = 8
    """Which training images are mirrored: by step, then by index in the global batch."""


def stream(seed: int, name: Stream) -> Key[Array, ""]:
    """The root key of one stream: ``fold_in(key(seed), name)``."""
    return _streams(seed)[name]


@functools.partial(jax.jit, static_argnums=0)
def _streams(seed: int) -> list[Key[Array, ""]]:
    # One compiled program for all streams: otherwise each operation of each stream would be compiled alone.
    # ``lax.map`` computes them one after the other, which gives the smallest program.
    root = jax.random.key(seed, impl="threefry2x32")
    return list(jax.lax.map(lambda name: noise.fold_in(root, name), jnp.arange(len(Stream), dtype=jnp.int32)))


def fold_in_each(key: Key[Array, ""], indices: Int[Array, " example"]) -> Key[Array, " example"]:
    """One key for each index: ``fold_in(key, index)``, independent of the other indices."""
    return jax.vmap(noise.fold_in, in_axes=(None, 0))(key, indices)
