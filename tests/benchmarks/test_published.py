"""The published numbers: each cell is a command that there is, and says what it is compared with."""

from pathlib import Path

import pytest

from benchmarks import published, tables
from jaxvae.commands.train import parse
from jaxvae.config import ELBO, IWAE, MIWAE, StandardNormal, TwoLayers, VampPrior

CONFIGS = tables.ROOT / "configs"


def experiment(name, schedule="short"):
    return parse(CONFIGS, published.command(name, schedule, 3, Path("w"))[2:]).experiment


@pytest.mark.parametrize("name", published.CELLS)
def test_every_cell_is_a_command_that_there_is(name):
    config = experiment(name)
    assert config.eval.importance_samples == 5_000
    assert config.seed == 3
    assert config.data.name == "mnist"
    assert config.data.binarization == "dynamic"


def test_the_objectives_are_those_of_the_names():
    assert type(experiment("burda-vae-1").objective) is ELBO
    mean = experiment("burda-vae-50").objective
    assert isinstance(mean, MIWAE)
    assert (mean.groups, mean.samples) == (50, 1)
    many = experiment("burda-iwae-50-two-layers")
    assert isinstance(many.objective, IWAE)
    assert many.objective.samples == 50
    assert isinstance(many.model.architecture, TwoLayers)
    # The papers' gradients are the plain ones; the short schedules' have the same mean and less noise.
    assert experiment("burda-iwae-5").objective.arguments()["gradient"] == "dreg"
    assert experiment("vamp").objective.arguments()["gradient"] == "stl"
    for name in published.CELLS:
        assert experiment(name, "paper").objective.arguments()["gradient"] == "standard"
    assert isinstance(experiment("vamp").model.prior, VampPrior)
    assert isinstance(experiment("vamp-standard").model.prior, StandardNormal)


def test_the_papers_schedules_are_as_long_as_they_say():
    train = experiment("burda-iwae-5", "paper").train
    assert train.steps * train.batch_size == 3_280 * 60_000
    train = experiment("vamp", "paper").train
    assert train.steps * train.batch_size == 2_000 * 50_000


SUMMARY = {
    "step": 6_000,
    "test": {
        "nll": 86.5,
        "nll_stderr": 0.2,
        "nll_bias": 0.01,
        "elbo": -88.0,
        "effective_samples": 70.0,
        "importance_samples": 5_000,
        "active_units": 20,
    },
    "data": {"train": 60_000},
    "throughput": {"train_seconds": 120.0},
    "device": {"count": 1},
}


def test_a_row_puts_the_run_beside_the_paper_and_what_did_not_run_is_listed():
    row = published.row_of("burda-vae-1", "short", 0, SUMMARY, batch_size=100)
    assert row["epochs"] == 10
    drawn = tables.table(published.completed([row]), published.COLUMNS).splitlines()
    lines = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in drawn[4:]
    }
    assert list(lines) == list(published.CELLS)
    assert lines["burda-vae-1"][1:] == [
        *("86.76", "86.35, 86.35 to 87.78", "86.50 +- 0.20", "-0.26", "0.01", "short", "10", "2", "0")
    ]
    assert all(cells[3] == "not run" for name, cells in lines.items() if name != "burda-vae-1")


@pytest.mark.slow
def test_a_cell_is_trained_scored_and_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setitem(
        published.PAPER, "iwae", "--train.steps 20 --train.log_every 10 --optimizer.warmup_steps 0"
    )
    monkeypatch.setattr(published, "IMPORTANCE_SAMPLES", 2)
    row = published.run("burda-iwae-5", "paper", 0, tmp_path)
    assert 100 < row["nll"] < 250
    assert published.run("burda-iwae-5", "paper", 0, tmp_path)["nll"] == row["nll"]
