"""Whole runs: continued to the bit, the same on any number of devices."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxvae.config import Config, Optimizer, Train, UserError
from jaxvae.evaluate import Evaluator
from jaxvae.fit import fit, steps_per_call
from jaxvae.step import make_train_steps

ROOT = Path(__file__).parents[1]


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


def assert_same_run(a, b, step):
    assert lines(a) == lines(b)
    first, second = parameters(a, step), parameters(b, step)
    assert first.keys() == second.keys()
    assert len(first) > 10
    for name in first:
        assert first[name].tobytes() == second[name].tobytes(), name
    for image in sorted((a / "images").iterdir()):
        assert image.read_bytes() == (b / "images" / image.name).read_bytes()


def test_the_same_command_gives_the_same_bits(tmp_path, small_config):
    for name in "ab":
        fit(small_config, tmp_path / name)
    assert_same_run(tmp_path / "a", tmp_path / "b", 24)


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


def test_kill_9_in_the_middle_of_an_epoch_then_the_same_command(tmp_path):
    """Real processes: one runs through, one is killed at several moments and started again."""
    flags = (
        "--config mnist --train.devices 1 --model.hidden 32 --model.latent_dim 4 --train.batch_size 64 "
        "--train.steps 1200 --train.log_every 50 --train.eval_every 300 --train.checkpoint_every 50 "
        "--eval.importance_samples 2 --eval.interim_importance_samples 1"
    ).split()

    def start(run):
        command = [sys.executable, str(ROOT / "train.py"), *flags, "--workdir", str(run)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    whole = start(tmp_path / "whole")
    output = whole.communicate(timeout=300)[0].decode()
    assert whole.returncode == 0, output

    run, killed_at = tmp_path / "killed", []
    for wanted in (200, 450, 900):
        process = start(run)
        while process.poll() is None:
            done = [int(path.name) for path in (run / "checkpoints").glob("*") if path.name.isdigit()]
            if max(done, default=0) >= wanted:
                process.send_signal(signal.SIGKILL)
                killed_at.append(max(done))
                break
            time.sleep(0.005)
        output = process.communicate(timeout=300)[0].decode()
        assert process.returncode == -signal.SIGKILL, output
    assert all(step * 64 % 60_000 > 0 for step in killed_at)
    last = start(run)
    output = last.communicate(timeout=300)[0].decode()
    assert last.returncode == 0, output
    assert "Continuing the run" in output
    assert_same_run(tmp_path / "whole", run, 1200)


def test_losses_agree_on_1_2_4_and_8_devices(tmp_path, small_config):
    config = replace(
        small_config,
        train={"steps": 50, "log_every": 1, "eval_every": 50, "checkpoint_every": 50, "batch_size": 64},
        eval={"batch_size": 1000},
    )
    runs = {}
    for count in (1, 2, 4, 8):
        fit(replace(config, train={"devices": count}), tmp_path / str(count))
        runs[count] = lines(tmp_path / str(count))
    for count in (2, 4, 8):
        for one, other in zip(runs[1], runs[count], strict=True):
            assert one["step"] == other["step"]
            np.testing.assert_allclose(other["elbo"], one["elbo"], rtol=1e-5)


def test_a_checkpoint_of_one_device_count_continues_on_another(tmp_path, small_config):
    fit(small_config, tmp_path / "one")
    fit(replace(small_config, train={"steps": 12}, optimizer={"schedule": "constant"}), tmp_path / "two")
    longer = replace(small_config, train={"devices": 4}, optimizer={"schedule": "constant"})
    summary = fit(longer, tmp_path / "two")
    assert summary["device"]["count"] == 4
    assert summary["step"] == 24


def test_a_run_compiles_its_train_step_and_its_evaluation_once(tmp_path, small_config, monkeypatch):
    """Counted where JAX traces them, which it does once for each compilation; also after a resume."""
    traced = []

    def counting(name, make):
        def made(*arguments):
            function = make(*arguments)

            def counted(*inputs):
                traced.append(name)
                return function(*inputs)

            return counted

        return made

    monkeypatch.setattr("jaxvae.call.make_train_steps", counting("train", make_train_steps))
    score = Evaluator._score_rows
    monkeypatch.setattr(Evaluator, "_score_rows", lambda *a: traced.append("score") or score(*a))
    for steps in (12, 24):
        traced.clear()
        fit(replace(small_config, train={"steps": steps}), tmp_path / "run")
        assert sorted(traced) == ["score", "train"]


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
    slow = fit(dataclasses.replace(small_config, optimizer=Optimizer(ema_decay=0.999)), tmp_path / "slow")
    assert plain["test"]["elbo"] != slow["test"]["elbo"]


def test_a_folder_that_cannot_be_made_leaves_nothing(tmp_path, small_config):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        fit(small_config, tmp_path / "file" / "run")
    assert os.listdir(tmp_path) == ["file"]
