"""Can the tests fail? Mistakes are made in a copy of the project, one at a time, and the tests must notice.

    python -m benchmarks.mutants [--only PATTERN] [--list] [--jobs 2] [--json]

Each row is a mistake (``benchmarks.mutant_list``): what it changes, and the test that noticed it first, among
those meant to. A mutant is killed if a test fails: not if the mutant cannot be imported, and not if the tests
do not end. Survivors, and mutants whose text is no longer in the code, end the program with code 1. About
fifteen minutes on two cores.
"""

import concurrent.futures
import contextlib
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.mutant_list import MUTANTS, Mutant
from benchmarks.tables import ROOT, Column, Row, device_name, emit, parser, provenance, say

SECONDS = 600
"""The tests of one mutant take a fraction of it."""
BROKEN = (
    "NameError",
    "UnboundLocalError",
    "SyntaxError",
    "IndentationError",
    "ImportError",
    "ModuleNotFoundError",
)
"""What a test raises if the mutant is no program rather than a wrong one."""
COLUMNS = (
    Column("area", lambda row: row["area"]),
    Column("mutant", lambda row: row["mutant"]),
    Column("file", lambda row: row["file"]),
    Column("verdict", lambda row: row["verdict"]),
    Column("noticed by", lambda row: row["noticed_by"].rpartition("/")[2] or "-"),
)


class Outcome(NamedTuple):
    """What came of some tests."""

    verdict: str
    """killed; survived; broken: it is no program, or no test ran; timed out."""
    noticed_by: str
    """The test that failed, and what it said."""
    said: str
    """All that pytest said."""


def main() -> int:
    """Makes the mutants and prints what came of them; tells of each as soon as it is known."""
    made = parser(__doc__ or "")
    made.add_argument("--only", default="", help="a regular expression for areas, names, files and tests")
    made.add_argument("--list", action="store_true", help="name the mutants, and make none")
    made.add_argument("--jobs", type=int, default=2, help="mutants at a time")
    options = made.parse_args()
    chosen = [m for m in MUTANTS if re.search(options.only, " ".join((*m[:3], *m.tests)))]
    if options.list:
        print("\n".join(f"{m.area:<14} {m.name}  [{m.file}: {', '.join(m.tests)}]" for m in chosen))
        return 0
    if lost := [f"{m.name}: {reason}" for m in MUTANTS if (reason := misfit(m)) is not None]:
        say("These mutants are out of step with the code:\n  " + "\n  ".join(lost))
        return 1
    if not chosen:
        say(f"no mutant is like {options.only!r}")
        return 1
    return make(chosen, options.jobs, options.json)


def misfit(mutant: Mutant) -> str | None:
    """Why a mutant cannot be made; None if it can."""
    path = ROOT / mutant.file
    if not path.is_file():
        return f"there is no {mutant.file}"
    source = path.read_text()
    if (count := source.count(mutant.text)) != 1:
        return f"its text is {count} times in {mutant.file}, not once: {mutant.text!r}"
    try:
        compile(source.replace(mutant.text, mutant.replacement), mutant.file, "exec")
    except SyntaxError as error:
        return f"it does not compile: {error}"
    missing = [test for test in mutant.tests if not (ROOT / "tests" / test.split("::")[0]).is_file()]
    return f"there is no tests/{missing[0]}" if missing else None


def make(chosen: Sequence[Mutant], jobs: int, as_json: bool) -> int:
    """Makes these mutants, ``jobs`` at a time, each in a copy of the project; the exit code."""
    # Only here: what there is to list needs no JAX.
    import jax

    device = device_name(jax.devices("cpu")[0])
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
        caches = Path(folder) / "caches"
        copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
        for number in range(jobs):
            copies.put(copy(Path(folder) / str(number)))

        def outcome_of(mutant: Mutant) -> tuple[Outcome, float]:
            here = copies.get()
            started, path = time.perf_counter(), here / mutant.file
            source = path.read_text()
            try:
                path.write_text(source.replace(mutant.text, mutant.replacement))
                return run(here, mutant.tests, caches), time.perf_counter() - started
            finally:
                path.write_text(source)
                copies.put(here)

        first = copies.get()
        tests = sorted({test for mutant in chosen for test in mutant.tests})
        say(f"{len(chosen)} mutants; first their {len(tests)} tests without any")
        unmutated = run(first, tests, caches)
        copies.put(first)
        if unmutated.verdict != "survived":
            say(f"{unmutated.said}\nThe tests fail without any: {unmutated.verdict} {unmutated.noticed_by}")
            return 1
        rows = list[Row]()
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for mutant, (outcome, seconds) in zip(chosen, pool.map(outcome_of, chosen), strict=True):
                row = {"area": mutant.area, "mutant": mutant.name, "file": mutant.file}
                found = {
                    "verdict": outcome.verdict,
                    "noticed_by": outcome.noticed_by,
                    "seconds": round(seconds, 1),
                }
                rows.append({**row, **found, **provenance(device)})
                print(
                    f"{outcome.verdict:<9} {mutant.name}  [{outcome.noticed_by or ', '.join(mutant.tests)}]"
                )
                sys.stdout.flush()
                if outcome.verdict in ("broken", "timed out"):
                    print(outcome.said)
        kinds = {
            verdict: sum(row["verdict"] == verdict for row in rows) for verdict in ("killed", "survived")
        }
        print(f"{len(rows)} mutants, {', '.join(f'{count} {verdict}' for verdict, count in kinds.items())}")
    emit(rows, COLUMNS, as_json)
    return 0 if kinds["killed"] == len(rows) else 1


def copy(target: Path) -> Path:
    """A copy of the project: of every file that Git knows or would take in."""
    listed = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    return target


def run(project: Path, tests: Sequence[str], caches: Path) -> Outcome:
    """Runs some tests of a copy in a process of their own, until one fails."""
    quiet = ("-n", "0", "-x", "-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "-m", "slow or not slow")
    environment = {
        **os.environ,
        "PYTHONPATH": str(project),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "300",
        # Programs that a mutant does not touch need not be compiled again.
        "JAXVAE_TEST_CACHES": str(caches),
    }
    command = [sys.executable, "-m", "pytest", *quiet, *(f"tests/{test}" for test in tests)]
    try:
        done = subprocess.run(
            command,
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return Outcome("timed out", "", str(error))
    if done.returncode == 0:
        return Outcome("survived", "", done.stdout)
    # 1: a test failed. An error outside of a test, or a failure to import, is none.
    failed = re.search(r"^FAILED (\S+?)(?:\[.*?\])?(?: - (.*))?$", done.stdout, re.MULTILINE)
    if done.returncode != 1 or failed is None or (failed[2] or "").startswith(BROKEN):
        return Outcome("broken", failed[0] if failed else "", done.stdout + done.stderr)
    return Outcome("killed", failed[1], done.stdout)


if __name__ == "__main__":
    sys.exit(main())
