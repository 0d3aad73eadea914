"""Which images are there? The door by which every source of images enters."""

import gzip
import hashlib
import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, UInt8

from jaxvae.config import Binarization, Data, UserError


class Dataset(NamedTuple):
    """Training and test images as they were stored: 8 bits a channel."""

    train: UInt8[np.ndarray, "train height width channel"]
    test: UInt8[np.ndarray, "test height width channel"]

    def digest(self) -> str:
        """SHA-256 over the shapes and pixels of both, by which a run knows its data again."""
        digest = hashlib.sha256()
        for images in self:
            digest.update(f"{images.shape}\n".encode())
            digest.update(np.ascontiguousarray(images).data)
        return digest.hexdigest()


def load(config: Data) -> Dataset:
    """The images that ``data.name`` names; raises UserError with the known names if it names none."""
    begun = _begun.pop(config, None)
    return begun.result() if begun is not None else _load(config)


def begin_loading(config: Data) -> None:
    """Loads in the background what ``load`` will be asked for, once."""
    thread = ThreadPoolExecutor(1, "data")
    _begun[config] = thread.submit(_load, config)
    thread.shutdown(wait=False)


_begun: dict[Data, Future[Dataset]] = {}


def _load(config: Data) -> Dataset:
    source = SOURCES.get(config.name)
    if source is None:
        raise UserError(f"--data.name {config.name} is not a data set here: use {', '.join(SOURCES)}")
    return source()


def pixel_mean(
    images: UInt8[np.ndarray, "example height width channel"], binarization: Binarization
) -> Float32[np.ndarray, "height width channel"]:
    """Mean over the images of what the model sees, each in [0, 1]."""
    if binarization == "threshold":
        return (images > 127).mean(axis=0, dtype=np.float64).astype(np.float32)
    return (images.mean(axis=0, dtype=np.float64) / 255).astype(np.float32)


MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
}
"""Digests of the original files, as TensorFlow Datasets registers them."""


def _mnist() -> Dataset:
    folder = Path(__file__).parent / "mnist"
    train, test = (_checked(folder / name, digest) for name, digest in MNIST_SHA256.items())
    return Dataset(decode_idx(train)[..., None], decode_idx(test)[..., None])


def _checked(path: Path, sha256: str) -> bytes:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): reinstall jaxvae") from error
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise UserError(f"{path} is damaged: its SHA-256 is not {sha256}; reinstall jaxvae")
    return gzip.decompress(packed)


def decode_idx(content: bytes) -> UInt8[np.ndarray, "..."]:
    """The array in an IDX file of unsigned bytes, MNIST's format; raises ValueError if it is not one.

    Big-endian: two zero bytes, the type (8), the number of axes, a 32-bit length for each, the values.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError("not an IDX file of unsigned bytes")
    axes = content[3]
    header = 4 + 4 * axes
    shape = tuple(int(n) for n in np.frombuffer(content[4:header], ">u4"))
    if len(content) != header + math.prod(shape):
        raise ValueError(
            f"an IDX file of shape {shape} has {header + math.prod(shape)} bytes, not {len(content)}"
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


SOURCES: dict[str, Callable[[], Dataset]] = {"mnist": _mnist}
