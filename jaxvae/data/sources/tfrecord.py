"""How is a TFRecord file read without TensorFlow? By number: each record says how long it is."""

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jaxvae.errors import UserError, printable

_HEAD = struct.Struct("<QI")
"""A record begins with its length and that number's checksum; after its bytes comes their checksum. These are
not looked at: the images inside carry checksums of their own, or are found damaged when they are decoded."""
_TAIL = 4


class Record(NamedTuple):
    """Where the bytes of one record are."""

    path: Path
    offset: int
    length: int

    def read(self) -> bytes:
        """The bytes."""
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.length)


def find_records(paths: Sequence[Path]) -> list[Record]:
    """Every record of the files, in order; raises UserError for a file that is missing, cut short or none."""
    records = []
    for path in paths:
        try:
            records += _records_of(path)
        except OSError as error:
            raise UserError(f"{printable(path)} cannot be read ({error.strerror})") from error
    return records


def _records_of(path: Path) -> Iterator[Record]:
    size, offset = path.stat().st_size, 0
    with path.open("rb") as file:
        while offset < size:
            file.seek(offset)
            head = file.read(_HEAD.size)
            length = _HEAD.unpack(head)[0] if len(head) == _HEAD.size else size
            end = offset + _HEAD.size + length + _TAIL
            if end > size:
                raise UserError(f"{printable(path)} is damaged or cut short: a record does not end in it")
            yield Record(path, offset + _HEAD.size, length)
            offset = end
