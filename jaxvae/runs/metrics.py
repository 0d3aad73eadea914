"""How are the metrics of training written? Into ``metrics.jsonl``, one line at a time."""

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxvae.errors import RunError
from jaxvae.system.atomic_files import finite, replace
from jaxvae.system.platforms import flush

_PLACES = {"train": 0, "validation": 1}
"""In which order the lines of one step stand; test lines are the last."""


class MetricsFile:
    """One JSON object a line, ascending steps, at most one line for each (step, split).

    For a run that continues at ``step``, ``open`` drops the lines of later steps, and a line that a kill cut
    short, because those steps will be run and written again. Only the lines of the newest step are in memory,
    because only they can still be replaced.
    """

    def __init__(self, path: Path, step: int):
        """Reads the existing file and changes nothing.

        Raises RunError, with the line's number, if a line that would be kept was not written by a run, and
        OSError if the file cannot be read.
        """
        self._path, self._file = path, None
        self.seconds = 0.0
        """Seconds of training up to the last line that is kept."""
        self._newest, self._start = 0, 0
        self._rest: dict[tuple[int, str], bytes] = {}
        """The lines of the newest step, in order. In the file they begin at byte ``_start``."""
        self._behind = False
        """Whether the file may differ from ``_rest`` from byte ``_start`` on."""
        if not path.exists():
            return
        for start, line in _lines_until(path, step):
            self.seconds = max(self.seconds, line.get("seconds") or 0.0)
            if line["step"] > self._newest:
                self._newest, self._start, self._rest = line["step"], start, {}
            self._rest[line["step"], line["split"]] = _line(line)
        with path.open("rb") as file:
            file.seek(self._start)
            self._behind = file.read() != b"".join(self._rest.values())

    def open(self) -> None:
        """Opens the file for appending, after dropping the lines that are not kept; raises OSError."""
        if self._behind:
            self._rewrite()
        else:
            self._file = self._path.open("ab")

    def append(self, line: dict[str, Any]) -> None:
        """Writes a line and flushes it to the operating system. Replaces a line of the same step and split.

        The step must not be smaller than that of the previous line. Raises OSError if the line cannot be
        written; the next call then writes it too.
        """
        assert self._file is not None, "open comes first"
        assert line["step"] >= self._newest, (line["step"], self._newest)
        if line["step"] > self._newest and not self._behind:
            self._start += sum(map(len, self._rest.values()))
            self._rest = {}
        self._newest, key = line["step"], (line["step"], line["split"])
        replaces = self._rest.pop(key, None) is not None
        self._rest[key] = _line(line)
        if replaces or self._behind:
            self._rewrite()
            return
        self._behind = True
        self._file.write(self._rest[key])
        self._file.flush()
        self._behind = False

    def sync(self) -> None:
        """Flushes the file to the disk (``fsync``). Any thread may call it; raises OSError."""
        flush(self._path)

    def _rewrite(self) -> None:
        self._behind = True
        before = b""
        if self._start:
            with self._path.open("rb") as file:
                before = file.read(self._start)
        replace(self._path, before + b"".join(self._rest.values()))
        self.close()
        self._file = self._path.open("ab")
        self._behind = False

    def close(self) -> None:
        """Closes the file."""
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, in order; none if there is no file.

    A last line that is incomplete, because it is being written or a kill cut it short, is left out. Raises
    RunError for any other line that no run wrote.
    """
    return [line for _, line in _lines_until(path, sys.maxsize)] if path.exists() else []


def _lines_until(path: Path, step: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines up to ``step``, each with the byte at which it begins.

    An incomplete end, left by a kill or a power failure, is dropped. Raises RunError for any other line that
    no run wrote.
    """
    start, before, cut = 0, (-1, 0), None
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            line = _read_line(text)
            if line is None and (b"\0" in text or not text.endswith(b"\n")):
                cut = cut or number
            elif line is None and text.strip():
                raise _not_ours(path, number, text)
            elif line is not None:
                place = line["step"], _PLACES.get(line["split"], 2)
                if place <= before or (cut is not None and line["step"] <= step):
                    raise _not_ours(path, number if cut is None else cut, text)
                before = place
                if line["step"] <= step:
                    yield start, line
            start += len(text)


def _read_line(text: bytes) -> dict[str, Any] | None:
    """The parsed line; None if no run can have written it."""
    try:
        line = json.loads(text)
        ours = type(line["step"]) is int and line["step"] >= 0 and isinstance(line["split"], str)
        return line if ours and type(line.get("seconds") or 0.0) in (int, float) else None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _not_ours(path: Path, number: int, text: bytes) -> RunError:
    shown = ascii(text.strip()[:60].decode(errors="replace"))
    return RunError(
        f"{path}, line {number}, is none that a run writes in this place: {shown}. Nothing was changed. "
        "Remove the line, or put the file back as it was."
    )


def _line(content: dict[str, Any]) -> bytes:
    return json.dumps(finite(content)).encode() + b"\n"
