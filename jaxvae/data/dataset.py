"""What is a set of images? Two arrays; before they are decoded, pictures that are read one by one."""

import errno
import os
import stat
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8

from jaxvae.data.memory_map import Images, digest_images
from jaxvae.errors import UserError
from jaxvae.training import order

SPLIT_SEED = 2**32
"""Seed of the split of images that have no test set. Seeds of runs are smaller, so no run has this order."""


class UnreadableError(UserError):
    """A file, or a record of one, that cannot be read as an image. ``data.unreadable`` skip leaves it out."""

    def __init__(self, name: str, reason: str):
        super().__init__(f"{name} {reason}")
        self.name, self.reason = name, reason


class Picture(NamedTuple):
    """One image that was read."""

    pixels: UInt8[np.ndarray, "height width channel"]
    form: str | None = None
    """The format of its file, such as PNG."""
    notes: tuple[str, ...] = ()
    """Changes made to it that the user should know, such as ``laid on white``."""


class Pictures(NamedTuple):
    """Images in a fixed order."""

    size: int
    """How many."""
    read: Callable[[int], Picture]
    """Reads the image with that number. Several threads may call it at once. Raises UserError with the
    image's name, and UnreadableError if the file or record does not hold an image."""
    name: Callable[[int], str]
    """The name of the image with that number, for messages."""
    remark: str = ""
    """A fact about all of them that the user should know."""


class Dataset(NamedTuple):
    """Training, test and maybe validation images as they were stored: 8 bits a channel. Large ones are memory
    maps, or a ``Chosen`` part of one."""

    train: UInt8[np.ndarray, "train height width channel"]
    test: UInt8[np.ndarray, "test height width channel"]
    title: str = "images"
    """Where they come from, for messages."""
    noted_digest: str | None = None
    """The value of ``digest()``, if it is already known."""
    remarks: str = ""
    """What was read and what was skipped, by kind and number, in one line; may be empty."""
    validation: UInt8[np.ndarray, "validation height width channel"] | None = None
    """What the best checkpoint is chosen by; none of them is among the training images."""
    chosen: str = ""
    """How the validation images were chosen, in words."""

    @property
    def scored_in_training(self) -> Images:
        """The images of evaluations during training."""
        return self.test if self.validation is None else self.validation

    def digest(self) -> str:
        """SHA-256 over the shapes and pixels of all sets; of a set whose validation images were taken from
        its training images, over that of the whole set and their numbers. A run recognises its images by
        it."""
        return self.noted_digest or digest_images(self.train, self.test, *self.sets()[1:-1])

    def sets(self) -> list[Images]:
        """Training images, validation images if there are, test images."""
        validation = [] if self.validation is None else [self.validation]
        return [self.train, *validation, self.test]

    @property
    def nbytes(self) -> int:
        """Bytes of all images."""
        return sum(images.nbytes for images in self.sets())


def dataset_of(
    sets: Sequence[np.ndarray], title: str, noted_digest: str | None = None, remarks: str = ""
) -> Dataset:
    """The training, test and, if there is a third set, validation images."""
    validation = sets[2] if len(sets) == 3 else None
    return Dataset(sets[0], sets[1], title, noted_digest, remarks, validation)


def refuse_no_images(given: Any) -> None:
    """Raises UserError unless ``given`` is a Dataset of stored images, with at least one for training and one
    for testing, all of one shape."""
    if not isinstance(given, Dataset):
        raise UserError(f"dataset must be a Dataset(train, test), not of type {type(given).__name__}")
    named = {"train": given.train, "test": given.test}
    named |= {} if given.validation is None else {"validation": given.validation}
    for name, images in named.items():
        is_array = isinstance(images, np.ndarray)
        if not is_array or images.dtype != np.uint8 or images.ndim != 4 or images.size == 0:
            kind = f"{images.dtype} of shape {images.shape}" if is_array else type(images).__name__
            raise UserError(
                f"dataset.{name} must be a NumPy array of uint8, images x height x width x channels, "
                f"not {kind}"
            )
    for name, images in named.items():
        if given.train.shape[1:] != images.shape[1:]:
            raise UserError(
                f"images of dataset.train have the shape {given.train.shape[1:]} and those of dataset.{name} "
                f"{images.shape[1:]}: they must be equal"
            )


class Source(NamedTuple):
    """Where a set of images comes from."""

    title: str
    path: Path
    """The decoded images are stored beside this path."""
    files: Sequence[Path]
    """The images depend on the content of these files and on nothing else."""
    open: Callable[[], Sequence[Pictures]]
    """Training images; test images, if there are; validation images, if ``data.validation`` is own."""
    uses: frozenset[str]
    """Which of ``OPTIONS`` have an effect on this source."""
    remarks: tuple[str, ...] = ()
    """Facts known before it is opened, such as files beside the images that are not read."""
    ready: Callable[[], Sequence[np.ndarray] | None] = lambda: None
    """The same, if they are at least two arrays that need no decoding; else None."""
    has_validation: bool = False
    """Whether it gives validation images of its own."""
    renamed: Mapping[str, str] = MappingProxyType({})
    """Another title, by a remark that is made when it is decoded."""


OPTIONS = {
    "dir": "it says where TensorFlow Datasets are",
    "test_fraction": "it splits images that have no test set of their own",
    "background": "it is for image files and for arrays of four channels, whose last is opacity",
    "sixteen_bit": "it is for image files, and for arrays of whole numbers of 16 bits or more",
    "unreadable": "it is for images in files of their own and for TensorFlow Datasets",
}
"""Fields of ``Data`` that only some sources use, with the reason that a message gives."""


def one_line(remarks: Sequence[str]) -> str:
    """The remarks as one sentence that begins with what was read; empty if there are none."""
    said = "; ".join(sorted(filter(None, remarks), key=lambda remark: not remark.startswith("read ")))
    return said and f"{said[0].upper()}{said[1:]}."


def split(count: int, test_fraction: float) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " test"]]:
    """The indices of the training and the test images among ``count``, both ascending; always the same split.

    There is at least one of each if ``count`` is 2 or more.
    """
    tests = min(max(1, round(test_fraction * count)), count - 1)
    ranks = order.permutation(SPLIT_SEED, 0, count)
    return np.sort(ranks[tests:]), np.sort(ranks[:tests])


def subset(pictures: Pictures, which: Int[np.ndarray, " some"]) -> Pictures:
    """The pictures with these numbers."""
    return Pictures(
        len(which),
        lambda i: pictures.read(int(which[i])),
        lambda i: pictures.name(int(which[i])),
        pictures.remark,
    )


def regular_status(path: Path) -> os.stat_result:
    """The status of a file. Raises OSError for a pipe or device too, which could block a reader forever."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return status


def identity(path: Path) -> list[int]:
    """Numbers that change when a file is written or replaced. They include ``st_ctime``, because a user can
    set back the modification time but not that."""
    status = regular_status(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
