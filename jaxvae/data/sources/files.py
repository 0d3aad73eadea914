"""How are a person's own images found? In arrays (.npy, .npz, IDX) and in folders of image files."""

import contextlib
import gzip
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxvae.config import Data
from jaxvae.data.dataset import Picture, Pictures, Source, UnreadableError, regular_status
from jaxvae.data.sources.amat import FILES, SIDE, larochelle
from jaxvae.data.sources.arrays import Stored, check, pictures, prepared
from jaxvae.data.sources.decoding import decode, impostor
from jaxvae.data.sources.folders import FORMATS, Listing, describe, divide, kind_of_file, list_images
from jaxvae.data.sources.idx import decode_idx, idx_shape
from jaxvae.data.sources.splits import choose, rank
from jaxvae.errors import UserError, printable

KINDS = f".npy, .npz, IDX (named ...-ubyte, .idx or either with .gz), or a folder of {FORMATS}"
_ARRAY = re.compile(
    r"(?P<stem>.+?)(?P<kind>\.npy|\.npz|[.-]idx\d-ubyte|\.idx|-?ubyte|)(?P<gz>\.gz)?", re.I | re.S
)


def own_images(path: Path, data: Data) -> Source:
    """The images in a file or folder; raises UserError if it holds none that can be read."""
    if not path.is_dir():
        return _array_source(path, "file", *_arrays_of(path, data), data)
    drawn = larochelle(path, data)
    if drawn is not None:
        return drawn
    found = list_images(path, data)
    arrays = _arrays_in(path, found, data)
    if arrays is not None:
        return _array_source(path, "folder", *arrays, data)
    parts = divide(path, found, data)
    listed = (parts.train, parts.test, parts.validation)
    all_files = [[path / name for name in names] for names in listed if names is not None]
    sets = [_pictures(files, data) for files in all_files]
    options = {"background", "sixteen_bit", "unreadable"} | ({"test_fraction"} if len(sets) == 1 else set())
    return Source(
        f"{printable(path)} (folder)",
        path,
        [file for files in all_files for file in files],
        lambda: sets,
        frozenset(options),
        (*_listed("skipped", [*describe(found.skipped), *parts.remarks]), *found.remarks),
        has_validation=parts.validation is not None,
    )


def _pictures(files: Sequence[Path], data: Data) -> Pictures:
    def read(number: int) -> Picture:
        path = files[number]
        try:
            regular_status(path)
            content = path.read_bytes()
        except OSError as error:
            raise UnreadableError(printable(path), f"cannot be read ({error.strerror})") from error
        return decode(content, printable(path), data)

    return Pictures(len(files), read, lambda number: printable(files[number]))


class _Arrays(NamedTuple):
    """Arrays of training, test and maybe validation images, or of all images."""

    files: list[Path]
    stored: list[Stored]
    remarks: tuple[str, ...]


def _array_source(
    path: Path, kind: str, files: list[Path], stored: list[Stored], remarks: tuple[str, ...], data: Data
) -> Source:
    title = f"{printable(path)} ({kind})"
    for number, array in enumerate(stored):
        check(array, trains=number == 0)
    options = {"test_fraction"} if len(stored) == 1 else set()
    if any(array.dtype.kind in "iu" and array.dtype.itemsize > 1 for array in stored):
        options.add("sixteen_bit")
    if any(len(array.shape) == 4 and array.shape[3] == 4 for array in stored):
        options.add("background")

    def load() -> list[tuple[str, np.ndarray]]:
        return [(array.name, array.load()) for array in stored]

    def ready() -> Sequence[np.ndarray] | None:
        changed = data.image_size is not None or data.color != "keep" or data.background is not None
        if changed or len(stored) == 1 or any(array.dtype != np.uint8 for array in stored):
            return None
        return prepared(load(), title)

    return Source(
        title,
        path,
        files,
        lambda: pictures(load(), data),
        frozenset(options),
        remarks,
        ready,
        len(stored) == 3,
    )


def _arrays_in(folder: Path, found: Listing, data: Data) -> _Arrays | None:
    """The arrays in a folder that holds some under the usual names."""
    by_stem: dict[str, list[str]] = {}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            match = _ARRAY.fullmatch(entry.name)
            kind = match["kind"].lower() if match else ""
            if match and kind not in ("", ".npz") and rank(match["stem"]) is not None and entry.is_file():
                by_stem.setdefault(match["stem"], []).append(entry.name)
    where = printable(folder)
    roles = choose(by_stem, where)
    if roles.train is None:
        if roles.test is None or found.images:
            return None
        raise UserError(f"{where} holds {printable(by_stem[roles.test][0])} and no array of training images")
    files = []
    for stem in filter(None, (roles.train, roles.test, roles.validation(data, where))):
        # Packed and not, they are the same.
        names = [n for n in by_stem[stem] if not n.lower().endswith(".gz")] or by_stem[stem]
        if len(names) > 1:
            raise UserError(f"{where} holds {' and '.join(map(printable, names))}: keep one of them there")
        files.append(folder / names[0])
    found.skipped.subtract(kind_of_file(file.name) for file in files)
    images = [f"{len(found.images):,} image{'s' * (len(found.images) > 1)}"] * bool(found.images)
    read = _listed("read", [" and ".join(printable(file.name) for file in files)])
    skipped = _listed("skipped", [*describe(+found.skipped), *images])
    return _Arrays(
        files, [stored for file in files for stored in _arrays_of(file, data).stored], (*read, *skipped)
    )


def _listed(verb: str, things: Sequence[str]) -> list[str]:
    return [f"{verb} {', '.join(things)}"] if things else []


def _arrays_of(path: Path, data: Data) -> _Arrays:
    """The arrays of images in one file."""
    name, match = printable(path), _ARRAY.fullmatch(path.name)
    kind = match["kind"].lower() if match else ""
    if path.name in FILES:
        raise UserError(f"{name} is one of three files: give --data.name {printable(path.parent)}")
    if not kind and not (match and match["gz"]):
        raise UserError(f"{name} is not a kind of file that images are read from: use {KINDS}")
    with _errors_of(name):
        regular_status(path)
        with path.open("rb") as file:
            head = file.read(1024)
    reason = impostor(head)
    if reason is not None:
        raise UserError(f"{name} {reason}")
    if kind in (".npy", ".npz") and head.startswith(b"\x1f\x8b"):
        raise UserError(f"{name} is packed by gzip, from which only IDX is read: unpack it, as gunzip does")
    with _errors_of(name):
        if head.startswith(b"PK") or (kind == ".npz" and not head.startswith(b"\x93NUMPY")):
            return _npz(path, data)
        if head.startswith(b"\x93NUMPY") or kind == ".npy":
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            more = path.stat().st_size - array.offset - array.nbytes
            if more != 0:
                raise ValueError(f"{more:,} bytes follow its array: damaged, or several arrays in one file")
            return _Arrays([path], [Stored(name, array.shape, array.dtype, lambda: array)], ())
        unpack = gzip.open if head.startswith(b"\x1f\x8b") else Path.open
        with unpack(path, "rb") as file:
            shape = idx_shape(file.read(1024))

        def load() -> np.ndarray:
            with _errors_of(name), unpack(path, "rb") as file:
                return decode_idx(file.read())

        return _Arrays([path], [Stored(name, shape, np.dtype(np.uint8), load)], ())


def _npz(path: Path, data: Data) -> _Arrays:
    found = _heads(path)
    roles = choose(
        (n for n, a in found.items() if a.dtype.kind in "buif" and len(a.shape) >= 2), printable(path)
    )
    numbers = {name: len(array.shape) for name, array in found.items() if array.dtype.kind != "O"}
    # If there are none, what to do with flattened ones is said where shapes are looked at.
    images = [n for n, axes in numbers.items() if axes >= 3] or [
        n for n, axes in numbers.items() if axes == 2
    ]
    if roles.train is not None and (roles.test is not None or set(images) <= {roles.train}):
        three = (roles.train, roles.test, roles.validation(data, printable(path)))
        taken = [name for name in three if name is not None]
    elif roles.train is None and roles.test is None and len(images) == 1:
        taken = images
    else:
        held = ", ".join(
            f"{printable(name)} {array.shape}" + " of Python objects" * (name not in numbers)
            for name, array in found.items()
        )
        raise UserError(
            f"{printable(path)} holds {held or 'nothing'}: name the images train and test, x_train and "
            "x_test, or train_images and test_images, or keep one array of them alone"
            + "; Python objects are not read: numpy.stack makes one array of equal ones"
            * (numbers.keys() != found.keys())
        )
    others = [printable(name) for name in found if name not in taken]
    others = others[:6] + [f"{len(others) - 6} more"] * (len(others) > 6)
    read, stored = "read " + " and ".join(printable(name) for name in taken), [found[name] for name in taken]
    remarks = (read, *_listed("ignored", others))
    # As the files of static MNIST are, once they are read by NumPy.
    if roles.validations and all(one.shape[1:] == (SIDE * SIDE,) for one in stored):
        stored = [_square(one) for one in stored]
        remarks += (f"rows of {SIDE * SIDE} numbers read as {SIDE} x {SIDE}",)
    return _Arrays([path], stored, remarks)


def _square(rows: Stored) -> Stored:
    shape = (rows.shape[0], SIDE, SIDE)
    return rows._replace(shape=shape, load=lambda: rows.load().reshape(shape))


def _heads(path: Path) -> dict[str, Stored]:
    """Every array in an .npz file; of none more than the head is read, for there may be some that are not of
    numbers, and some that are large."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.namelist():
            if not member.endswith(".npy"):
                continue
            name, shape, dtype = member.removesuffix(".npy"), (), np.dtype(object)
            with archive.open(member) as file:
                version = np.lib.format.read_magic(file)
                if version == (1, 0):
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                elif version in ((2, 0), (3, 0)):
                    shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            load = partial(_load_member, path, name)
            found[name] = Stored(f"{printable(path)} [{printable(name)}]", shape, dtype, load)
    return found


def _load_member(path: Path, name: str) -> np.ndarray:
    with _errors_of(printable(path)), np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


@contextlib.contextmanager
def _errors_of(name: str) -> Iterator[None]:
    """Whatever reading a file raises is said with its name."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from error
