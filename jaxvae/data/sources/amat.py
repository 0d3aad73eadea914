"""How is Larochelle's fixed binarisation of MNIST read? From three text files, an image of 0 and 1 a line.

Larochelle and Murray (2011) drew each pixel of MNIST once; what is published as static MNIST is that draw,
with 50,000 images to train, 10,000 to validate and 10,000 to test. ``data.binarization`` static is a run's
own draw.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jaxvae.config import Data
from jaxvae.data.dataset import Pictures, Source, regular_status
from jaxvae.data.sources.arrays import pictures
from jaxvae.errors import UserError, printable

FILES = ("binarized_mnist_train.amat", "binarized_mnist_test.amat", "binarized_mnist_valid.amat")
SIZES = (50_000, 10_000, 10_000)
DRAW = "static MNIST, Larochelle's draw"
SIDE = 28


def larochelle(folder: Path, data: Data) -> Source | None:
    """The images of a folder that holds the three files; None for a folder without any of them. The
    validation images are left out unless ``data.validation`` is own.

    Raises UserError if one or two are missing; opening it raises UserError, with file and line, for what is
    no row of 784 numbers, each 0 or 1. It is called Larochelle's draw if there are as many rows as that has.
    """
    files = [folder / name for name in FILES]
    missing = [path.name for path in files if not path.exists()]
    packed = [f"{name}.gz" for name in missing if (folder / f"{name}.gz").exists()]
    if len(missing) == len(files) and not packed:
        return None
    if missing:
        hint = f"; unpack {', '.join(packed)}" if packed else ""
        raise UserError(
            f"{printable(folder)} holds no {' and no '.join(missing)}: the draw is read from three files, "
            f"{', '.join(FILES)}{hint}"
        )
    own = data.validation == "own"
    used = "" if own else f", {FILES[2]} not used"

    def open_all() -> list[Pictures]:
        # All three are read, whether they are used or not: the name says something about all.
        sets = [(printable(path), read_rows(path)) for path in files]
        train, *others = pictures(sets if own else sets[:2], data)
        return [train._replace(remark=_found(*(len(rows) for _, rows in sets))), *others]

    unchanged = data.image_size in (None, SIDE) and data.color != "rgb"
    return Source(
        f"{printable(folder)} (.amat{used})",
        folder,
        files,
        open_all,
        frozenset(),
        has_validation=own,
        renamed={_found(*SIZES): f"{DRAW} ({printable(folder)}{used})"} if unchanged else {},
    )


def _found(train: int, test: int, validation: int) -> str:
    """What is said of the rows that were read."""
    return (
        f"read {train:,} training, {validation:,} validation and {test:,} test images, in rows of "
        f"{SIDE * SIDE} numbers"
    )


def read_rows(path: Path) -> UInt8[np.ndarray, "image 28 28"]:
    """The images in one file, as 0 and 255; raises UserError, with the line, for one that is damaged."""
    name, rows = printable(path), []
    try:
        regular_status(path)
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if words := line.split():
                    rows.append(_row(words, f"{name}, line {number},"))
    except OSError as error:
        raise UserError(f"{name} cannot be read ({error.strerror})") from error
    if not rows:
        raise UserError(f"{name} holds no images")
    return np.stack(rows).reshape(-1, SIDE, SIDE) * np.uint8(255)


def _row(words: list[bytes], where: str) -> UInt8[np.ndarray, "784"]:
    if len(words) != SIDE * SIDE:
        commas = b"," in b"".join(words)
        why = "numbers must be separated by spaces" if commas else "the file is damaged or cut short"
        raise UserError(
            f"{where} holds {len(words)} numbers, where an image of {SIDE} x {SIDE} has {SIDE * SIDE}: {why}"
        )
    if not set(words) <= {b"0", b"1"}:
        words = [_digit(word, where) for word in words]
    return np.frombuffer(b"".join(words), np.uint8) - np.uint8(ord("0"))


def _digit(word: bytes, where: str) -> bytes:
    """A number that is written in another way, such as 1.0, as one digit."""
    try:
        value = float(word)
    except ValueError:
        value = -1.0
    if value not in (0.0, 1.0):
        raise UserError(
            f"{where} holds {printable(word.decode(errors='replace'))}, where only 0 and 1 can be"
        )
    return b"%d" % value
