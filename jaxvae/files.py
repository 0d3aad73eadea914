"""How are a person's own images read? Arrays (.npy, .npz, IDX) and folders of PNG or JPEG files."""

import gzip
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped, UInt8

from jaxvae.config import Data
from jaxvae.decoding import adjust, decode
from jaxvae.errors import UserError
from jaxvae.idx import decode_idx
from jaxvae.source import Pictures, Source

KINDS = ".npy, .npz, IDX (named ...-ubyte, .idx or either with .gz), or a folder of PNG or JPEG files"
PAIRS = (("train", "test"), ("x_train", "x_test"), ("train_images", "test_images"))
"""What training and test images are called in an .npz file."""
ARRAY_PAIRS = (
    ("train.npy", "test.npy"),
    ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"),
    ("train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz"),
)
"""What their files are called in a folder; the latter are MNIST's own."""
TESTS = ("test", "validation", "valid", "val")
"""What a folder of test images may be called; the first that there is."""


def own_images(path: Path, data: Data) -> Source:
    """The images in a file or folder; raises UserError if it holds none that can be read."""
    title = f"{path} ({'folder' if path.is_dir() else 'file'})"
    if not path.is_dir():
        return Source(title, path, [path], lambda: _open_file(path, data), is_array=True)
    arrays = _array_pair(path)
    if arrays is not None:
        train, test = arrays

        def open_pair() -> tuple[Pictures, Pictures | None]:
            return _open_file(train, data)[0], None if test is None else _open_file(test, data)[0]

        return Source(title, path, [train] if test is None else [train, test], open_pair, is_array=True)
    parts = _folders(path)
    found = [_image_files(part) for part in parts]
    for part, files in zip(parts, found, strict=True):
        if not files:
            raise UserError(f"{part} holds no PNG or JPEG images")
    pictures = [_pictures(files, data) for files in found]
    test = pictures[1] if len(pictures) == 2 else None
    return Source(title, path, [path for part in found for path in part], lambda: (pictures[0], test))


def _array_pair(folder: Path) -> tuple[Path, Path | None] | None:
    """The arrays in a folder that holds some under the usual names."""
    for names in ARRAY_PAIRS:
        train, test = (folder / name for name in names)
        if train.is_file():
            return train, test if test.is_file() else None
    return None


def _folders(folder: Path) -> list[Path]:
    train = folder / "train"
    if not train.is_dir():
        return [folder]
    return [train, *(folder / name for name in TESTS if (folder / name).is_dir())][:2]


def _image_files(folder: Path) -> list[Path]:
    """In the order of their names, whatever the disk's; also those in folders of it, a class each."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in (".png", ".jpg", ".jpeg") and not path.name.startswith(".")
    )


def _pictures(files: Sequence[Path], data: Data) -> Pictures:
    def read(number: int) -> UInt8[np.ndarray, "height width channel"]:
        try:
            content = files[number].read_bytes()
        except OSError as error:
            raise UserError(f"{files[number]} cannot be read ({error.strerror})") from error
        return decode(content, str(files[number]), data)

    return Pictures(len(files), read, lambda number: str(files[number]))


def _open_file(path: Path, data: Data) -> tuple[Pictures, Pictures | None]:
    try:
        if path.suffix == ".npy":
            return _from_array(np.load(path, mmap_mode="r", allow_pickle=False), str(path), data), None
        if path.suffix == ".npz":
            return _open_npz(path, data)
        if path.suffix in (".idx", ".gz") or path.name.endswith("ubyte"):
            content = path.read_bytes()
            content = gzip.decompress(content) if path.suffix == ".gz" else content
            return _from_array(decode_idx(content), str(path), data), None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    raise UserError(f"{path} is not a kind of file that images are read from: use {KINDS}")


def _open_npz(path: Path, data: Data) -> tuple[Pictures, Pictures | None]:
    with np.load(path, allow_pickle=False) as arrays:
        for train, test in PAIRS:
            if train in arrays and test in arrays:
                first, second = (_from_array(arrays[n], f"{path} [{n}]", data) for n in (train, test))
                return first, second
        found = {name: arrays[name] for name in arrays.files}
        images = [name for name, array in found.items() if array.ndim >= 3]
        if len(images) != 1:
            held = ", ".join(f"{name} {array.shape}" for name, array in found.items()) or "nothing"
            raise UserError(
                f"{path} holds {held}: name the images "
                f"{', or '.join(' and '.join(pair) for pair in PAIRS)}, or keep one array of them alone"
            )
        return _from_array(found[images[0]], f"{path} [{images[0]}]", data), None


def _from_array(array: Shaped[np.ndarray, "..."], name: str, data: Data) -> Pictures:
    """Pictures from an array of example x height x width, or with channels last; checks what it holds."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or 0 in array.shape[1:]:
        raise UserError(
            f"{name} has the shape {array.shape}: images are example x height x width, with a last axis "
            "for the channels if they have several"
        )
    if len(array) == 0:
        raise UserError(f"{name} holds no images")
    if array.shape[1] in (1, 3) and array.shape[3] > 4:
        raise UserError(
            f"{name} has the shape {array.shape}, with the channels first: numpy.moveaxis(x, 1, -1) puts "
            "them last"
        )
    if array.dtype.kind not in "bui":
        raise UserError(
            f"{name} holds numbers of type {array.dtype}: images are 8-bit numbers from 0 to 255, of type "
            "uint8; if these are from 0 to 1, numpy.round(255 * x).astype('uint8') makes them so"
        )
    if array.dtype.kind != "b":
        # 8 bits are never out of range; and a set in which only the first thousand are dark is no mistake.
        looked_at = array[:1000] if array.dtype == np.uint8 else array
        low, high = int(looked_at.min()), int(looked_at.max())
        if low < 0 or high > 255:
            raise UserError(f"{name} holds numbers from {low} to {high}: pixels are from 0 to 255")
        if high == 1:
            raise UserError(
                f"{name} holds only 0 and 1, which are black and nearly black: 255 * x is meant, or x of "
                "type bool"
            )

    def read(number: int) -> UInt8[np.ndarray, "height width channel"]:
        return adjust(np.asarray(array[number]), f"{name}, image {number}", data)

    ready = array if array.dtype == np.uint8 else None
    return Pictures(len(array), read, lambda number: f"{name}, image {number}", ready)
