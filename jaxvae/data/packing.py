"""How are the pictures of a source decoded into two arrays on the disk, with a record of what was found?"""

import errno
import math
import os
import secrets
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from jaxvae.config import Data
from jaxvae.data.dataset import Picture, Pictures, Source, UnreadableError, identity, split, subset
from jaxvae.data.memory_map import digest_images
from jaxvae.data.sources.decoding import import_formats
from jaxvae.data.sources.folders import SKIP_HINT
from jaxvae.errors import UserError
from jaxvae.system.atomic_files import write_json
from jaxvae.system.platforms import flush_open

FEW = 3
"""How many of the files that were left out are named in messages; images.json names all."""
AT_ONCE = 256
"""How many pictures are decoded before they are written."""


def array_names(sets: int) -> list[str]:
    """The files of so many sets."""
    return ["train.npy", "test.npy", "validation.npy"][:sets]


def pack(source: Source, data: Data, done: Path) -> None:
    """Decodes the source's images into the folder ``done``, which appears when its files are on the disk.

    Raises UserError if an image cannot be used, and OSError if the folder cannot be written.
    """
    import_formats()
    seen = _Seen(Counter(), Counter(), {})
    sets = list(source.open())
    if data.unreadable == "skip":
        sets = [_readable(pictures, source, seen) for pictures in sets]
    train = sets[0]
    if len(sets) == 1:
        if train.size < 2:
            raise UserError(f"{source.title} holds a single image: there must be two, to train and to test")
        sets = [subset(train, which) for which in split(train.size, data.test_fraction)]
        train = sets[0]
    shape = _read(train, 0).pixels.shape
    total = sum(pictures.size for pictures in sets)
    needed, free = total * math.prod(shape), shutil.disk_usage(done.parent).free
    if needed > free:
        # Checked now, because decoding may take hours.
        message = f"{needed / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, message, str(done.parent))
    names = array_names(len(sets))
    partial = done.with_name(f"{done.name}-{secrets.token_hex(8)}.partial")
    try:
        # Inside ``try``, because a signal may raise an exception at any moment.
        partial.mkdir()
        with tqdm(desc=f"Decoding {source.title}, once", total=total, unit="image", disable=None) as bar:
            for name, pictures in zip(names, sets, strict=True):
                _write(partial / name, pictures, train.name(0), shape, seen, bar)
        files = {name: identity(partial / name) for name in names}
        arrays = [np.load(partial / name, mmap_mode="r") for name in files]
        note = {"digest": digest_images(*arrays), "files": files, "source": source.title}
        note |= {"remarks": seen.remarks(train.remark), "left_out": dict(sorted(seen.left_out.items()))}
        write_json(partial / "images.json", note)
        try:
            os.replace(partial, done)
        except OSError:
            # On a file system without locks another process may have been first.
            if not done.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


class _Seen(NamedTuple):
    """What was found while the images were decoded: counts of formats and notes, and unreadable files."""

    forms: Counter[str]
    notes: Counter[str]
    left_out: dict[str, str]
    """The reason for each file that was left out, by its name."""

    def remarks(self, of_all: str) -> list[str]:
        """What the user should know about the images, by kind and number."""
        forms = [
            f"{n:,} {form}" for form, n in sorted(self.forms.items(), key=lambda kind: (-kind[1], kind[0]))
        ]
        said = [f"read {' and '.join(filter(None, (', '.join(forms[:-1]), forms[-1])))}"] if forms else []
        said += [of_all] * bool(of_all)
        said += [f"{n:,} {note}" for note, n in sorted(self.notes.items())]
        return said + [f"left out {_first_few(self.left_out)}"] * bool(self.left_out)


def _first_few(left_out: dict[str, str]) -> str:
    listed = "; ".join(f"{name} {reason}" for name, reason in sorted(left_out.items())[:FEW])
    more = ", ..." * (len(left_out) > FEW)
    return f"{len(left_out):,} that cannot be read ({listed}{more})"


def _read(pictures: Pictures, number: int) -> Picture:
    try:
        return pictures.read(number)
    except UnreadableError as error:
        raise UserError(f"{error}{SKIP_HINT}") from error


def _readable(pictures: Pictures, source: Source, seen: _Seen) -> Pictures:
    """The pictures that can be read. All are decoded to find out, before the set is split, so that the result
    is the same as if the unreadable files did not exist."""

    def reason(number: int) -> UnreadableError | None:
        try:
            pictures.read(number)
        except UnreadableError as error:
            return error
        return None

    some = []
    with (
        tqdm(desc=f"Trying {source.title}, once", total=pictures.size, unit="image", disable=None) as bar,
        ThreadPoolExecutor(thread_name_prefix="try") as pool,
    ):
        for number, error in enumerate(pool.map(reason, range(pictures.size))):
            bar.update()
            if error is None:
                some.append(number)
            else:
                seen.left_out[error.name] = error.reason
    if not some:
        raise UserError(f"{source.title} holds no images that can be read: {_first_few(seen.left_out)}")
    return subset(pictures, np.array(some))


def _write(path: Path, pictures: Pictures, first: str, shape: tuple[int, ...], seen: _Seen, bar: Any) -> None:
    """Writes an .npy file, some images at a time. Raises UserError if an image has another shape than
    ``shape``, that of the image named ``first``."""
    with path.open("wb") as file, ThreadPoolExecutor(thread_name_prefix="decode") as pool:
        head = {"descr": "|u1", "fortran_order": False, "shape": (pictures.size, *shape)}
        np.lib.format.write_array_header_1_0(file, head)
        for start in range(0, pictures.size, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, pictures.size))
            read = pool.map(lambda number: _read(pictures, number), numbers)
            for number, picture in zip(numbers, read, strict=True):
                if picture.pixels.shape != shape:
                    raise UserError(_mixed(pictures.name(number), picture.pixels.shape, first, shape))
                file.write(np.ascontiguousarray(picture.pixels).data)
                seen.forms.update([picture.form] if picture.form else [])
                seen.notes.update(picture.notes)
                bar.update()
        file.flush()
        flush_open(file.fileno())


def _mixed(name: str, shape: tuple[int, ...], first: str, first_shape: tuple[int, ...]) -> str:
    sizes = [f"{s[1]} x {s[0]} pixels with {s[2]} channel{'s' * (s[2] > 1)}" for s in (shape, first_shape)]
    sizes_differ, colors_differ = shape[:2] != first_shape[:2], shape[2] != first_shape[2]
    wanted = ["--data.image_size N makes all N x N"] * sizes_differ
    wanted += ["--data.color gray or rgb converts all"] * colors_differ
    return f"{name} has {sizes[0]}, but {first} has {sizes[1]}: {'; '.join(wanted)}"
