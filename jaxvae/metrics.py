"""Where do the run's numbers go? ``metrics.jsonl`` and other JSON files that are whole at any moment."""

import contextlib
import json
import math
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any], durable: bool = True) -> None:
    """Writes a JSON file so that a reader finds the old content or the new, never a part.

    If it is ``durable``, also after the machine, and not only the process, died.
    """
    _replace(path, json.dumps(_finite(content), indent=2) + "\n", durable)


class MetricsFile:
    """One JSON object a line, ascending steps, at most one line for each (step, split).

    Opening it for a run that continues at ``step`` drops what later steps wrote, and a line that a kill
    cut short: those steps will be taken, and written, again.
    """

    def __init__(self, path: Path, step: int):
        self._path = path
        self._lines = [line for line in _whole_lines(path) if line["step"] <= step]
        self._rewrite()

    @property
    def seconds(self) -> float:
        """Training time up to the last line that is kept."""
        return max((line.get("seconds") or 0.0 for line in self._lines), default=0.0)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line and hands it to the operating system; replaces one of the same step and split.

        Raises OSError if it cannot be written; the next call then tries to write it too.
        """

        def same(other: dict[str, Any]) -> bool:
            return (other["step"], other["split"]) == (line["step"], line["split"])

        replaces = any(same(kept) for kept in reversed(self._lines))
        self._lines = [kept for kept in self._lines if not (replaces and same(kept))] + [line]
        if replaces or self._behind:
            self._file.close()
            self._rewrite()
            return
        self._behind = True
        self._file.write(_line(line))
        self._file.flush()
        self._behind = False

    def sync(self) -> None:
        """Hands every line to the disk itself. Any thread may call it; raises OSError."""
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _rewrite(self) -> None:
        self._behind = True
        """Whether lines may be missing from the file, or the last be a part of one."""
        _replace(self._path, "".join(_line(line) for line in self._lines))
        self._file = self._path.open("a", encoding="utf-8")
        self._behind = False

    def close(self) -> None:
        """No more lines."""
        with contextlib.suppress(OSError):
            self._file.close()


def _line(content: dict[str, Any]) -> str:
    return json.dumps(_finite(content)) + "\n"


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    lines = []
    for text in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except ValueError:
            break
    return lines


def _replace(path: Path, text: str, durable: bool = True) -> None:
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
