"""Which images were decoded before? They are arrays in ``SOURCE.jaxvae/KEY/`` beside their source.

KEY is a digest of the content of the source's files and of every option that changes the decoded images, so
arrays of other content or other options are never found. The arrays are mapped into memory.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jaxvae.config import Data
from jaxvae.data.dataset import Dataset, Source, dataset_of, identity, one_line, regular_status
from jaxvae.data.memory_map import digest_images
from jaxvae.data.packing import FEW, array_names, pack
from jaxvae.data.sources.folders import SKIP_HINT
from jaxvae.errors import RunError, UserError, printable
from jaxvae.system.atomic_files import read_json, write_json
from jaxvae.system.lock import InUseError, Lock
from jaxvae.system.paths import users_folder

Result = TypeVar("Result")
VERSION = 2
"""Version of the decoding; part of the key."""
CONTENT = "content.json"
"""Records the identities of the source's files and the digest of their content."""
_PARTIAL = re.compile(r"[0-9a-f]+-[0-9a-f]{16}\.partial")
"""Names of folders in which arrays are being written."""


def decoded(source: Source, data: Data) -> Dataset:
    """The images of a source as memory maps, one for each set, decoded now if they were not decoded before.

    Waits for another process that decodes the same images. A process that is killed while it decodes leaves
    nothing that is used, because a folder gets its final name when everything in it is on the disk. If the
    folder beside the source cannot be written, the user's cache folder is used. Raises UserError if an image
    cannot be used, and RunError if neither folder can be written.
    """
    beside = source.path.resolve()
    # The root of the file system has no folder beside it.
    folders = [beside.with_name(beside.name + ".jaxvae")] if beside.name else []
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
            refused.append(f"{printable(folder)} ({error.strerror})")
        finally:
            _remove_if_empty(folder)
    raise RunError(
        f"the decoded images of {source.title} can be kept nowhere: not in "
        f"{', nor in '.join(refused) or 'a cache, of which there is none'}"
    )


def _remove_if_empty(folder: Path) -> None:
    """Removes the folder if it holds no decoded images."""
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
        "background": data.background,
        "sixteen_bit": data.sixteen_bit,
        "unreadable": data.unreadable,
        "content": _content(source, data, folder),
    }
    if source.has_validation:
        options["validation"] = "own"
    return hashlib.sha256(json.dumps(options).encode()).hexdigest()[:16]


def _content(source: Source, data: Data, folder: Path) -> str:
    """A digest of the names and content of the source's files. The files are read only if their identities
    differ from those that were recorded in ``folder``."""
    skips = data.unreadable == "skip"
    # The byte at which the part of a name inside the source begins. The current folder adds no prefix.
    begin = len(os.fsencode(source.path / "_")) - 1
    listing = hashlib.sha256()
    for path in source.files:
        listing.update(_entry(path, begin, _read(path, identity, skips)))
    note, names = folder / CONTENT, listing.hexdigest()
    with contextlib.suppress(LookupError, TypeError):
        noted = read_json(note)
        if noted["listing"] == names:
            return noted["content"]
    content = hashlib.sha256()
    with ThreadPoolExecutor() as pool:
        digests = pool.map(lambda path: _read(path, _file_digest, skips), source.files)
        for path, digest in zip(source.files, digests, strict=True):
            content.update(_entry(path, begin, digest))
    # If it cannot be written, the files are read again next time.
    with contextlib.suppress(OSError):
        write_json(note, {"listing": names, "content": content.hexdigest()}, durable=False)
    return content.hexdigest()


def _entry(path: Path, begin: int, what: object) -> bytes:
    """A file's name, from the byte ``begin`` on, and ``what`` is known about it, separated by zero bytes,
    which names cannot contain."""
    return os.fsencode(path)[begin:] + f"\0{what}\0".encode()


def _read(path: Path, reader: Callable[[Path], Result], skips: bool) -> Result | None:
    """The result of ``reader`` for a file of the source; None if it cannot be read and is to be skipped.

    Raises UserError instead of OSError, because the caller treats an OSError as one of the cache folder.
    """
    try:
        return reader(path)
    except OSError as error:
        if skips:
            return None
        raise UserError(f"{printable(path)} cannot be read ({error.strerror}){SKIP_HINT}") from error


def _file_digest(path: Path) -> str:
    regular_status(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _decode_alone(source: Source, data: Data, done: Path) -> None:
    """Decodes into the folder ``done``, or waits until another process has done so."""
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
                # We hold the lock, so partial folders here are of processes that were killed.
                for partial in done.parent.glob("*.partial"):
                    if _PARTIAL.fullmatch(partial.name):
                        shutil.rmtree(partial, ignore_errors=True)
            with warnings.catch_warnings():
                # Pillow warns of oddities in files that it reads correctly, without naming the file.
                warnings.filterwarnings("ignore", module=r"PIL\.")
                pack(source, data, done)
        finally:
            lock.release()


def _open(source: Source, done: Path) -> Dataset | None:
    """The decoded images in ``done``; None if there are none. An incomplete or changed folder is removed."""
    try:
        names = array_names(2 + source.has_validation)
        sets = [np.load(done / name, mmap_mode="r") for name in names]
        note = json.loads((done / "images.json").read_text())
        _vouch(done, note, names, *sets)
        listed = len(note["left_out"]) > FEW
        where = f"all that were left out are in {printable(done / 'images.json')}" if listed else ""
        said = one_line([*note["remarks"], where, *source.remarks])
        title = next((source.renamed[one] for one in note["remarks"] if one in source.renamed), source.title)
        return dataset_of(sets, title, note["digest"], said)
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        if done.is_dir():
            shutil.rmtree(done)
        return None


def _vouch(done: Path, note: dict[str, Any], names: Sequence[str], *arrays: np.ndarray) -> None:
    """Raises ValueError if the arrays differ from those that were recorded. They are read only if their files
    have other identities than recorded, for example after the folder was copied."""
    files = {name: identity(done / name) for name in names}
    if files == note["files"]:
        return
    if digest_images(*arrays) != note["digest"]:
        raise ValueError("the arrays were changed")
    # If it cannot be written, the arrays are read again next time.
    with contextlib.suppress(OSError):
        write_json(done / "images.json", note | {"files": files})
