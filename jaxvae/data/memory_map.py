"""How are images read that may be larger than memory? A batch or a block at a time, from the file.

The file is read with ``pread`` and not through the memory map: pages that are read through a map count as the
process's own memory, and a failing disk would kill the process by SIGBUS, without a message.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, UInt8

from jaxvae.errors import RunError
from jaxvae.system.platforms import read_at

BLOCK_BYTES = 2**25


class Chosen:
    """Some of the images of a memory map, by their numbers: an array of them, of which nothing is read before
    it is asked for. ``numpy.asarray`` reads all."""

    def __init__(self, whole: np.ndarray, which: Int[np.ndarray, " some"]):
        self.whole, self.which = whole, which
        self.shape: tuple[int, ...] = (len(which), *whole.shape[1:])
        self.dtype = whole.dtype

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, index: Any) -> np.ndarray:
        return gather(self.whole, np.asarray(self.which[index]))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return gather(self.whole, self.which)

    @property
    def nbytes(self) -> int:
        """Bytes of the images, were they in memory."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def filename(self) -> Any:
        """The file that the images are in."""
        return getattr(self.whole, "filename", None)


Images = UInt8[np.ndarray, "example height width channel"] | Chosen
"""A set of images, maybe larger than memory."""


def choose(
    images: UInt8[np.ndarray, "example height width channel"], which: Int[np.ndarray, " some"]
) -> UInt8[np.ndarray, "some height width channel"] | Chosen:
    """``images[which]``; of a memory map, without reading them."""
    return images[which] if _file(images) is None else Chosen(images, which)


def gather(
    images: Images, indices: Int[np.ndarray, "*rows"]
) -> UInt8[np.ndarray, "*rows height width channel"]:
    """``images[indices]``; of a memory map, only these are read. Raises RunError if they cannot be read."""
    if isinstance(images, Chosen):
        return gather(images.whole, images.which[indices])
    mapped = _file(images)
    if mapped is None:
        return images[indices]
    size = math.prod(images.shape[1:])
    taken = np.empty((indices.size, size), np.uint8)
    _read(*mapped, taken, [index * size for index in indices.reshape(-1).tolist()])
    return taken.reshape(*indices.shape, *images.shape[1:])


def file_status(images: np.ndarray | Chosen) -> tuple[int, ...] | None:
    """Numbers that change when the file of a memory map is written or replaced; None without a file."""
    mapped = _file(images.whole if isinstance(images, Chosen) else images)
    if mapped is None:
        return None
    try:
        status = mapped[0].stat()
    except OSError as error:
        raise RunError(f"{mapped[0]} cannot be read ({error.strerror})") from error
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def blocks(images: Images) -> Iterator[UInt8[np.ndarray, "part height width channel"]]:
    """All images in order, in blocks of about ``BLOCK_BYTES``."""
    size = math.prod(images.shape[1:])
    count = max(1, BLOCK_BYTES // size)
    mapped = None if isinstance(images, Chosen) else _file(images)
    for start in range(0, len(images), count):
        block = images[start : start + count]
        if mapped is not None:
            block = np.empty(block.shape, np.uint8)
            _read(*mapped, block.reshape(1, -1), [start * size])
        yield block


def digest_images(*sets: UInt8[np.ndarray, "_example height width channel"] | Chosen) -> str:
    """SHA-256 over the shapes and pixels of all the sets."""
    digest = hashlib.sha256()
    for images in sets:
        digest.update(f"{images.shape}\n".encode())
        for block in blocks(images):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def _file(images: np.ndarray) -> tuple[Path, int] | None:
    """The file of which the images are a memory map, and the byte at which they begin; None for others."""
    whole = images
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    if not isinstance(whole, np.memmap) or whole.filename is None or not images.flags.c_contiguous:
        return None
    return Path(whole.filename), whole.offset + images.ctypes.data - whole.ctypes.data


def _read(path: Path, begin: int, rows: UInt8[np.ndarray, "row byte"], offsets: Sequence[int]) -> None:
    """Fills each row with the bytes of the file from ``begin`` + its offset on."""
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            for row, offset in zip(rows, offsets, strict=True):
                if read_at(file, row.data, begin + offset) != row.size:
                    raise RunError(f"{path} is shorter than it was when it was opened")
        finally:
            os.close(file)
    except OSError as error:
        raise RunError(f"{path} cannot be read ({error.strerror})") from error
