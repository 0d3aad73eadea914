"""How does training go on, call after call?

The order of things at a step that is due for several: its call ends, its metrics are written, its
evaluation, its pictures, and then its checkpoint; so a checkpoint on disk vouches for every line before
it. All of that happens while the next call runs, and only in the first process if there are several.
"""

import contextlib
import math
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any, NamedTuple, NoReturn

import jax
import numpy as np
from jaxtyping import Array

from jaxvae.config import Config
from jaxvae.data.load import Dataset
from jaxvae.models.objectives import Bounds
from jaxvae.runs.checkpoint import import_orbax, snapshot
from jaxvae.runs.checkpoint_manifest import Best
from jaxvae.runs.ending.best import Selection
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.folder import Workdir
from jaxvae.runs.loggers import Logger, Outputs, writing
from jaxvae.runs.progress import Watcher
from jaxvae.runs.replay import NonFiniteError, explain
from jaxvae.system.signals import InterruptedRun, Signals
from jaxvae.training import processes
from jaxvae.training.collapse import CollapseWatch
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import Device, local_devices
from jaxvae.training.state import TrainState
from jaxvae.training.step import CallReport


class _Due(NamedTuple):
    """What a call that was dispatched leaves for the host to handle while the next one runs."""

    step: int
    steps: int
    report: CallReport
    scores: list[Bounds] | None
    pictures: tuple[Array, Array] | None
    state: TrainState | None
    """A copy, if it is saved, or may be as the best."""
    is_saved: bool


class Loop:
    """One process's part of a run's training."""

    def __init__(
        self,
        config: Config,
        folder: Workdir,
        devices: list[Device],
        dataset: Dataset,
        watcher: Watcher,
        evaluator: Evaluator,
        outputs: Outputs,
        signals: Signals,
        best: Best | None = None,
    ):
        self.config, self.folder, self.devices, self.dataset = config, folder, devices, dataset
        self.watcher, self.evaluator, self.outputs, self.signals = watcher, evaluator, outputs, signals
        self._has_evaluated, self._collapse = False, CollapseWatch(config)
        self.split = "test" if dataset.validation is None else "validation"
        self.selection = None if dataset.validation is None else Selection(best)

    def train(
        self, state: TrainState, start: int, compiled: Future[TrainCall]
    ) -> tuple[TrainState, dict[str, float | None]]:
        """Takes every step from ``start`` to the last; returns the state after it, saved, and the speed.

        ``compiled`` will be the call that takes ``steps_per_call(config, start)`` of them at once. Raises
        InterruptedRun, after saving, if a signal asks to stop; NonFiniteError; and WriteError.
        """
        train = self.config.train
        # A program that was kept is there at once. One that is compiled takes longer than this import, for
        # which training would have to stop later.
        if not wait([compiled], timeout=1.0).done and self.outputs.checkpoints is not None:
            import_orbax()
        call = compiled.result()
        self.outputs.goodput.until_now("compile")
        per_call = call.steps
        if not call.streamed and per_call < min(10, train.steps_per_call, train.steps):
            self.watcher.say(
                f"Note: only {per_call} steps fit one compiled call, which may be slower: give train.steps, "
                "log_every, eval_every and checkpoint_every a larger common divisor."
            )
        self.watcher.start(start, train.steps)
        self._begin(start, call.streamed)
        # With several processes pmap itself makes copies that the guard would refuse.
        guard = "disallow" if processes.count() == 1 else "allow"
        with self.signals.deferring(), jax.transfer_guard(guard):
            due = None
            for step in range(start, train.steps, per_call):
                state, report = call(state, step, self.signals.asked is not None)
                self._waited = call.waited
                previous, due = due, self._dispatch(state, report, step + per_call, per_call)
                if previous is not None:
                    self._handle(previous, state)
                if self._stops(previous):
                    break
            assert due is not None
            is_saved = self._handle(due, state)
            seconds = self._seconds()
            if not due.is_saved:
                # In every process, as all compute it; only the first knows whether it is saved already, as
                # the best.
                last = snapshot(state)
                if not is_saved:
                    self._save(due.step, last)
            # Not under ``_writing``: a run whose last state is not saved has not ended well.
            with self.outputs.goodput.spending("checkpoint_stall"):
                if self.outputs.checkpoints is not None:
                    self.outputs.checkpoints.wait()
            with self._writing():
                self.outputs.goodput.secured(due.step)
                self.outputs.goodput.write()
        self.watcher.close()
        if due.step < train.steps or self.signals.asked is not None:
            self._interrupted(due.step)
        trained = (due.step - start) * train.batch_size
        return state, {
            "examples_per_second": trained / (seconds - self._earlier),
            "compile_seconds": call.compile_seconds,
            "train_seconds": seconds,
            "data_wait": self._waited / (seconds - self._earlier),
        }

    def _stops(self, previous: _Due | None) -> bool:
        """Whether the call in flight is the last: here and now, or, if there are several processes, once
        all of them have it from the report of the call before."""
        if processes.count() == 1:
            return self.signals.asked is not None
        return previous is not None and bool(jax.device_get(previous.report.stop))

    def _interrupted(self, step: int) -> NoReturn:
        # Another process may have been asked, not this one.
        number = self.signals.asked or signal.SIGTERM
        raise InterruptedRun(
            f"Stopped at step {step} of {self.config.train.steps}, saved in "
            f"{self.folder.checkpoints / str(step)}. The same command continues from there.",
            number,
        )

    def _dispatch(self, state: TrainState, report: CallReport, step: int, steps: int) -> _Due:
        """Starts what is due after ``step`` before the next call reuses the state's memory."""
        train, last = self.config.train, step == self.config.train.steps
        # The last state is scored once, at the end, unless it is a candidate for that.
        evaluates = self.selection is not None if last else step % train.eval_every == 0
        scores = pictures = None
        if evaluates:
            # The first time, this compiles.
            with self.outputs.goodput.spending("evaluate" if self._has_evaluated else "compile"):
                model = state.evaluation_model
                scores = self.evaluator.dispatch(model, self.config.eval.interim_importance_samples)
                pictures = self.evaluator.pictures(model)
            self._has_evaluated = True
        saves = step % train.checkpoint_every == 0 or last
        is_candidate = evaluates and self.selection is not None
        copy = snapshot(state) if saves or is_candidate else None
        return _Due(step, steps, report, scores, pictures, copy, saves)

    def _handle(self, due: _Due, newest: TrainState) -> bool:
        """Writes down what a call left; waits for that call, not for the one that runs now. Returns whether
        its state is being saved."""
        report = jax.device_get(due.report)
        if self.config.train.non_finite == "stop" and report.failed >= 0:
            # The failed call was undone, and the one after it did nothing: the newest state is that before.
            start = due.step - due.steps
            alone = processes.count() == 1
            devices = self.devices if alone else local_devices(self.devices)[:1]
            explanation = explain(self.config, self.dataset, devices, newest, start, int(report.failed))
            raise NonFiniteError(
                int(report.failed),
                f"{explanation}\nTraining stopped before this step; what is saved is finite. A smaller "
                "learning rate may help (in a new run), or --train.non_finite skip, which leaves such steps "
                "out.",
            )
        self.watcher.advance(due.steps)
        is_saved = due.is_saved
        if due.step % self.config.train.log_every == 0 or due.step == self.config.train.steps:
            self._log(due.step, report)
        if due.scores is not None and due.pictures is not None:
            samples = self.config.eval.interim_importance_samples
            with self.outputs.goodput.spending("evaluate"):
                jax.block_until_ready(due.scores)
            scores = self.evaluator.summarise(due.scores, samples)
            self.evaluated(due.step, self.split, scores, due.pictures)
            is_saved = self._is_best(due.step, scores["nll"]) or is_saved
        if due.state is not None and is_saved:
            self._save(due.step, due.state)
        with self._writing():
            if self.outputs.checkpoints is not None:
                self.outputs.checkpoints.check()
            self.outputs.goodput.until_now("train")
            self.outputs.goodput.move(self._waited - self._booked, "train", "data_wait")
            self._booked = self._waited
            self.outputs.goodput.write(every=1.0)
        return is_saved

    def _is_best(self, step: int, nll: float) -> bool:
        """Whether the state of the step is better than all before it that are on the disk."""
        if self.outputs.checkpoints is None or self.selection is None:
            return False
        with self.outputs.goodput.spending("checkpoint_stall"), self._writing():
            self.outputs.checkpoints.wait()
        return self.selection.offer(step, nll, self.outputs.checkpoints.steps())

    def _save(self, step: int, state: TrainState) -> None:
        if self.outputs.checkpoints is None or self.outputs.metrics is None:
            return
        goodput = self.outputs.goodput
        with goodput.spending("checkpoint_stall"):
            # A failure of the write before is said here, and this one is tried all the same.
            with self._writing():
                self.outputs.checkpoints.wait()
            record = {**(self.outputs.record or {}), "seconds": dict(goodput.seconds)}
            if self.selection is not None:
                record |= self.selection.record({*self.outputs.checkpoints.steps(), step})
            self.outputs.checkpoints.save(step, state, record, self.outputs.metrics.sync)

    def _writing(self) -> contextlib.AbstractContextManager[None]:
        return writing(self.config, self.folder, self.watcher)

    def _begin(self, step: int, streamed: bool) -> None:
        self._started = self._logged_at = time.perf_counter()
        self._earlier = self.outputs.metrics.seconds if self.outputs.metrics is not None else 0.0
        self._logged_step, self._streamed = step, streamed
        self._waited = self._booked = self._logged_wait = 0.0

    def _seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._started

    @property
    def _why_skipped(self) -> str:
        why = ["not finite"] * (self.config.train.non_finite == "skip")
        if (most := self.config.optimizer.skip_norm) is not None:
            why.append(f"of a gradient more than {most:g} times as large as usual")
        return f"{', or '.join(why)}, and skipped"

    def _log(self, step: int, report: CallReport) -> None:
        now = time.perf_counter()
        totals = jax.tree.map(float, report.totals)
        steps = totals.steps or math.nan
        rate, distortion = totals.rate / steps, totals.distortion / steps
        examples = (step - self._logged_step) * self.config.train.batch_size
        line = {
            "elbo": -(rate + distortion),
            "rate": rate,
            "distortion": distortion,
            "loss": totals.loss / steps,
            "learning_rate": float(report.learning_rate),
            "examples_per_second": examples / (now - self._logged_at),
            "seconds": self._seconds(),
        }
        if self._streamed:
            line["data_wait"] = (self._waited - self._logged_wait) / (now - self._logged_at)
            self._logged_wait = self._waited
        if totals.skipped:
            line["skipped"] = int(totals.skipped)
            self.watcher.say(f"Warning: {line['skipped']} steps up to {step} were {self._why_skipped}.")
        self._logged_at, self._logged_step = now, step
        self._tell(lambda logger: logger.scalars(step, "train", dict(line)))

    def evaluated(
        self, step: int, split: str, scores: dict[str, Any], pictures: tuple[Array, Array] | None
    ) -> None:
        """Gives the loggers the scores of an evaluation, and its pictures if it has some."""
        self._tell(lambda logger: logger.scalars(step, split, dict(scores)))
        if step < self.config.train.steps and (said := self._collapse.line(step, scores)) is not None:
            self.watcher.say(said)
        if pictures is None:
            return
        for name, images in zip(("samples", "reconstructions"), pictures, strict=True):
            columns = self.config.eval.grid if name == "samples" else self.config.eval.grid // 2 * 2
            self._show(step, name, jax.device_get(images), columns)

    def _show(self, step: int, name: str, grid: np.ndarray, columns: int) -> None:
        self._tell(lambda logger: logger.images(step, name, grid, columns))

    def _tell(self, call: Callable[[Logger], None]) -> None:
        """Calls every logger; one that cannot write keeps the others from it only if it stops the run."""
        for logger in self.outputs.loggers:
            # A user's own logger may move arrays between host and devices as it likes.
            with self._writing(), jax.transfer_guard("allow"):
                call(logger)
