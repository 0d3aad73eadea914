"""Which images were decoded before? Arrays in ``SOURCE.jaxvae/KEY/`` beside their source, mapped into memory.

KEY is a digest of the content of the source's files and of all that changes what is made of them, so
arrays of something else are never found.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm import tqdm

from jaxvae.cache import users_folder
from jaxvae.config import Data
from jaxvae.errors import RunError, UserError
from jaxvae.lock import InUseError, Lock
from jaxvae.metrics import write_json
from jaxvae.pixels import digest_images
from jaxvae.source import Dataset, Pictures, Source, split, subset

Result = TypeVar("Result")
VERSION = 1
"""Of how pictures become arrays; part of the key."""
CONTENT = "content.json"
"""What is noted of the source's files."""
AT_ONCE = 256
"""So many pictures are decoded before they are written."""
_PARTIAL = re.compile(r"[0-9a-f]+-[0-9a-f]{16}\.partial")
"""What folders are called in which arrays are made."""


def kept(source: Source, data: Data) -> Dataset:
    """The images of a source as two memory maps, decoded now if they were not before.

    Another process that decodes the same is waited for; one that was killed while it did costs only time,
    because a folder gets its name when all in it is on the disk. Where nothing can be written beside the
    source, arrays are kept in the user's cache folder. Raises UserError if an image cannot be used.
    """
    beside = source.path.resolve()
    folders = [beside.with_name(beside.name + ".jaxvae")]
    users = users_folder()
    if users is not None:
        folders.append(users / "images")
    refused = []
    for folder in folders:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            done = folder / _key(source, data, folder)
            found = _open(source, done)
            while found is None:
                _decode_alone(source, data, done)
                found = _open(source, done)
            return found
        except OSError as error:
            refused.append(f"{folder} ({error.strerror})")
        finally:
            _remove_if_empty(folder)
    raise RunError(
        f"the decoded images of {source.title} can be kept nowhere: not in {', nor in '.join(refused)}"
    )


def _remove_if_empty(folder: Path) -> None:
    """Leaves nothing behind where nothing was kept."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} <= {CONTENT}:
            (folder / CONTENT).unlink(missing_ok=True)
            folder.rmdir()


def _key(source: Source, data: Data, folder: Path) -> str:
    options = {
        "version": VERSION,
        "image_size": data.image_size,
        "resize": data.resize,
        "color": data.color,
        "test_fraction": data.test_fraction,
        "content": _content(source, folder),
    }
    return hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]


def _content(source: Source, folder: Path) -> str:
    """A digest of the names and content of the source's files, which are read only if their sizes or times
    are not those that were noted in ``folder``."""
    listing = hashlib.sha256()
    for path in source.files:
        status = _read(path, _status)
        listing.update(f"{os.path.relpath(path, source.path)}\n{status}\n".encode())
    note, names = folder / CONTENT, listing.hexdigest()
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        noted = json.loads(note.read_text())
        if noted["listing"] == names:
            return noted["content"]
    content = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda path: _read(path, _file_digest), source.files)
        for path, digest in zip(source.files, digests, strict=True):
            content.update(f"{os.path.relpath(path, source.path)}\n{digest}\n".encode())
    write_json(note, {"listing": names, "content": content.hexdigest()}, durable=False)
    return content.hexdigest()


def _read(path: Path, reader: Callable[[Path], Result]) -> Result:
    """What ``reader`` finds of a file of the source, whose trouble is not that of the folder to keep in."""
    try:
        return reader(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode_alone(source: Source, data: Data, done: Path) -> None:
    """Makes the folder ``done``, or waits until another process has."""
    waits = False
    while not done.is_dir():
        try:
            lock = Lock(done.parent / "lock")
        except InUseError:
            if not waits:
                print(
                    f"{source.title}: waiting for another process to decode it", file=sys.stderr, flush=True
                )
            waits = True
            time.sleep(0.1)
            continue
        try:
            if done.is_dir():
                return
            if lock.excludes:
                # What others left here, they left when they were killed.
                for partial in done.parent.glob("*.partial"):
                    if _PARTIAL.fullmatch(partial.name):
                        shutil.rmtree(partial, ignore_errors=True)
            _decode(source, data, done)
        finally:
            lock.release()


def _decode(source: Source, data: Data, done: Path) -> None:
    train, test = source.open()
    if test is None:
        if train.size < 2:
            raise UserError(f"{source.title} holds a single image: there must be two, to train and to test")
        train, test = (subset(train, which) for which in split(train.size, data.test_fraction))
    first, total = train.read(0), train.size + test.size
    needed, free = total * first.nbytes, shutil.disk_usage(done.parent).free
    if needed > free:
        # Better now than after hours.
        message = f"{needed / 1e9:.1f} GB are needed, and {free / 1e9:.1f} GB are free"
        raise OSError(errno.ENOSPC, message, str(done.parent))
    partial = done.with_name(f"{done.name}-{secrets.token_hex(8)}.partial")
    partial.mkdir()
    try:
        with tqdm(desc=f"Decoding {source.title}, once", total=total, unit="image", disable=None) as bar:
            for name, pictures in (("train.npy", train), ("test.npy", test)):
                _write(partial / name, pictures, train.name(0), first.shape, bar)
        files = {name: _status(partial / name) for name in ("train.npy", "test.npy")}
        arrays = [np.load(partial / name, mmap_mode="r") for name in files]
        note = {"digest": digest_images(*arrays), "files": files, "source": source.title}
        write_json(partial / "images.json", note)
        try:
            os.replace(partial, done)
        except OSError:
            # Where there are no locks, another may have been first.
            if not done.is_dir():
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(path: Path, pictures: Pictures, first: str, shape: tuple[int, ...], bar: Any) -> None:
    """Writes an .npy file, some images at a time; raises UserError if one has not the ``shape`` of the
    ``first``."""
    with path.open("wb") as file, ThreadPoolExecutor(thread_name_prefix="decode") as pool:
        head = {"descr": "|u1", "fortran_order": False, "shape": (pictures.size, *shape)}
        np.lib.format.write_array_header_1_0(file, head)
        for start in range(0, pictures.size, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, pictures.size))
            for number, image in zip(numbers, pool.map(pictures.read, numbers), strict=True):
                if image.shape != shape:
                    raise UserError(_mixed(pictures.name(number), image.shape, first, shape))
                file.write(np.ascontiguousarray(image).data)
                bar.update()
        file.flush()
        os.fsync(file.fileno())


def _mixed(name: str, shape: tuple[int, ...], first: str, first_shape: tuple[int, ...]) -> str:
    sizes = [f"{s[1]} x {s[0]} pixels with {s[2]} channel{'s' * (s[2] > 1)}" for s in (shape, first_shape)]
    sizes_differ, colors_differ = shape[:2] != first_shape[:2], shape[2] != first_shape[2]
    wanted = ["--data.image_size N makes all N x N"] * sizes_differ
    wanted += ["--data.color gray or rgb converts all"] * colors_differ
    return f"{name} has {sizes[0]}, but {first} has {sizes[1]}: {'; '.join(wanted)}"


def _status(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _open(source: Source, done: Path) -> Dataset | None:
    """What is kept there; None if there is nothing, or no longer all of it, which then is removed."""
    try:
        train, test = (np.load(done / name, mmap_mode="r") for name in ("train.npy", "test.npy"))
        note = json.loads((done / "images.json").read_text())
        unchanged = all(_status(done / name) == list(status) for name, status in note["files"].items())
        return Dataset(train, test, source.title, note["digest"] if unchanged else None)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        if done.is_dir():
            shutil.rmtree(done)
        return None
