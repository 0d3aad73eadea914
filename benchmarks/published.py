"""Which published likelihoods does this trainer reach?

    python -m benchmarks.published [--cells burda-vae-1,vamp] [--schedule short] [--seeds 0] [--json]

A cell is one number of a paper: network, prior, objective. It is trained by an experiment of ``configs/``
with the flags given here, on dynamically binarised MNIST, and its NLL by 5,000 importance samples is put
beside the paper's and those of others who trained it again. ``short`` is the experiment's own schedule,
``paper`` that of the authors' code. Runs are kept in ``runs/published``: one that was interrupted goes on,
and one that is finished is only scored again. Cells that were not run are in the table all the same.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks import tables
from benchmarks.tables import Column, Row

IMPORTANCE_SAMPLES = 5_000
TRAINING_IMAGES = 60_000


class Cell(NamedTuple):
    """One number of a paper."""

    what: str
    paper: float
    """The paper's NLL, in nats."""
    others: str
    """What others got who trained it again."""
    experiment: str
    flags: str = ""
    """What is not as in the experiment's file."""
    short: str = ""
    """What is not as there in the short schedule."""


def _burda() -> dict[str, Cell]:
    """The table of Burda et al. 2015 (arXiv 1509.00519, table 1), and what github.com/nbip/IWAE reports of
    its re-implementation, whose one layer has 100 latents."""
    cells = {}
    one = {"vae": (86.76, 86.47, 86.35), "iwae": (86.76, 85.54, 84.78)}
    two = {"vae": (85.33, 85.01, 84.78), "iwae": (85.33, 83.89, 82.90)}
    again_one = {"vae": (86.35, 86.10, 86.06), "iwae": (86.35, 85.18, 84.59)}
    again_two = {"vae": (84.83, 84.08, 83.89), "iwae": (84.83, 83.48, 82.82)}
    for layers, experiment, paper, again in (
        (1, "iwae", one, again_one),
        (2, "iwae_two_layers", two, again_two),
    ):
        for kind in ("vae", "iwae"):
            for place, k in enumerate((1, 5, 50)):
                if (kind, k) == ("iwae", 1):
                    continue  # It is the vae's.
                objective = f"--objective iwae --objective.samples {k}"
                if kind == "vae":
                    # The mean of k ELBOs; with the rate in closed form if k is 1.
                    many = f"--objective miwae --objective.groups {k} --objective.samples 1"
                    objective = "--objective elbo" if k == 1 else many
                others = f"{again[kind][place]:.2f}"
                if (layers, kind, k) == (1, "vae", 1):
                    others += ", 86.35 to 87.78"
                what = f"{kind.upper()}, k = {k}, {layers} layer{'s' * (layers > 1)}"
                # One draw costs a third of five.
                short = "--train.steps 480000" if k == 1 else ""
                cell = Cell(what, paper[kind][place], others, experiment, objective, short)
                cells[f"burda-{kind}-{k}" + "-two-layers" * (layers > 1)] = cell
    return cells


CELLS = _burda() | {
    "vamp": Cell("VampPrior, 500 pseudo-inputs", 82.38, "", "vamp"),
    "vamp-standard": Cell("the same network, N(0, I)", 84.50, "", "vamp", "--model.prior standard_normal"),
}
"""By name. The last two are of Tomczak and Welling 2018 (arXiv 1705.07120), dynamic MNIST."""
BURDA_STEPS = 3_280 * TRAINING_IMAGES // 20
PAPER = {
    "iwae": f"--optimizer.schedule stages --optimizer.learning_rate 1e-3 --optimizer.beta2 0.999 "
    f"--optimizer.epsilon 1e-4 --optimizer.warmup_steps 0 --optimizer.clip_norm None --train.batch_size 20 "
    f"--train.steps {BURDA_STEPS} --objective.gradient standard",
    "vamp": f"--optimizer.schedule constant --optimizer.learning_rate 5e-4 --optimizer.beta2 0.999 "
    f"--optimizer.warmup_steps 0 --optimizer.clip_norm None --train.batch_size 100 --data.validation 10000 "
    f"--objective.beta_warmup_steps {100 * 500} --train.steps {2_000 * 500} --train.eval_every 5000 "
    f"--objective.gradient standard",
}
PAPER["iwae_two_layers"] = PAPER["iwae"]
"""The authors' own schedules. Tomczak and Welling train on 50,000 images and choose by 10,000, and stop 50
epochs after the best score of these; here all of their at most 2,000 epochs are taken."""

COLUMNS = (
    Column("cell", lambda row: row["cell"]),
    Column("what", lambda row: CELLS[row["cell"]].what),
    Column("paper", lambda row: f"{CELLS[row['cell']].paper:.2f}"),
    Column("others", lambda row: CELLS[row["cell"]].others or "-"),
    Column("here", lambda row: f"{row['nll']:.2f} +- {row['nll_stderr']:.2f}" if _ran(row) else "not run"),
    Column("difference", lambda row: f"{row['nll'] - CELLS[row['cell']].paper:+.2f}" if _ran(row) else "-"),
    Column("too high by", lambda row: f"{row['nll_bias']:.2f}" if _ran(row) else "-"),
    Column("schedule", lambda row: row["schedule"] if _ran(row) else "-"),
    Column("epochs", lambda row: f"{row['epochs']:.0f}" if _ran(row) else "-"),
    Column("minutes", lambda row: f"{row['train_seconds'] / 60:.0f}" if _ran(row) else "-"),
    Column("seed", lambda row: str(row["seed"]) if _ran(row) else "-"),
)


def _ran(row: Row) -> bool:
    return "nll" in row


def completed(rows: Sequence[Row]) -> list[Row]:
    """The rows in the order of the cells, and one more for each cell that has none."""
    return [row for name in CELLS for row in [r for r in rows if r["cell"] == name] or [{"cell": name}]]


def command(name: str, schedule: str, seed: int, workdir: Path, flags: Sequence[str] = ()) -> list[str]:
    """What trains and scores the cell."""
    cell = CELLS[name]
    return [
        *(sys.executable, "train.py", "--config", cell.experiment, "--workdir", str(workdir)),
        *("--seed", str(seed), "--eval.importance_samples", str(IMPORTANCE_SAMPLES)),
        *cell.flags.split(),
        *(PAPER[cell.experiment] if schedule == "paper" else cell.short).split(),
        *flags,
    ]


def row_of(name: str, schedule: str, seed: int, summary: Row, batch_size: int) -> Row:
    """What the summary of the cell's run says."""
    test = summary["test"]
    scores = ("nll", "nll_stderr", "nll_bias", "elbo", "effective_samples", "importance_samples")
    return {
        "cell": name,
        "schedule": schedule,
        "seed": seed,
        "paper": CELLS[name].paper,
        **{key: test[key] for key in (*scores, "active_units")},
        "epochs": summary["step"] * batch_size / summary["data"]["train"],
        "train_seconds": summary["throughput"]["train_seconds"],
        "devices": summary["device"]["count"],
    }


def run(name: str, schedule: str, seed: int, folder: Path) -> Row:
    """Trains the cell, or goes on with it; raises RuntimeError if that fails."""
    workdir = folder / f"{name}-{schedule}-{seed}"
    words = command(name, schedule, seed, workdir.resolve())
    tables.say(" ".join(words[1:]))
    # Its own lines are progress, and out of the results' way.
    if subprocess.run(words, cwd=tables.ROOT, stdout=sys.stderr, check=False).returncode:
        raise RuntimeError(f"{name} failed; the same command goes on with it")
    summary, config = (json.loads((workdir / file).read_text()) for file in ("summary.json", "config.json"))
    return row_of(name, schedule, seed, summary, config["train"]["batch_size"])


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made, known = tables.parser(__doc__ or ""), tuple(CELLS)
    made.add_argument("--cells", type=tables.one_or_more(*known), default=known, help="which numbers")
    made.add_argument("--schedule", choices=("short", "paper"), default="short", help="how long")
    made.add_argument("--seeds", type=_seeds, default=(0,), help="one run of each, separated by commas")
    made.add_argument("--workdir", type=Path, default=Path("runs/published"), help="where the runs are")
    return made


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


def main(arguments: list[str] | None = None) -> None:
    """Runs and prints."""
    options = parser().parse_args(arguments)
    rows = [
        run(name, options.schedule, seed, options.workdir) for name in options.cells for seed in options.seeds
    ]
    # Only now: while a run lasts, no other process should hold the device.
    import jax

    origin = tables.provenance(tables.device_name(jax.devices()[0], rows[0]["devices"]))
    rows = [{**row, **origin} for row in rows]
    tables.emit(rows if options.json else completed(rows), COLUMNS, options.json)


if __name__ == "__main__":
    main()
