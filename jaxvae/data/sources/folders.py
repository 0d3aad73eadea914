"""Which files of a folder are images, and what else lies there?"""

import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvae.config import Data
from jaxvae.data.dataset import UnreadableError
from jaxvae.data.image_grid import is_marked
from jaxvae.data.sources.splits import choose_folders, ranked_folders
from jaxvae.errors import UserError, printable

SUFFIXES = frozenset(
    ".png .apng .jpg .jpeg .jpe .jfif .webp .bmp .dib .tif .tiff .gif .pgm .ppm .pbm .pnm".split()
)
"""Of files that may be images, in small letters; what is in them decides."""
FORMATS = "PNG, JPEG, WebP, BMP, TIFF, GIF or PNM files"
ARRAYS = (".npy", ".npz", ".idx", ".gz")
_OTHERS = {
    *("__MACOSX", "@eaDir", "#recycle", "@Recycle", "$RECYCLE.BIN"),
    *("System Volume Information", "lost+found"),
}
"""Folders that other programs leave, with what looks like images in them."""
_OWN = ("data-", "samples-", "reconstructions-")
"""How the names of pictures begin that this program makes. Only these are opened to look for its mark."""


class Listing(NamedTuple):
    """What was found in a folder and all folders in it."""

    images: list[str]
    """Paths from the folder on, in the order of their names."""
    folders: list[str]
    """Names of the folders directly in it."""
    skipped: Counter[str]
    """How many of each kind are no images of the person's; ``{s}`` stands where several take an s."""
    remarks: list[str]
    """What could not be looked into."""
    is_prepared: bool
    """Whether it is a data set as TensorFlow Datasets prepares it."""


def list_images(folder: Path, data: Data) -> Listing:
    """The images in a folder, also those in folders of it and behind links, each folder once.

    Hidden files, runs of this program and what it made are left out, so that a run may lie in the folder of
    its images. Raises UserError for a folder that cannot be read, unless ``data.unreadable`` is skip and it
    is not the whole.
    """
    top, resolved = str(folder), folder.resolve()
    # A link to where the folder itself lies would bring everything else there is.
    seen = {(status.st_dev, status.st_ino) for status in map(os.stat, resolved.parents)}
    found = Listing([], [], Counter(), [], os.path.isfile(os.path.join(top, "dataset_info.json")))

    def unreadable(error: OSError) -> None:
        where, is_all = printable(error.filename), error.filename == top
        if is_all or data.unreadable == "refuse":
            hint = "" if is_all else SKIP_HINT
            raise UnreadableError(where, f"cannot be read ({error.strerror}){hint}") from error
        found.remarks.append(f"left out the folder {where} ({error.strerror})")

    for here, folders, files in os.walk(top, followlinks=True, onerror=unreadable):
        try:
            status = os.stat(here)
        except OSError as error:
            unreadable(error)
            folders.clear()
            continue
        inside = here[len(top) :].lstrip(os.sep)
        kind = None
        if (status.st_dev, status.st_ino) in seen:
            kind = "link{s} back to a folder"
        elif inside and "config.json" in files and ("metrics.jsonl" in files or "checkpoints" in folders):
            kind = "run{s} of jaxvae"
        if kind is not None:
            found.skipped[kind] += 1
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in sorted(folders) if _is_taken(name, found.skipped)]
        # A folder is read under its own name, and not under that of a link beside it.
        folders.sort(key=lambda name: os.path.islink(os.path.join(here, name)))
        if not inside:
            found.folders.extend(folders)
        elif 0 in (places := ranked_folders(folders)) and len(places) > 1:
            _refuse_nested(here, folders, data)
        for name in files:
            kind = _skipped_as(os.path.join(here, name), name)
            if kind is None:
                found.images.append(os.path.join(inside, name))
            else:
                found.skipped[kind] += 1
    found.images.sort(key=lambda path: path.split(os.sep))
    return found


SKIP_HINT = "; --data.unreadable skip leaves out what cannot be read"


def _is_taken(folder: str, skipped: Counter[str]) -> bool:
    if folder.startswith(".") or folder in _OTHERS:
        skipped["hidden folder{s}"] += 1
        return False
    if folder.endswith(".jaxvae"):
        skipped["folder{s} of decoded images"] += 1
        return False
    return True


def _skipped_as(path: str, name: str) -> str | None:
    """What kind of file it is that is no image; None for an image."""
    if name.startswith("."):
        return "hidden file{s}"
    suffix = kind_of_file(name)
    if suffix not in SUFFIXES:
        return suffix
    if suffix == ".png" and name.startswith(_OWN):
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if is_marked(file.read(256)):
                return "picture{s} that jaxvae made"
    return None


def kind_of_file(name: str) -> str:
    """Its suffix, in small letters."""
    return printable(os.path.splitext(name)[1].lower()) or "without a suffix"


def _refuse_nested(here: str, folders: Sequence[str], data: Data) -> None:
    roles = choose_folders(folders, printable(here))
    raise UserError(
        f"{printable(here)} holds {printable(roles.train)}/ and {printable(roles.test)}/, which would become "
        f"one set if all of {printable(data.name)} were read: give --data.name {printable(here)} if those "
        "are meant"
    )


class Parts(NamedTuple):
    """Images that train and images that test, and what else there is to say."""

    train: list[str]
    test: list[str] | None
    remarks: list[str]
    validation: list[str] | None = None
    """Images that validate, if ``data.validation`` is own and there are some."""


def divide(folder: Path, found: Listing, data: Data) -> Parts:
    """Which images train, which test and which validate, by the folders they are in; raises UserError where
    that cannot be known, or where there are none."""
    where, roles = printable(folder), choose_folders(found.folders, printable(folder))
    by_folder: dict[str, list[str]] = defaultdict(list)
    for path in found.images:
        first, _, rest = path.partition(os.sep)
        by_folder[first if rest else ""].append(path)
    if roles.train is None and roles.test is None:
        if not found.images:
            raise UserError(_none(where, found))
        return Parts(found.images, None, [])
    if roles.train is None:
        assert roles.test is not None
        raise UserError(
            f"{where} holds {printable(roles.test)}/ and no train/: put the images to train on into train/ "
            f"there, or give --data.name {where}/{printable(roles.test)} if its images are all"
        )
    validation = roles.validation(data, where)
    for part in filter(None, (roles.train, roles.test, validation)):
        if not by_folder[part]:
            raise UserError(_none(f"{where}/{printable(part)}", found))
    others = {name: by_folder[name] for name in roles.others if by_folder[name] and name != validation}
    if roles.test is None and others:
        raise UserError(
            f"{where} holds images in {printable(roles.train)}/ and in {_listed(others)}: give --data.name "
            f"{where}/{printable(roles.train)} if those alone are meant, or another name to the folder if it "
            "is one class of several"
        )
    beside = [f"{printable(name)}/ ({_images(len(images))})" for name, images in others.items()]
    beside += [f"{_images(len(by_folder['']))} beside these folders"] * bool(by_folder[""])
    test = None if roles.test is None else by_folder[roles.test]
    validates = None if validation is None else by_folder[validation]
    return Parts(by_folder[roles.train], test, beside, validates)


def _none(where: str, found: Listing) -> str:
    held = describe(found.skipped)
    arrays = any(suffix in found.skipped for suffix in ARRAYS)
    hint = ": for an array, give --data.name the path of its file" if arrays else ""
    if found.is_prepared:
        hint = ": it is prepared by TensorFlow Datasets, so give --data.name its name there, and --data.dir"
    return f"{where} holds no images ({FORMATS})" + (f", but {', '.join(held)}" if held else "") + hint


def describe(skipped: Counter[str]) -> list[str]:
    """Each kind with its number; the least common suffixes together."""
    named = {kind: n for kind, n in skipped.items() if not kind.startswith(".")}
    suffixes = sorted(skipped.keys() - named.keys(), key=lambda kind: (-skipped[kind], kind))
    said = [f"{n:,} {kind.format(s='s' * (n > 1))}" for kind, n in sorted(named.items())]
    said += [f"{skipped[kind]:,} {kind}" for kind in suffixes[:6]]
    rest = sum(skipped[kind] for kind in suffixes[6:])
    return said + [f"{rest:,} of other kinds"] * bool(rest)


def _images(number: int) -> str:
    return f"{number:,} image{'s' * (number != 1)}"


def _listed(names: Iterable[str]) -> str:
    names = [f"{printable(name)}/" for name in names]
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
