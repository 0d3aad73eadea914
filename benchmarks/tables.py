"""How are a benchmark's rows printed, kept, and put into the documentation?

    python -m benchmarks.NAME --json > benchmarks/results/NAME-MACHINE.jsonl
    python -m benchmarks.tables

The second command rewrites every table in README.md and docs/, from the files in ``benchmarks/results/``; a
table stands between ``<!-- table FILE.jsonl -->`` and ``<!-- end of table -->``.
"""

import argparse
import datetime
import importlib
import importlib.metadata
import json
import platform
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.system.platforms import cores

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results"
Row = dict[str, Any]


class Column(NamedTuple):
    """One column of a table."""

    title: str
    text: Callable[[Row], str]
    """What the column says of a row. A column whose first text begins with a digit is aligned right."""


def parser(description: str) -> argparse.ArgumentParser:
    """A benchmark's command line; tyro is not everywhere where a benchmark should run."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    return made


def one_or_more(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    """The type of an option that takes several of ``allowed``, separated by commas."""

    def parse(text: str) -> tuple[str, ...]:
        given = tuple(text.split(","))
        for name in given:
            if name not in allowed:
                raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(allowed)}")
        return given

    return parse


def positive_integers(text: str) -> tuple[int, ...]:
    """The type of an option that takes several whole numbers above 0, separated by commas."""
    given = text.split(",")
    if not all(number.isascii() and number.isdigit() and int(number) > 0 for number in given):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list like 128,512 of numbers above 0")
    return tuple(int(number) for number in given)


def device_name(device: Any, count: int = 1) -> str:
    """What a JAX device, or ``count`` alike, calls itself; for a CPU the processor's name and the cores that
    JAX may use."""
    if count > 1:
        return f"{count} x {device_name(device)}"
    if device.platform != "cpu":
        return device.device_kind
    names: list[str] = []
    if sys.platform == "linux":
        names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return f"cpu ({names[0] if names else platform.machine()}, {cores()} cores)"


def provenance(device: str, *packages: str) -> Row:
    """On what, when and with which versions a row was measured; the last keys of every row."""
    versions = {name: importlib.metadata.version(name) for name in ("jax", "jaxlib", *packages)}
    return {
        "device": device,
        "date": datetime.date.today().isoformat(),
        "versions": {"python": platform.python_version(), **versions},
    }


def say(text: str) -> None:
    """Progress, and what is left out; out of the results' way."""
    print(text, file=sys.stderr, flush=True)


def emit(rows: Sequence[Row], columns: Sequence[Column], as_json: bool) -> None:
    """Prints the rows, each with its provenance, as JSON lines or as a table."""
    print("\n".join(json.dumps(row) for row in rows) if as_json else table(rows, columns))


def table(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """A Markdown table under a line of when, on what and with which versions. A row without a date stands for
    what was not measured."""
    cells = [[column.text(row) for column in columns] for row in rows]
    widths = [max(len(text) for text in column) for column in zip([c.title for c in columns], *cells)]  # noqa: B905
    right = [text[:1].isdigit() for text in cells[0]]

    def line(texts: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if to_right else text.ljust(width)
            for text, width, to_right in zip(texts, widths, right, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * (width - 1) + ":" if to_right else "-" * width
        for width, to_right in zip(widths, right, strict=True)
    ]
    heads = dict.fromkeys(
        f"{row['date']}, {row['device']}, "
        + ", ".join(f"{name} {version}" for name, version in row["versions"].items() if name != "jaxlib")
        for row in rows
        if "date" in row
    )
    head = "\n".join(heads)
    return "\n".join([head, "", line([c.title for c in columns]), line(rule), *map(line, cells)])


def read_rows(path: Path) -> list[Row]:
    """The rows that a benchmark printed into a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def pages() -> list[Path]:
    """The files that may hold tables: README.md, and every page in ``docs/``."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def with_tables(text: str) -> str:
    """``text`` with every marked table made anew; the benchmark is the file name's first word."""

    def make(match: re.Match[str]) -> str:
        name = match[1]
        module = importlib.import_module(f"benchmarks.{name.split('-')[0]}")
        rows = read_rows(RESULTS / name)
        # A benchmark may list what was not measured too.
        rows = module.completed(rows) if hasattr(module, "completed") else rows
        made = table(rows, module.COLUMNS)
        return f"<!-- table {name} -->\n{made}\n<!-- end of table -->"

    return re.sub(r"<!-- table (\S+) -->\n.*?<!-- end of table -->", make, text, flags=re.DOTALL)


def main() -> None:
    """Rewrites the tables of every page."""
    for page in pages():
        page.write_text(with_tables(page.read_text()))


if __name__ == "__main__":
    main()
