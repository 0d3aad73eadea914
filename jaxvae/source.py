"""What is a set of images? Two arrays; and before, pictures that can be read one by one, and a split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxvae import order
from jaxvae.pixels import digest_images

SPLIT_SEED = 2**32
"""Of the one order in which a set without a test set is split; no run's order has it."""


class Pictures(NamedTuple):
    """Images in a fixed order."""

    size: int
    """How many."""
    read: Callable[[int], UInt8[np.ndarray, "height width channel"]]
    """The image with that number; several threads may call it at once. Raises UserError with its name."""
    name: Callable[[int], str]
    """What the person who made it calls it."""
    ready: UInt8[np.ndarray, "example height width channel"] | None = None
    """All of them, if they are an array of 8-bit numbers already."""


class Dataset(NamedTuple):
    """Training and test images as they were stored: 8 bits a channel. Large ones are memory maps."""

    train: UInt8[np.ndarray, "train height width channel"]
    test: UInt8[np.ndarray, "test height width channel"]
    title: str = "images"
    """Where they come from, for people."""
    noted_digest: str | None = None
    """``digest()``, if it is known already."""

    def digest(self) -> str:
        """SHA-256 over the shapes and pixels of both, by which a run knows its data again."""
        return self.noted_digest or digest_images(self.train, self.test)


class Source(NamedTuple):
    """Where a set of images comes from."""

    title: str
    path: Path
    """Beside this, what is made of them is kept."""
    files: Sequence[Path]
    """Their content is all that the images depend on."""
    open: Callable[[], tuple[Pictures, Pictures | None]]
    """Training and test images; None: there is no test set."""
    is_array: bool = False
    """Whether opening it is all that there may be to do."""


def split(count: int, test_fraction: float) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """Which of ``count`` images train and which test, both in ascending order: always the same ones.

    At least one of each, if there are two.
    """
    tests = min(max(1, round(test_fraction * count)), count - 1)
    ranks = order.permutation(SPLIT_SEED, 0, count)
    return np.sort(ranks[tests:]), np.sort(ranks[:tests])


def subset(pictures: Pictures, which: Int[np.ndarray, " some"]) -> Pictures:
    """Some of the pictures."""
    return Pictures(
        len(which), lambda i: pictures.read(int(which[i])), lambda i: pictures.name(int(which[i]))
    )
