"""What is a set of images? Two arrays; and before, pictures that can be read one by one, and a split."""

import errno
import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxvae.data.memory_map import digest_images
from jaxvae.errors import UserError
from jaxvae.training import order

SPLIT_SEED = 2**32
"""Of the one order in which a set without a test set is split; no run's order has it."""


class UnreadableError(UserError):
    """A file (or a record of one) that cannot be read as an image; ``data.unreadable`` skip leaves it out."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


class Picture(NamedTuple):
    """One image as it was read."""

    pixels: UInt8[np.ndarray, "height width channel"]
    form: str | None = None
    """The format of its file: PNG."""
    notes: tuple[str, ...] = ()
    """What was done to it that the person should know, as in ``laid on white``."""


class Pictures(NamedTuple):
    """Images in a fixed order."""

    size: int
    """How many."""
    read: Callable[[int], Picture]
    """The image with that number; several threads may call it at once. Raises UserError with its name,
    UnreadableError if there is no image in what has that name."""
    name: Callable[[int], str]
    """What the person who made it calls it."""
    remark: str = ""
    """What holds of all of them and the person should know."""


class Dataset(NamedTuple):
    """Training and test images as they were stored: 8 bits a channel. Large ones are memory maps."""

    train: UInt8[np.ndarray, "train height width channel"]
    test: UInt8[np.ndarray, "test height width channel"]
    title: str = "images"
    """Where they come from, for people."""
    noted_digest: str | None = None
    """``digest()``, if it is known already."""
    remarks: str = ""
    """What was read and what was not, by kind and number, in one line; empty if there is nothing to say."""

    def digest(self) -> str:
        """SHA-256 over the shapes and pixels of both, by which a run knows its data again."""
        return self.noted_digest or digest_images(self.train, self.test)


def refuse_no_images(given: Any) -> None:
    """Raises UserError unless what a caller gives is a Dataset of stored images, at least one of each, all of
    one shape."""
    if not isinstance(given, Dataset):
        raise UserError(f"dataset must be a Dataset(train, test), not of type {type(given).__name__}")
    for name, images in (("train", given.train), ("test", given.test)):
        is_array = isinstance(images, np.ndarray)
        if not is_array or images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
            kind = f"{images.dtype} of shape {images.shape}" if is_array else type(images).__name__
            raise UserError(
                f"dataset.{name} must be a NumPy array of uint8, images x height x width x channels, "
                f"not {kind}"
            )
    if given.train.shape[1:] != given.test.shape[1:]:
        raise UserError(
            f"images of dataset.train have the shape {given.train.shape[1:]} and those of dataset.test "
            f"{given.test.shape[1:]}: they must be equal"
        )


class Source(NamedTuple):
    """Where a set of images comes from."""

    title: str
    path: Path
    """Beside this, what is made of them is kept."""
    files: Sequence[Path]
    """Their content is all that the images depend on."""
    open: Callable[[], tuple[Pictures, Pictures | None]]
    """Training and test images; None: there is no test set."""
    uses: frozenset[str]
    """Which of ``OPTIONS`` can make a difference here."""
    remarks: tuple[str, ...] = ()
    """What is known of it before it is opened, such as what lies beside the images and is not read."""
    ready: Callable[[], tuple[np.ndarray, np.ndarray] | None] = lambda: None
    """Training and test images if they are arrays that need no decoding; else None."""


OPTIONS = {
    "dir": "it says where TensorFlow Datasets are",
    "test_fraction": "it splits images that have no test set of their own",
    "background": "it is for image files and for arrays of four channels, whose last is opacity",
    "sixteen_bit": "it is for image files, and for arrays of whole numbers of 16 bits or more",
    "unreadable": "it is for images in files of their own and for TensorFlow Datasets",
}
"""Fields of ``Data`` that only some sources can use, and which."""


def one_line(remarks: Sequence[str]) -> str:
    """Remarks as one sentence that begins with what was read; empty if there are none."""
    said = "; ".join(sorted(filter(None, remarks), key=lambda remark: not remark.startswith("read ")))
    return said and f"{said[0].upper()}{said[1:]}."


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
        len(which),
        lambda i: pictures.read(int(which[i])),
        lambda i: pictures.name(int(which[i])),
        pictures.remark,
    )


def regular_status(path: Path) -> os.stat_result:
    """The status of a file; raises OSError also for what is no file, and might be waited for in vain."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return status


def identity(path: Path) -> list[int]:
    """What changes when a file is written or replaced: no user can set its ``st_ctime`` back, as they can the
    time at which it was written."""
    status = regular_status(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
