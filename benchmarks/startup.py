"""How soon does a run take its first step? Real processes, from their start to their first line of metrics.

    python -m benchmarks.startup [--repeats 5] [--model mlp] [--json]

Each repeat starts ``train.py`` three times: with an empty cache of compiled programs, again in a new folder
with what the first left in the cache, and once more to continue that second run. Medians over the repeats;
one step a call, so that the first line stands for the first step.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.tables import ROOT, Column, Row, device_name, emit, parser, provenance, say

MODELS = {
    "mlp": "--model.architecture.hidden 400 --model.latent_dim 20 --model.architecture.activation relu",
    "mnist": "",
}
"""784-400-20-400-784 with ReLU, and the model of configs/mnist.py, as flags to that."""
STARTS = ("cold", "warm", "continued")
FLAGS = (
    "--train.log_every 1 --train.eval_every 4 --train.checkpoint_every 4 --eval.importance_samples 1 "
    "--optimizer.schedule constant"
)
"""A constant learning rate: with another number of steps the program is the same."""
IMPORTS = (
    "import gc, jaxvae.commands.train; gc.disable(); import jaxvae.training.processes, jaxvae.runs.fit, "
    "time; print(time.time())"
)
"""What ``train.py`` imports, as it does, and when that was done."""
COLUMNS = (
    Column("model", lambda row: row["model"]),
    Column("start", lambda row: row["start"]),
    Column("first step s", lambda row: f"{row['first_step_seconds']:.1f}"),
    Column("imports s", lambda row: f"{row['import_seconds']:.1f}"),
    Column("compile s", lambda row: f"{row['compile_seconds']:.1f}"),
    Column("other s", lambda row: f"{row['other_seconds']:.1f}"),
    Column("4 steps and an evaluation s", lambda row: f"{row['whole_seconds']:.1f}"),
)


def measure_start(model: str, run: Path, cache: Path, steps: int) -> Row:
    """Seconds of one process that trains the run in ``run`` up to ``steps``."""
    flags = f"--config mnist --workdir {run} --train.steps {steps} {FLAGS} {MODELS[model]}"
    metrics, started = run / "metrics.jsonl", time.time()
    before = metrics.read_text() if metrics.exists() else ""
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *flags.split()],
        env=_environment(cache),
        stdout=subprocess.DEVNULL,
    )
    first = None
    while process.poll() is None:
        time.sleep(0.005)
        if first is None and metrics.exists() and len(metrics.read_text()) > len(before):
            first = time.time() - started
    whole = time.time() - started
    if process.returncode or first is None:
        raise SystemExit(f"train.py {flags} ended with code {process.returncode}")
    summary = json.loads((run / "summary.json").read_text())
    return {
        "first_step_seconds": first,
        "compile_seconds": summary["throughput"]["compile_seconds"],
        "whole_seconds": whole,
    }


def measure_imports() -> float:
    """Seconds from a process's start until everything is imported that training needs."""
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=ROOT, env=_environment(None), capture_output=True, check=True
    )
    return float(done.stdout) - started


def _environment(cache: Path | None) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "JAXVAE_CACHE_DIR": str(cache or ""), "PYTHONPATH": os.pathsep.join(paths)}


def measure(model: str, repeats: int) -> list[Row]:
    """The rows of one model: medians of starts that take turns."""
    starts: dict[str, list[Row]] = {name: [] for name in STARTS}
    imports = []
    for repeat in range(repeats):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            imports.append(measure_imports())
            for name, run, steps in zip(STARTS, ("cold", "warm", "warm"), (4, 4, 8), strict=True):
                starts[name].append(measure_start(model, folder / run, folder / "cache", steps))
                seconds = starts[name][-1]["first_step_seconds"]
                say(f"{model} {name}, {repeat + 1} of {repeats}: {seconds:.2f} s")
    rows = []
    for name, measured in starts.items():
        row = {key: statistics.median(one[key] for one in measured) for key in measured[0]}
        row["import_seconds"] = statistics.median(imports)
        row["other_seconds"] = row["first_step_seconds"] - row["import_seconds"] - row["compile_seconds"]
        rows.append({"model": model, "start": name, **row, "repeats": repeats})
    return rows


def main() -> None:
    """Measures and prints."""
    made = parser(__doc__ or "")
    made.add_argument("--repeats", type=int, default=5, help="rounds of all starts; the median counts")
    made.add_argument("--model", choices=tuple(MODELS), default="mlp", help="which model starts")
    options: argparse.Namespace = made.parse_args()
    rows = measure(options.model, options.repeats)
    # Not before: the processes that are measured should have the machine to themselves.
    import jax

    facts = provenance(device_name(jax.devices()[0]))
    emit([{**row, **facts} for row in rows], COLUMNS, options.json)


if __name__ == "__main__":
    main()
