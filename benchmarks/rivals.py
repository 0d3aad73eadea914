"""How many times as fast as others do we train the same model?

    python -m benchmarks.rivals [--models mlp,conv] [--batch-sizes 128,512] [--rivals torch-eager,...]
                                [--precision bfloat16] [--repeats 9] [--seconds 1] [--json]

The rivals: PyTorch as it is, compiled, and in CUDA graphs; NumPyro; Flax; Pythae's trainer; and the step
written by hand in nothing but JAX, in a scan and in a loop. Everybody has the same model and batch, dynamic
binarisation, one draw of z, the exact KL and Adam; we also clip the gradient and check that every step is
finite, as every run of the trainer does. ``tests/benchmarks/test_rivals.py`` gives all of them the same
batches and the same noise, and finds the same losses.

Each contender has a process of its own, and they take turns, so that in every round each trains for a moment
beside each other on the same machine; a ratio is of one round, and its median, least and greatest are over
the rounds. It needs a machine that nobody else uses, and says so if it had none (``benchmarks.rival.quiet``).
"""

import argparse
import dataclasses
import importlib.util
import pickle
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import tables
from benchmarks.experiments import MODELS, experiment
from benchmarks.rival import quiet
from benchmarks.rival.process import Lost, Turn, Worker
from benchmarks.rival.setting import RIVALS
from benchmarks.tables import Column, Row, say

PACKAGES = ("torch", "numpyro", "flax", "pythae")


def _rate(key: str) -> Any:
    return lambda row: f"{row[key]:,.0f}"


COLUMNS = (
    Column("model", lambda row: row["model"]),
    Column("batch", lambda row: f"{row['batch_size']}"),
    Column("precision", lambda row: row["precision"]),
    Column("rival", lambda row: row["rival"]),
    Column(
        "ours / rival",
        lambda row: f"{row['ratio_median']:.2f} ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})",
    ),
    Column("rival, images/s", _rate("examples_per_second")),
    Column("ours, images/s", _rate("ours_examples_per_second")),
)


def installed(names: Sequence[str]) -> list[str]:
    """Those rivals whose package is here."""
    found = []
    for name in names:
        package = RIVALS[name].package
        if package is None or importlib.util.find_spec(package) is not None:
            found.append(name)
        else:
            say(f"{name} is left out: {package} is not installed (pip install '.[bench]')")
    return found


def start(options: argparse.Namespace, model: str, batch_size: int, folder: Path) -> list[Worker]:
    """Everybody who can take part, ready for their turns; we are the first."""
    from benchmarks.rival.ours import make_setting
    from jaxvae.config import Data
    from jaxvae.data.load import load
    from jaxvae.runs.run import untrained_state

    config, images = experiment(model, batch_size, options.precision), load(Data()).train
    setting = make_setting(config, images, untrained_state(config, images).model)
    file = folder / "setting.pickle"
    file.write_bytes(pickle.dumps(setting))
    workers = [Worker("ours", file, options.seconds)]
    platform = workers[0].facts["platform"]
    file.write_bytes(pickle.dumps(dataclasses.replace(setting, platform=platform)))
    for name in installed(options.rivals):
        say(f"{model}, batch {batch_size}: {name}")
        try:
            workers.append(Worker(name, file, options.seconds))
        except Lost as reason:
            say(f"left out: {reason}")
    return workers


def rounds(workers: list[Worker], repeats: int) -> dict[str, list[Turn]]:
    """Each contender's turn in every round."""
    turns: dict[str, list[Turn]] = {worker.name: [] for worker in workers}
    for number in range(repeats):
        # Back and forth, so that a machine that grows slower favours nobody.
        for worker in workers if number % 2 == 0 else workers[::-1]:
            turns[worker.name].append(worker.turn())
    return turns


def compared(ours: Sequence[Turn], theirs: Sequence[Turn], batch_size: int) -> Row:
    """The numbers of a row, of which each ratio is of one round."""
    ratios = [one.rate / other.rate for one, other in zip(ours, theirs, strict=True)]
    return {
        "ratio_median": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "examples_per_second": batch_size * statistics.median(turn.rate for turn in theirs),
        "ours_examples_per_second": batch_size * statistics.median(turn.rate for turn in ours),
        "rounds": len(ratios),
        "others_share_of_cpus": max(turn.others for turn in (*ours, *theirs)),
    }


def measure(options: argparse.Namespace, model: str, batch_size: int) -> list[Row]:
    """A row for each rival."""
    with tempfile.TemporaryDirectory() as folder:
        workers = start(options, model, batch_size, Path(folder))
        try:
            turns = rounds(workers, options.repeats)
        finally:
            for worker in workers:
                worker.close()
    rows = []
    packages = [name for name in PACKAGES if importlib.util.find_spec(name) is not None]
    for worker in workers[1:]:
        rows.append(
            {
                "rival": worker.name,
                "model": model,
                "batch_size": batch_size,
                "precision": options.precision,
                **compared(turns["ours"], turns[worker.name], batch_size),
                "first_seconds": worker.facts["first_seconds"],
                "ours_first_seconds": workers[0].facts["first_seconds"],
                **tables.provenance(workers[0].facts["device"], *packages),
            }
        )
    return rows


def main() -> None:
    """Measures and prints."""
    import jax

    # This process computes initial weights and nothing else; the accelerator is the contenders'.
    jax.config.update("jax_platforms", "cpu")
    parser = tables.parser(__doc__ or "")
    known = [name for name in MODELS if name != "mnist"]
    parser.add_argument("--models", type=tables.one_or_more(*known), default=("mlp",), help="mlp, conv")
    parser.add_argument("--batch-sizes", type=tables.positive_integers, default=(128, 512))
    parser.add_argument("--rivals", type=tables.one_or_more(*RIVALS), default=tuple(RIVALS))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--repeats", type=int, default=9, help="rounds")
    parser.add_argument("--seconds", type=float, default=1.0, help="about how long a turn lasts")
    options = parser.parse_args()
    rows: list[Row] = []
    for model in options.models:
        for batch_size in options.batch_sizes:
            rows += measure(options, model, batch_size)
    if not rows:
        sys.exit("No rival could run here.")
    share = max(row["others_share_of_cpus"] for row in rows)
    if share > quiet.LIMIT:
        say(f"Other programs had up to {share:.0%} of the CPUs meanwhile: do not trust these ratios.")
    tables.emit(rows, COLUMNS, options.json)


if __name__ == "__main__":
    main()
