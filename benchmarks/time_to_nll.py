"""How soon is a test NLL reached on dynamically binarised MNIST?

A speed-run: for each NLL a run of its own, by the recipe of configs/mnist_speedrun.py, of just so many steps
that its end is below it; the learning rate falls to zero by then. The clock runs from the start of the
process to the last step. The evaluation that follows (the whole test set, 512 importance samples) is not
counted: it says whether the NLL was reached.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import tables

STEPS = {95.0: 1_600, 90.0: 4_800, 88.0: 9_600, 86.8: 16_000}
"""How many steps reach each NLL."""

COLUMNS = (
    tables.Column("test NLL of", lambda row: f"{row['target']:g}"),
    tables.Column("s from process start", lambda row: f"{row['seconds_from_start']:.1f}"),
    tables.Column("s from first step", lambda row: f"{row['seconds_from_first_step']:.1f}"),
    tables.Column("steps", lambda row: f"{row['steps']:,}"),
    tables.Column("NLL reached", lambda row: f"{row['nll']:.2f} +- {row['nll_stderr']:.2f}"),
    tables.Column("seed", lambda row: str(row["seed"])),
)


def speed_run(target: float, steps: int, seed: int, flags: tuple[str, ...] = ()) -> tables.Row:
    """One run of so many steps; raises RuntimeError, with what it said, if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        warmup = max(1, steps // 10)
        command = [
            *(sys.executable, "train.py", "--config", "mnist_speedrun", "--workdir", str(workdir)),
            *("--seed", str(seed), "--train.steps", str(steps)),
            *("--train.eval_every", str(steps), "--train.checkpoint_every", str(steps)),
            *("--objective.beta_warmup_steps", str(warmup), *flags),
        ]
        started = time.monotonic()
        with subprocess.Popen(
            command, cwd=tables.ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            seconds = _last_step(process, workdir / "metrics.jsonl", steps) - started
            said = process.communicate()[0]
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{said}")
        summary = json.loads((workdir / "summary.json").read_text())
    test, device = summary["test"], summary["device"]
    return {
        "target": target,
        "reached": test["nll"] <= target,
        "seconds_from_start": seconds,
        "seconds_from_first_step": summary["throughput"]["train_seconds"],
        "steps": steps,
        "nll": test["nll"],
        "nll_stderr": test["nll_stderr"],
        "elbo": test["elbo"],
        "importance_samples": test["importance_samples"],
        "seed": seed,
        "devices": device["count"],
    }


def _last_step(process: subprocess.Popen, metrics: Path, steps: int) -> float:
    """When the line of the last step's training metrics appears; or when the process ends without."""
    while process.poll() is None:
        lines = metrics.read_text().splitlines() if metrics.exists() else []
        if any(f'"step": {steps},' in line for line in lines):
            break
        time.sleep(0.02)
    return time.monotonic()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = tables.parser(__doc__ or "")
    made.add_argument(
        "--targets",
        type=tables.one_or_more(*(f"{target:g}" for target in STEPS)),
        default=tuple(f"{target:g}" for target in STEPS),
        help="which NLLs, separated by commas",
    )
    made.add_argument("--seed", type=int, default=0, help="of every run")
    return made


def main(arguments: list[str] | None = None) -> int:
    """Runs and prints; returns 1 if an NLL was not reached."""
    options = parser().parse_args(arguments)
    rows = []
    for target in map(float, options.targets):
        print(f"{STEPS[target]} steps for an NLL of {target:g}", file=sys.stderr)
        rows.append(speed_run(target, STEPS[target], options.seed))
    # Only now: while a run lasts, no other process should hold the device.
    import jax

    name = tables.device_name(jax.devices()[0])
    count = rows[0]["devices"]
    origin = tables.provenance(f"{count} x {name}" if count > 1 else name)
    tables.emit([{**row, **origin} for row in rows], COLUMNS, options.json)
    return 0 if all(row["reached"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
