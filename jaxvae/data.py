"""Which images are there? The door by which every source of images enters."""

import gzip
import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from jaxvae.config import Data
from jaxvae.errors import UserError
from jaxvae.idx import decode_idx
from jaxvae.pixels import blocks
from jaxvae.source import Dataset


def load(config: Data) -> Dataset:
    """The images that ``data.name`` names; raises UserError if there are none, or if they cannot be used."""
    begun = _begun.pop(config, None)
    return begun.result() if begun is not None else _load(config)


def begin_loading(config: Data) -> None:
    """Loads in the background what ``load`` will be asked for, once, if that takes no more than a moment."""
    if config.name != BUNDLED:
        return
    thread = ThreadPoolExecutor(1, "data")
    _begun[config] = thread.submit(_load, config)
    thread.shutdown(wait=False)


_begun: dict[Data, Future[Dataset]] = {}
BUNDLED = "mnist"


def _load(config: Data) -> Dataset:
    changes = config.image_size is not None or config.color != "keep"
    if config.name == BUNDLED and not changes:
        return _mnist()
    # What is bundled needs none of these.
    from jaxvae.files import own_images
    from jaxvae.kept import kept
    from jaxvae.tfds import parse_name, tfds_images

    path, name = Path(config.name).expanduser(), parse_name(config.name)
    if config.name == BUNDLED:
        source = own_images(MNIST, config)
    elif path.exists():
        source = own_images(path, config)
    elif name is not None:
        source = tfds_images(name, config)
    else:
        raise UserError(f"--data.name {config.name}: there is no such file or folder")
    if source.is_array and not changes:
        train, test = source.open()
        if train.ready is not None and test is not None and test.ready is not None:
            if train.ready.shape[1:] != test.ready.shape[1:]:
                shapes = f"{train.ready.shape[1:]} and {test.ready.shape[1:]}"
                raise UserError(
                    f"{source.title}: training and test images have the shapes {shapes}, which must be equal"
                )
            return Dataset(train.ready, test.ready, source.title)
    return kept(source, config)


def pixel_mean(
    images: UInt8[np.ndarray, "example height width channel"], config: Data
) -> Float32[np.ndarray, "height width channel"]:
    """Mean over the images of what the model sees, each in [0, 1]."""
    total = np.zeros(images.shape[1:], np.uint64)
    for block in blocks(images):
        total += (block > 127 if config.binarization == "threshold" else block).sum(axis=0, dtype=np.uint64)
    mean = total.astype(np.float64) / len(images)
    if config.dequantization == "uniform":
        mean = (mean + 0.5) / 256
    elif config.binarization != "threshold":
        mean = mean / 255
    if config.horizontal_flips:
        mean = (mean + mean[:, ::-1]) / 2
    return mean.astype(np.float32)


MNIST = Path(__file__).parent / "mnist"
MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
}
"""Digests of the original files, as TensorFlow Datasets registers them."""


def _mnist() -> Dataset:
    train, test = (_checked(MNIST / name, digest) for name, digest in MNIST_SHA256.items())
    return Dataset(decode_idx(train)[..., None], decode_idx(test)[..., None], "mnist")


def _checked(path: Path, sha256: str) -> bytes:
    try:
        packed = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): reinstall jaxvae") from error
    if hashlib.sha256(packed).hexdigest() != sha256:
        raise UserError(f"{path} is damaged: its SHA-256 is not {sha256}; reinstall jaxvae")
    return gzip.decompress(packed)
