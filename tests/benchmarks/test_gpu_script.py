"""``benchmarks/gpu.sh``: every command that it will give on a GPU, at its smallest size, on what is here."""

import importlib
import os
import subprocess
import sys

import pytest

from benchmarks.tables import ROOT, read_rows, table

FILES = {
    "throughput-here-float32.jsonl",
    "rivals-here-float32.jsonl",
    "scaling-here.jsonl",
    "startup-here.jsonl",
    "time_to_nll-here.jsonl",
    "streaming-here.jsonl",
}


@pytest.mark.slow
def test_every_benchmark_for_a_gpu_runs_and_leaves_a_table(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"QUICK": "1", "MACHINE": "here", "RESULTS": str(tmp_path), "PYTHON": sys.executable}
    script = ROOT / "benchmarks" / "gpu.sh"
    done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "code" not in done.stderr, done.stderr
    assert {path.name for path in tmp_path.iterdir()} == FILES
    for path in tmp_path.iterdir():
        benchmark = importlib.import_module(f"benchmarks.{path.name.split('-')[0]}")
        rows = read_rows(path)
        assert rows
        assert table(rows, benchmark.COLUMNS).count("\n") == len(rows) + 3
