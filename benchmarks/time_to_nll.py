"""How soon is a test NLL reached on dynamically binarised MNIST?

    python -m benchmarks.time_to_nll [--targets 95,90,88,86.8] [--seed 0] [--json]

A speed-run. Each NLL has a run of its own, by the recipe of ``configs/mnist_speedrun.py``, just so long that
it ends below: its learning rate falls to zero by then, and what a longer run passes on its way is worse. The
clock runs from the start of the process to the end of the last step. The evaluation that follows (the whole
test set, 512 importance samples) is not counted: it says whether the NLL was reached. What earlier processes
compiled is not used: every start is cold.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tables
from benchmarks.tables import Column, Row

STEPS = {"95": 1_800, "90": 5_400, "88": 14_000, "86.8": 29_000}
"""How many steps reach each NLL."""

COLUMNS = (
    Column("test NLL of", lambda row: f"{row['target']:g}"),
    Column("s from process start", lambda row: f"{row['seconds_from_start']:.1f}"),
    Column("s from first step", lambda row: f"{row['seconds_from_first_step']:.1f}"),
    Column("steps", lambda row: f"{row['steps']:,}"),
    Column("NLL at the end", lambda row: f"{row['nll']:.2f} +- {row['nll_stderr']:.2f}"),
    Column("reached", lambda row: "yes" if row["reached"] else "no"),
    Column("seed", lambda row: str(row["seed"])),
)


def speed_run(target: float, steps: int, seed: int, flags: tuple[str, ...] = ()) -> Row:
    """One run of so many steps; raises RuntimeError, with what it said, if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        command = [
            *(sys.executable, "train.py", "--config", "mnist_speedrun", "--workdir", str(workdir)),
            *("--seed", str(seed), "--train.steps", str(steps)),
            *("--objective.beta_warmup_steps", str(max(1, steps // 10)), *flags),
        ]
        environment = {**os.environ, "JAXVAE_CACHE_DIR": ""}
        started = time.monotonic()
        with subprocess.Popen(
            command,
            cwd=tables.ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            seconds = _last_step(process, workdir / "metrics.jsonl", steps) - started
            said = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{said}")
        summary = json.loads((workdir / "summary.json").read_text())
    return {"seconds_from_start": seconds, "seed": seed, **verdict(target, summary)}


def verdict(target: float, summary: Row) -> Row:
    """What the summary of a speed-run says, and whether its NLL is the target or below."""
    test = summary["test"]
    return {
        "target": target,
        "reached": test["nll"] <= target,
        "seconds_from_first_step": summary["throughput"]["train_seconds"],
        "steps": summary["step"],
        "examples_per_second": summary["throughput"]["examples_per_second"],
        **{key: test[key] for key in ("nll", "nll_stderr", "elbo", "importance_samples", "active_units")},
        "devices": summary["device"]["count"],
    }


def _last_step(process: subprocess.Popen, metrics: Path, steps: int) -> float:
    """When the line of the last step's training metrics appears; or when the process ends without."""
    while process.poll() is None:
        # Looked at twenty times a second, which costs the run nothing.
        if metrics.exists() and f'"step": {steps},' in metrics.read_text():
            break
        time.sleep(0.05)
    return time.monotonic()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = tables.parser(__doc__ or "")
    known = tuple(STEPS)
    made.add_argument("--targets", type=tables.one_or_more(*known), default=known, help="which NLLs")
    made.add_argument("--seed", type=int, default=0, help="of every run")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs and prints; returns 1 if an NLL was not reached."""
    options = parser().parse_args(arguments)
    rows = []
    for target in options.targets:
        tables.say(f"{STEPS[target]:,} steps for an NLL of {target}")
        rows.append(speed_run(float(target), STEPS[target], options.seed))
    # Only now: while a run lasts, no other process should hold the device.
    import jax

    origin = tables.provenance(tables.device_name(jax.devices()[0], rows[0]["devices"]))
    tables.emit([{**row, **origin} for row in rows], COLUMNS, options.json)
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
