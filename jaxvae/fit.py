"""How does a whole run go? Set up, train, evaluate, continue.

The order of things at a step that is due for several: its call ends, its metrics are written, its
evaluation, its pictures, and then its checkpoint; so a checkpoint on disk vouches for every line before
it. All of that happens while the next call runs.
"""

import importlib.metadata
import json
import math
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from jaxvae.call import TrainCall
from jaxvae.checkpoint import Checkpoints, snapshot
from jaxvae.config import Config, UserError, validate
from jaxvae.data import Dataset, load, pixel_mean
from jaxvae.evaluate import Evaluator
from jaxvae.images import write_grid
from jaxvae.metrics import MetricsFile, write_json
from jaxvae.objectives import Bounds
from jaxvae.optimizer import learning_rate_schedule
from jaxvae.parallel import Device, check_divides, choose_devices, replicate
from jaxvae.report import Watcher
from jaxvae.state import TrainState, initial_state
from jaxvae.step import Report
from jaxvae.vae import GaussianLikelihood
from jaxvae.workdir import Workdir


def fit(config: Config, path: Path) -> dict[str, Any]:
    """Trains, or continues, the run in the folder ``path``, evaluates it and returns its summary.

    Raises UserError, before anything is written, if the configuration cannot work here or is not the
    one that the folder's run began with.
    """
    validate(config)
    devices = choose_devices(config.train.devices)
    check_divides("train.batch_size", config.train.batch_size, devices)
    dataset = load(config.data)
    folder, watcher = Workdir(path), Watcher()
    changed = folder.check(config)
    start = folder.latest_step()
    if start is not None and start > config.train.steps:
        raise UserError(
            f"the run in {path} is already at step {start}, past --train.steps {config.train.steps}: "
            f"use {start} or more, or another --workdir"
        )
    folder.prepare(config)
    run = _Run(config, folder, devices, dataset, watcher)
    try:
        state, step = run.restore()
        _announce(watcher, folder, config, step, changed)
        if step < config.train.steps:
            state = run.train(state, step)
        return run.finish(state)
    finally:
        watcher.close()
        run.checkpoints.close()


def steps_per_call(config: Config, start: int) -> int:
    """How many steps a compiled call runs: the largest number up to ``train.steps_per_call`` that divides
    the run's length, where it starts, and every cadence that falls due before its end."""
    train = config.train
    cadences = (train.log_every, train.eval_every, train.checkpoint_every)
    common = math.gcd(train.steps, start, *(every for every in cadences if every < train.steps))
    return max(n for n in range(1, min(common, train.steps_per_call) + 1) if common % n == 0)


class _Due(NamedTuple):
    """What a call that was dispatched leaves for the host to handle while the next one runs."""

    step: int
    steps: int
    report: Report
    scores: Bounds | None
    pictures: tuple[Array, Array] | None
    saved: TrainState | None


class _Run:
    """One process's part of a run."""

    def __init__(
        self, config: Config, folder: Workdir, devices: list[Device], dataset: Dataset, watcher: Watcher
    ):
        self.config, self.folder, self.devices, self.watcher = config, folder, devices, watcher
        self.dataset = dataset
        self.checkpoints = Checkpoints(folder.checkpoints, config.train.checkpoints_kept)
        self.evaluator = Evaluator(config, dataset.test, devices)
        self.throughput: dict[str, float | None] = dict.fromkeys(
            ("examples_per_second", "compile_seconds", "train_seconds")
        )

    def restore(self) -> tuple[TrainState, int]:
        """The state to go on from, placed on every device, and its step."""
        mean = pixel_mean(self.dataset.train, self.config.data.binarization)
        state = replicate(initial_state(self.config, mean), self.devices)
        step = self.checkpoints.latest
        if step is not None:
            state = self.checkpoints.restore(step, state, self.devices)
        self.metrics = MetricsFile(self.folder.metrics, step or 0)
        return state, step or 0

    def train(self, state: TrainState, start: int) -> TrainState:
        """Takes every step from ``start`` to the last, and returns the state after it."""
        config, train = self.config, self.config.train
        per_call = steps_per_call(config, start)
        if per_call < min(10, train.steps_per_call, train.steps):
            self.watcher.say(
                f"Note: only {per_call} steps fit one compiled call, which may be slower: give train.steps, "
                "log_every, eval_every and checkpoint_every a larger common divisor."
            )
        call = TrainCall(config, self.dataset.train, self.devices, state, per_call)
        self.throughput["compile_seconds"] = call.compile_seconds

        self.watcher.start(start, train.steps)
        self._begin(start)
        due = None
        for step in range(start, train.steps, per_call):
            state, report = call(state, step)
            previous, due = due, self._dispatch(state, report, step + per_call, per_call)
            if previous is not None:
                self._handle(previous)
        if due is not None:
            self._handle(due)
        seconds = self._seconds()
        self.throughput["train_seconds"] = seconds
        trained = (train.steps - start) * train.batch_size
        self.throughput["examples_per_second"] = trained / (seconds - self._earlier)
        self.watcher.close()
        return state

    def _dispatch(self, state: TrainState, report: Report, step: int, steps: int) -> _Due:
        """Starts what is due after ``step`` before the next call reuses the state's memory."""
        train, last = self.config.train, step == self.config.train.steps
        evaluates = step % train.eval_every == 0 and not last
        scores = pictures = None
        if evaluates:
            scores = self.evaluator.dispatch(state.evaluated, self.config.eval.interim_importance_samples)
            pictures = self.evaluator.pictures(state.evaluated)
        saves = step % train.checkpoint_every == 0 or last
        return _Due(step, steps, report, scores, pictures, snapshot(state) if saves else None)

    def _handle(self, due: _Due) -> None:
        """Writes down what a call left; waits for that call, not for the one that runs now."""
        jax.block_until_ready(due.report)
        self.watcher.advance(due.steps)
        if due.step % self.config.train.log_every == 0 or due.step == self.config.train.steps:
            self._log(due.step, due.report)
        if due.scores is not None and due.pictures is not None:
            samples = self.config.eval.interim_importance_samples
            self._evaluated(due.step, self.evaluator.summarise(due.scores, samples), due.pictures)
        if due.saved is not None:
            self.checkpoints.save(due.step, due.saved)

    def _begin(self, step: int) -> None:
        self._started = self._logged_at = time.perf_counter()
        self._earlier = self.metrics.seconds
        self._logged_step = step

    def _seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._started

    def _log(self, step: int, report: Report) -> None:
        now = time.perf_counter()
        totals = jax.tree.map(float, report.totals)
        rate, distortion = totals.rate / totals.steps, totals.distortion / totals.steps
        examples = (step - self._logged_step) * self.config.train.batch_size
        line = {
            "step": step,
            "split": "train",
            "elbo": -(rate + distortion),
            "rate": rate,
            "distortion": distortion,
            "loss": totals.loss / totals.steps,
            "learning_rate": float(report.learning_rate),
            "examples_per_second": examples / (now - self._logged_at),
            "seconds": self._seconds(),
        }
        self._logged_at, self._logged_step = now, step
        self.metrics.append(line)
        self.watcher.training(line)

    def _evaluated(self, step: int, test: dict[str, Any], pictures: tuple[Array, Array]) -> None:
        self.metrics.append({"step": step, "split": "test", **test})
        self.watcher.evaluation(step, test)
        for name, images in zip(("samples", "reconstructions"), pictures, strict=True):
            columns = self.config.eval.grid if name == "samples" else self.config.eval.grid // 2 * 2
            write_grid(self.folder.images / f"{name}-{step}.png", np.asarray(images), columns)

    def finish(self, state: TrainState) -> dict[str, Any]:
        """Evaluates the last state with the full number of samples and writes the summary."""
        step, samples = self.config.train.steps, self.config.eval.importance_samples
        pictures = self.evaluator.pictures(state.evaluated)
        test = self.evaluator.summarise(self.evaluator.dispatch(state.evaluated, samples), samples)
        if isinstance(state.evaluated.likelihood, GaussianLikelihood):
            test["sigma"] = math.exp(state.evaluated.likelihood.log_sigma)
        self._evaluated(step, test, pictures)
        self.metrics.close()
        if self.throughput["train_seconds"] is None and self.folder.summary.exists():
            self.throughput = json.loads(self.folder.summary.read_text())["throughput"]
        device = self.devices[0]
        summary = {
            "step": step,
            "test": test,
            "throughput": self.throughput,
            "device": {"platform": device.platform, "kind": device.device_kind, "count": len(self.devices)},
            "versions": versions(),
        }
        write_json(self.folder.summary, summary)
        self.watcher.table(summary)
        self.watcher.say(f"Pictures, metrics and checkpoints are in {self.folder.path}")
        return summary


def versions() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    packages = ("jaxvae", "jax", "jaxlib", "equinox", "optax", "orbax-checkpoint", "numpy")
    found = {name: importlib.metadata.version(name) for name in packages}
    return {"python": platform.python_version(), **found}


def _announce(
    watcher: Watcher, folder: Workdir, config: Config, step: int, changed: dict[str, tuple]
) -> None:
    if step == config.train.steps:
        watcher.say(f"The run in {folder.path} is finished at step {step}: evaluating it only.")
    elif step:
        watcher.say(f"Continuing the run in {folder.path} from step {step}.")
    before, now = changed.get("train.steps", (None, None))
    if before is not None and step and config.optimizer.schedule == "cosine":
        old, new = (float(learning_rate_schedule(config.optimizer, steps)(step)) for steps in (before, now))
        watcher.say(
            f"train.steps was {before} and is {now}, and the cosine schedule ends with it: "
            f"the learning rate at step {step} goes from {old:.3g} to {new:.3g}."
        )
