"""Whole runs: continued to the bit, the same on any number of devices."""

import dataclasses
import importlib.metadata
import json
import os
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxvae.config import Adam, Config, Train
from jaxvae.data.load import load
from jaxvae.errors import UserError
from jaxvae.runs.checkpoint import WriteError
from jaxvae.runs.fit import fit
from jaxvae.runs.summary import versions
from jaxvae.system.lock import Lock
from jaxvae.training.fused_steps import steps_per_call

ROOT = Path(__file__).parents[2]


def replace(config, **sections):
    for name, fields in sections.items():
        config = dataclasses.replace(config, **{name: dataclasses.replace(getattr(config, name), **fields)})
    return config


def parameters(run, step):
    """Every array of a checkpoint, by name, as NumPy."""
    restored = ocp.StandardCheckpointer().restore((run / "checkpoints" / str(step) / "default").resolve())
    return {
        jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in jax.tree.leaves_with_path(restored)
    }


def lines(run):
    """The metrics, without what depends on the clock."""
    read = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in read]


def test_a_run_that_is_continued_ends_with_the_bits_of_one_that_never_stopped(tmp_path, small_config):
    config = replace(small_config, optimizer={"ema_decay": 0.9, "schedule": "constant"})
    fit(config, tmp_path / "whole")
    fit(replace(config, train={"steps": 12}), tmp_path / "parts")
    fit(config, tmp_path / "parts")
    cut = [line for line in lines(tmp_path / "parts") if (line["step"], line["split"]) != (12, "test")]
    whole = lines(tmp_path / "whole")
    assert cut == whole
    first, second = parameters(tmp_path / "whole", 24), parameters(tmp_path / "parts", 24)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_other_cadences_continue_the_same_training(tmp_path, small_config):
    fit(small_config, tmp_path / "whole")
    other = replace(small_config, train={"log_every": 6, "eval_every": 12, "checkpoint_every": 24})
    fit(other, tmp_path / "other")
    first, second = parameters(tmp_path / "whole", 24), parameters(tmp_path / "other", 24)
    assert all(first[name].tobytes() == second[name].tobytes() for name in first if "totals" not in name)


@pytest.mark.parametrize("counts", [(1, 4), pytest.param((1, 2, 4, 8), marks=pytest.mark.slow)])
def test_losses_agree_on_any_number_of_devices(tmp_path, small_config, counts):
    config = replace(
        small_config,
        train={"steps": 50, "log_every": 1, "eval_every": 50, "checkpoint_every": 50, "batch_size": 64},
        eval={"batch_size": 1000},
    )
    runs = {}
    for count in counts:
        fit(replace(config, train={"devices": count}), tmp_path / str(count))
        runs[count] = lines(tmp_path / str(count))
    for count in counts[1:]:
        for one, other in zip(runs[1], runs[count], strict=True):
            assert one["step"] == other["step"]
            np.testing.assert_allclose(other["elbo"], one["elbo"], rtol=1e-5)


def test_a_run_that_continues_compiles_no_more_than_a_fresh_one(tmp_path, small_config):
    """Counted by JAX itself: every executable that a run asks the compiler for, by name."""
    compiled = []

    def heard(event: str, duration_secs: float, **more: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(more)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        fit(replace(small_config, optimizer={"schedule": "constant"}), tmp_path / "fresh")
        halves = []
        for steps in (12, 24):
            compiled.clear()
            jax.clear_caches()
            half = replace(small_config, train={"steps": steps}, optimizer={"schedule": "constant"})
            fit(half, tmp_path / "run")
            halves.append(len(compiled))
    finally:
        jax.monitoring.clear_event_listeners()
    fresh, continued = halves
    assert fresh > 3
    assert continued <= fresh


@pytest.mark.parametrize(
    ("train", "start", "expected"),
    [
        ({"steps": 20_000, "log_every": 100, "eval_every": 2_000, "checkpoint_every": 1_000}, 0, 100),
        ({"steps": 20_000, "log_every": 100, "eval_every": 2_000, "checkpoint_every": 1_000}, 1_050, 50),
        ({"steps": 60, "log_every": 100, "eval_every": 2_000, "checkpoint_every": 1_000}, 0, 60),
        ({"steps": 1_001, "log_every": 100, "eval_every": 2_000, "checkpoint_every": 1_000}, 0, 1),
        ({"steps": 40_000, "log_every": 400, "eval_every": 400, "checkpoint_every": 400}, 0, 100),
        ({"steps": 40_000, "log_every": 7, "eval_every": 700, "checkpoint_every": 1_400}, 0, 1),
    ],
)
def test_a_call_runs_as_many_steps_as_every_cadence_allows(train, start, expected):
    config = Config(train=Train(**train))
    per_call = steps_per_call(config, start)
    assert per_call == expected
    assert (config.train.steps - start) % per_call == 0


def test_the_moving_average_is_what_is_evaluated(tmp_path, small_config):
    plain = fit(small_config, tmp_path / "plain")
    slow = fit(dataclasses.replace(small_config, optimizer=Adam(ema_decay=0.999)), tmp_path / "slow")
    assert plain["test"]["elbo"] != slow["test"]["elbo"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path, small_config):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fit(small_config, tmp_path / "file" / "run")
    assert os.listdir(tmp_path) == ["file"]


def test_other_images_are_refused_and_nothing_is_changed(tmp_path, small_config):
    fit(replace(small_config, train={"steps": 12}), tmp_path / "run")
    images = load(small_config.data)
    other = images._replace(test=images.test[::-1])
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    said = r"images of .*digits\.npz are not those .* SHA-256 is [0-9a-f]{64}, and was"
    with pytest.raises(UserError, match=said):
        fit(small_config, tmp_path / "run", dataset=other)
    after = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert after == before


def test_a_second_process_on_the_folder_is_refused_while_the_first_lives(tmp_path, small_config):
    (tmp_path / "run").mkdir()
    lock = Lock(tmp_path / "run" / "lock")
    with pytest.raises(UserError, match=rf"run is in use by process {os.getpid()} on "):
        fit(small_config, tmp_path / "run")
    lock.release()
    (tmp_path / "run" / "lock").write_text('{"process": 1, "host": "gone"}')
    fit(small_config, tmp_path / "run")
    assert not (tmp_path / "run" / "lock").exists()


def test_what_cannot_be_written_is_said_and_the_run_goes_on_if_asked(tmp_path, small_config, capsys):
    begun = replace(small_config, optimizer={"schedule": "constant"})
    for name in ("stops", "goes-on"):
        fit(replace(begun, train={"steps": 4}), tmp_path / name)
        for step in ("8", "12"):
            # Somebody's folders, where those of two checkpoints should come.
            (tmp_path / name / "checkpoints" / step).mkdir()
            (tmp_path / name / "checkpoints" / step / "mine").write_text("mine")
    with pytest.raises(WriteError, match=r"step 8 could not be saved in .*: Directory not empty"):
        fit(begun, tmp_path / "stops")
    assert [line["step"] for line in lines(tmp_path / "stops")][-1] <= 16
    summary = fit(replace(begun, train={"write_errors": "warn"}), tmp_path / "goes-on")
    assert summary["step"] == 24
    said = capsys.readouterr().out
    for step in ("8", "12"):
        assert f"Warning: step {step} could not be saved" in said
        assert (tmp_path / "goes-on" / "checkpoints" / step / "mine").read_text() == "mine"


def test_the_wall_time_is_accounted_for(tmp_path, small_config):
    summary = fit(small_config, tmp_path / "run", started=time.perf_counter() - 1000)
    goodput = summary["goodput"]
    parts = [value for name, value in goodput.items() if name not in ("wall_seconds", "goodput")]
    assert all(value >= 0 for value in parts)
    np.testing.assert_allclose(sum(parts), goodput["wall_seconds"])
    # From when it is told that its time began; another process has its own.
    assert goodput["setup_seconds"] > 1000
    again = fit(small_config, tmp_path / "run")["goodput"]
    longer = fit(replace(small_config, train={"steps": 32}), tmp_path / "run")["goodput"]
    for later, earlier in ((again, goodput), (longer, again)):
        assert later["lost_to_restarts_seconds"] == 0
        assert all(later[name] >= earlier[name] for name in earlier if name != "goodput")
    assert longer["train_seconds"] > again["train_seconds"] == goodput["train_seconds"]
    assert goodput["lost_to_restarts_seconds"] == 0
    assert goodput["goodput"] == goodput["train_seconds"] / goodput["wall_seconds"]


def test_a_clone_that_was_never_installed_can_name_the_versions(monkeypatch):
    version = importlib.metadata.version

    def as_in_a_clone(name):
        if name == "jaxvae":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", as_in_a_clone)
    assert versions()["jaxvae"] is None
    assert versions()["jax"] == jax.__version__
