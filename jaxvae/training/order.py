"""In what order are the training images visited?

A function of (seed, position) alone: position ``p`` is example ``permutation(seed, p // N)[p % N]``.
Batches are consecutive positions, so they cross the ends of epochs and no image is ever dropped.
"""

import functools

import numpy as np
from jaxtyping import Int


@functools.lru_cache(maxsize=4)
def permutation(seed: int, epoch: int, size: int) -> Int[np.ndarray, " example"]:
    """The order of ``size`` examples in an epoch: their ranks in a row of random 64-bit numbers.

    The raw output of a counter-based generator, keyed by (seed, epoch), is the same in every NumPy
    version; NumPy's own shuffles make no such promise.
    """
    bits = np.random.Philox(key=[seed, epoch]).random_raw(size)
    order = np.argsort(bits, kind="stable").astype(np.int32)
    order.setflags(write=False)
    return order


def indices(seed: int, start: int, count: int, size: int) -> Int[np.ndarray, " position"]:
    """The examples at positions ``start`` to ``start + count - 1``, in a set of ``size``."""
    epochs = range(start // size, (start + count - 1) // size + 1)
    order = np.concatenate([permutation(seed, epoch, size) for epoch in epochs])
    first = start - epochs[0] * size
    return order[first : first + count]
