"""The linter and the type checker are clean, and have read every file."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def run(*command):
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )


def sources():
    folders = ("jaxvae", "configs", "benchmarks", "tests")
    return {ROOT / "train.py", *(path for folder in folders for path in (ROOT / folder).rglob("*.py"))}


def test_ruff_is_clean_and_reads_every_file():
    checked = run("ruff", "check", "--no-cache", ".")
    assert checked.returncode == 0, checked.stdout
    formatted = run("ruff", "format", "--no-cache", "--check", ".")
    assert formatted.returncode == 0, formatted.stdout
    read = {Path(line) for line in run("ruff", "check", "--show-files").stdout.splitlines()}
    assert sources() <= read


def test_pyright_is_clean_and_reads_every_file():
    report = json.loads(run("pyright", "--pythonpath", sys.executable, "--outputjson").stdout)
    assert report["generalDiagnostics"] == []
    assert report["summary"]["filesAnalyzed"] >= len(sources()) > 30
