"""Who is given a run's numbers and pictures, in which order, and what if they cannot be written."""

import dataclasses
import json

import numpy as np
import pytest

import jaxvae
from jaxvae.errors import UserError
from jaxvae.runs.checkpoint import WriteError
from jaxvae.runs.fit import fit
from jaxvae.runs.run import Run


class Memory(jaxvae.Logger):
    """Keeps all that it is given; fails to write where it is told to."""

    def __init__(self, fails=()):
        self.told, self.closed, self._fails = [], 0, fails

    def _take(self, key, what):
        self.told.append((key, what))
        if key in self._fails:
            raise OSError("the line is down")

    def scalars(self, step, split, values):
        self._take((step, split), dict(values))
        values.clear()

    def images(self, step, name, grid, columns):
        self._take((step, name), (grid, columns))

    def close(self):
        self.closed += 1

    def keys(self):
        return [key for key, _ in self.told]


def changed(config, **train):
    return dataclasses.replace(config, train=dataclasses.replace(config.train, **train))


def wanted(steps, evaluated):
    return [
        (step, what)
        for step in steps
        for what in ("train", *(("test", "samples", "reconstructions") if step in evaluated else ()))
    ]


def test_everything_comes_once_in_order_also_when_the_run_goes_on(tmp_path, small_config):
    config, first, second = changed(small_config, steps=16), Memory(), Memory()
    fit(config, tmp_path / "run", loggers=[first])
    assert first.keys() == wanted([4, 8, 12, 16], evaluated=[8, 16])
    fit(changed(config, steps=24), tmp_path / "run", loggers=[second])
    assert second.keys() == wanted([20, 24], evaluated=[24])
    assert first.closed == second.closed == 1
    lines = [
        {"step": step, "split": what, **values}
        for (step, what), values in first.told + second.told
        if what in ("train", "test")
    ]
    # What a logger does with its dictionary does not reach the files: they hold the same numbers.
    assert json.loads(json.dumps(lines)) == Run(tmp_path / "run").metrics()
    pictures = {f"{name}-{step}.png" for step, name in first.keys() + second.keys()}
    assert {path.name for path in (tmp_path / "run/images").iterdir()} < pictures
    grid, columns = dict(second.told)[24, "samples"]
    assert (grid.shape, columns) == ((16, 28, 28, 1), 4)
    assert np.all((grid >= 0) & (grid <= 1))


def test_when_a_checkpoint_is_written_all_loggers_know_its_step(tmp_path, small_config):
    class Watching(Memory):
        def _take(self, key, what):
            super()._take(key, what)
            there = [path.name for path in (tmp_path / "run/checkpoints").iterdir()]
            # The last evaluation comes after the last checkpoint.
            assert str(key[0]) not in there or (key[0] == 12 and key[1] != "train")
            said = (tmp_path / "run/metrics.jsonl").read_text().splitlines()
            assert json.loads(said[-1])["step"] == key[0]

    logger = Watching()
    fit(changed(small_config, steps=12), tmp_path / "run", loggers=[logger])
    assert logger.keys() == wanted([4, 8, 12], evaluated=[8, 12])


def test_one_that_cannot_write_stops_the_run_or_is_only_said(tmp_path, small_config, capsys):
    fails, other = Memory([(8, "test"), (8, "samples")]), Memory()
    with pytest.raises(WriteError, match="run cannot be written: the line is down"):
        fit(small_config, tmp_path / "run", loggers=[fails, other])
    assert fails.keys()[-1] == (8, "test")
    assert other.keys()[-1] == (8, "train")
    assert fails.closed == other.closed == 1
    assert Run(tmp_path / "run").steps() == [4]
    capsys.readouterr()
    fails, other = Memory([(8, "test"), (8, "samples")]), Memory()
    fit(changed(small_config, write_errors="warn"), tmp_path / "run", loggers=[fails, other])
    assert capsys.readouterr().out.count("run cannot be written: the line is down") == 2
    assert other.keys() == wanted([8, 12, 16, 20, 24], evaluated=[8, 16, 24])


def test_a_run_that_is_refused_calls_no_logger(tmp_path, small_config):
    fit(changed(small_config, steps=8), tmp_path / "run")
    logger = Memory()
    with pytest.raises(UserError, match="already at step 8"):
        fit(changed(small_config, steps=4), tmp_path / "run", loggers=[logger])
    assert (logger.told, logger.closed) == ([], 0)


def test_metrics_can_be_read_while_a_line_is_written(tmp_path, small_config):
    fit(changed(small_config, steps=8), tmp_path / "run")
    run = Run(tmp_path / "run")
    before = run.metrics()
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 12, "spl')
    assert run.metrics() == before
    assert [(line["step"], line["split"]) for line in before] == [(4, "train"), (8, "train"), (8, "test")]
