"""Where do the run's numbers go? ``metrics.jsonl`` and other JSON files that are whole at any moment."""

import json
import os
from pathlib import Path
from typing import Any


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file so that a reader finds the old content or the new, never a part."""
    _replace(path, json.dumps(content, indent=2, allow_nan=True) + "\n")


class MetricsFile:
    """One JSON object a line, ascending steps, at most one line for each (step, split).

    Opening it for a run that continues at ``step`` drops what later steps wrote, and a line that a kill
    cut short: those steps will be taken, and written, again.
    """

    def __init__(self, path: Path, step: int):
        self._path = path
        self._lines = [line for line in _whole_lines(path) if line["step"] <= step]
        _replace(path, "".join(json.dumps(line) + "\n" for line in self._lines))
        self._file = path.open("a", encoding="utf-8")

    @property
    def seconds(self) -> float:
        """Training time up to the last line that is kept."""
        return max((line.get("seconds", 0.0) for line in self._lines), default=0.0)

    def append(self, line: dict[str, Any]) -> None:
        """Adds a line and hands it to the operating system; replaces one of the same step and split."""

        def same(other: dict[str, Any]) -> bool:
            return (other["step"], other["split"]) == (line["step"], line["split"])

        if any(same(kept) for kept in reversed(self._lines)):
            self._lines = [kept for kept in self._lines if not same(kept)] + [line]
            self._file.close()
            _replace(self._path, "".join(json.dumps(kept) + "\n" for kept in self._lines))
            self._file = self._path.open("a", encoding="utf-8")
        else:
            self._lines.append(line)
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def close(self) -> None:
        """No more lines."""
        self._file.close()


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


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)
