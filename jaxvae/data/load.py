"""Which images does ``data.name`` name? Every source of images is loaded through this module."""

import gzip
import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from jaxvae.config import Data
from jaxvae.config.fields import IN_MEMORY
from jaxvae.data.dataset import OPTIONS, Dataset, Source, dataset_of, one_line
from jaxvae.data.memory_map import Images, blocks
from jaxvae.data.sources.idx import decode_idx
from jaxvae.data.validation import refuse_no_validation, with_validation
from jaxvae.errors import UserError, printable

if TYPE_CHECKING:
    from jaxvae.data.sources.tfds import Name


def load(config: Data) -> Dataset:
    """The images that ``data.name`` names, with their validation set if ``data.validation`` asks for one;
    raises UserError if there are none, or if they cannot be used."""
    begun = _begun.pop(config, None)
    return begun.result() if begun is not None else with_validation(_load(config), config)


def begin_loading(config: Data) -> None:
    """Starts loading the bundled images in the background, for one later call of ``load``.

    Other sources are not loaded in the background, because they import libraries, and no library may be
    imported in two threads at once. Raises UserError for a name that nothing can have, and for an option that
    has no effect.
    """
    if config.name != BUNDLED:
        _named(config)
        return
    if _is_changed(config):
        return
    refuse_useless(config, BUNDLED, frozenset())
    thread = ThreadPoolExecutor(1, "data")
    _begun[config] = thread.submit(lambda: with_validation(_load(config), config))
    thread.shutdown(wait=False)


_begun: dict[Data, Future[Dataset]] = {}
BUNDLED = "mnist"


def _is_changed(config: Data) -> bool:
    return config.image_size is not None or config.color != "keep"


def _load(config: Data) -> Dataset:
    if config.name == BUNDLED and not _is_changed(config):
        refuse_useless(config, BUNDLED, frozenset())
        return _mnist()
    # Imported here, because the bundled images need none of these.
    from jaxvae.data.decoded_cache import decoded
    from jaxvae.data.sources.resizing import background

    background(config)
    source = _source(config)
    refuse_useless(config, source.title, source.uses)
    if config.validation == "own" and not source.has_validation:
        refuse_no_validation(source.title)
    ready = source.ready()
    if ready is None:
        return decoded(source, config)
    return dataset_of(ready, source.title, remarks=one_line(source.remarks))


def _source(config: Data) -> Source:
    from jaxvae.data.sources.files import own_images

    if config.name == BUNDLED:
        return own_images(MNIST, config)._replace(title=BUNDLED, remarks=())
    named = _named(config)
    if isinstance(named, Path):
        return own_images(named, config)
    from jaxvae.data.sources.tfds import tfds_images

    return tfds_images(named, config)


def _named(config: Data) -> "Path | Name":
    """The file or folder that ``data.name`` names, or else the name of a data set."""
    named = f"--data.name {printable(config.name)}"
    if not config.name:
        raise UserError("--data.name is empty: . is the current folder")
    if config.name == IN_MEMORY:
        raise UserError(
            "the images of this run were arrays in memory: give them again, from Python, as in "
            "jaxvae.train(images, workdir) or jaxvae.evaluate(workdir, given=images)"
        )
    try:
        path = Path(config.name).expanduser()
        path.stat()
    except FileNotFoundError as error:
        from jaxvae.data.sources.tfds import parse_name

        name = parse_name(config.name)
        if name is not None:
            return name
        raise UserError(f"{named}: there is no such file or folder") from error
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{named} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return path


def refuse_useless(config: Data, title: str, uses: frozenset[str]) -> None:
    """Raises UserError if an option is set that has no effect on images of this source."""
    for name, what in OPTIONS.items():
        value = getattr(config, name)
        if value != getattr(Data(), name) and name not in uses:
            raise UserError(f"--data.{name} {printable(value)} is of no use with {title}: {what}")


def pixel_mean(images: Images, config: Data) -> Float32[np.ndarray, "height width channel"]:
    """Mean over the training images after preprocessing, each pixel in [0, 1]."""
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
