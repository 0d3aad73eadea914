"""How does a whole run go? Set up, train, evaluate, continue."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxvae.config import Config
from jaxvae.config.pixels import ARE, TAKES, flags_for
from jaxvae.config.resumption import WHICH_PIXELS
from jaxvae.config.validation import validate
from jaxvae.data.advice import warnings
from jaxvae.data.dataset import refuse_no_images
from jaxvae.data.load import BUNDLED, Dataset, load
from jaxvae.data.placement import choose_places, refuse_what_cannot_fit
from jaxvae.data.validation import with_validation
from jaxvae.errors import RunError, UserError
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.checkpoint import Checkpoints, Restored
from jaxvae.runs.checkpoint_manifest import Best
from jaxvae.runs.ending.best import damage
from jaxvae.runs.ending.final import finish
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.folder import Workdir
from jaxvae.runs.goodput import Goodput
from jaxvae.runs.loggers import Console, JSONLines, Logger, Outputs, PNGFiles, writing
from jaxvae.runs.loop import Loop
from jaxvae.runs.metrics import MetricsFile
from jaxvae.runs.progress import Watcher
from jaxvae.runs.run import untrained_state
from jaxvae.runs.summary import THROUGHPUT
from jaxvae.system.lock import Lock
from jaxvae.system.signals import NoSignals, Signals
from jaxvae.training import processes
from jaxvae.training.compilation import Compiler
from jaxvae.training.compiled_programs import Cache
from jaxvae.training.device_errors import explained
from jaxvae.training.fused_steps import TrainCall, steps_per_call
from jaxvae.training.optimizer import learning_rate_schedule
from jaxvae.training.parallel import Device, devices_for, local_devices, replicate, shapes_replicated
from jaxvae.training.state import TrainState, state_shapes
from jaxvae.training.step import check_loss


def fit(
    config: Config,
    path: str | Path,
    signals: Signals | None = None,
    started: float | None = None,
    cache: Cache | None = None,
    dataset: Dataset | None = None,
    loggers: Sequence[Logger] = (),
) -> dict[str, Any]:
    """Trains, or continues, the run in the folder ``path``, evaluates it and returns its summary.

    ``signals`` may ask it to stop between two calls; ``started`` is when, by ``time.perf_counter``, the
    time that the run takes began; ``cache`` may hold compiled programs; ``dataset`` are the images, if they
    are not to be those that ``config.data`` names; ``loggers`` are called after the run's own.

    Raises UserError, before anything is written, if the configuration cannot work here or is not the one
    that the folder's run began with, and RunError if the run cannot go on; whatever is raised, the same
    call later continues from the newest good checkpoint.
    """
    started = time.perf_counter() if started is None else started
    config = validate(config)
    if dataset is not None:
        refuse_no_images(dataset)
    devices = devices_for(config.train)
    _refuse_before_loading(config, devices)
    dataset = load(config.data) if dataset is None else with_validation(dataset, config.data)
    shapes = _fitting_shapes(config, dataset, devices)
    with explained():
        dataset = _same_everywhere(dataset)
        places = choose_places(config.data.placement, dataset, devices)
    places.check(config.data)
    folder, watcher = Workdir(path), Watcher(silent=not processes.is_first())
    with contextlib.ExitStack() as stack, explained():
        stack.callback(watcher.close)
        begun = processes.first_does(
            lambda: _begin(stack, config, folder, dataset, shapes, watcher, started, loggers)
        )
        begun = begun or _Begun({}, None, Outputs(None, None, Goodput(None, started)))
        step = int(processes.broadcast(np.asarray(begun.step)))
        _announce(watcher, folder, config, step, begun)
        watcher.images(dataset, places)
        if step < config.train.steps and processes.is_first():
            for warning in warnings(config, dataset.train):
                watcher.say(f"Warning: {warning}.")
        begun.outputs.goodput.until_now("setup")
        # The compiler's own thread has first what this one soon waits for, training, and then evaluation.
        compiler, placed = stack.enter_context(Compiler(cache)), shapes_replicated(shapes, devices)
        call = None
        if (stop := config.train.steps) > step:
            steps = steps_per_call(config, step, places.steps_at_most(config, dataset))
            feed = stack.enter_context(places.feed(config, dataset, devices, step, stop, steps))
            call = compiler.begin(TrainCall, config, dataset.train, devices, placed, steps, compiler, feed)
        restored = begun.restored
        if restored is None:
            state = untrained_state(config, dataset.train, compiler, local_devices(devices)[:1])
        else:
            state = restored.state
        state = replicate(processes.broadcast(state), devices)
        validates = dataset.validation is not None
        streamed = bool(places.validation_streams) if validates else places.test_streams
        split = "validation" if validates else "test"
        evaluator = Evaluator(config, dataset.scored_in_training, devices, streamed, split)
        evaluator.prepare(placed.evaluation_model, compiler)
        signals = signals or NoSignals()
        loop = Loop(config, folder, devices, dataset, watcher, evaluator, begun.outputs, signals, begun.best)
        throughput: dict[str, float | None] = dict.fromkeys(THROUGHPUT)
        if call is not None:
            state, throughput = loop.train(state, step, call)
        return finish(config, folder, loop, places, compiler, state, throughput)


def _refuse_before_loading(config: Config, devices: list[Device]) -> None:
    """Raises UserError for what could not fit whatever the images are, before any of them is decoded."""
    size = config.data.image_size or 1
    # Neither the experiment's own ``build`` nor every architecture takes images of any size.
    of_any = config.data.name != BUNDLED and config.model.architecture.any_size
    if config.code.file is None and (of_any or size > 1):
        shape = (size, size, 1)
        refuse_what_cannot_fit(config, 1, shape, state_shapes(config, shape), devices)


def _fitting_shapes(config: Config, dataset: Dataset, devices: list[Device]) -> TrainState:
    """The shapes of the run's state; raises UserError if its model, loss or sizes cannot work with these
    images."""
    image_shape = dataset.train.shape[1:]
    shapes = state_shapes(config, image_shape)
    check_loss(config, shapes.model, image_shape)
    _refuse_unfit_pixels(shapes.model, config)
    refuse_what_cannot_fit(config, max(map(len, dataset.sets()[1:])), image_shape, shapes, devices)
    return shapes


def _refuse_unfit_pixels(model: AbstractVAE, config: Config) -> None:
    """Raises UserError if the model's likelihood gives no probability or density of pixels such as these."""
    data = config.data
    if data.pixels not in TAKES[model.support]:
        raise UserError(
            f"the model's likelihood takes pixels that are {ARE[model.support]}, but with "
            f"--data.binarization {data.binarization} and --data.dequantization {data.dequantization} "
            f"they are {ARE[data.pixels]}: choose {flags_for(model.support, data.pixels)}"
        )


def _same_everywhere(dataset: Dataset) -> Dataset:
    """The images with their digest; raises UserError in a process that has others than the first."""
    dataset = dataset._replace(noted_digest=dataset.digest())
    ours = np.frombuffer(dataset.digest().encode(), np.uint8)
    if (processes.broadcast(ours) != ours).any():
        raise UserError(
            f"process {jax.process_index()} of this run has other images than the first: {dataset.title}, "
            f"SHA-256 {dataset.digest()}; give every host the same files"
        )
    return dataset


class _Begun(NamedTuple):
    """What the first process found in the folder, and opened there."""

    changed: dict[str, tuple]
    restored: Restored | None
    outputs: Outputs
    best: Best | None = None
    """The best checkpoint so far."""

    @property
    def step(self) -> int:
        """Where the run goes on."""
        return self.restored.manifest.step if self.restored is not None else 0


def _begin(
    stack: contextlib.ExitStack,
    config: Config,
    folder: Workdir,
    dataset: Dataset,
    like: PyTree,
    watcher: Watcher,
    started: float,
    users: Sequence[Logger],
) -> _Begun:
    """Takes the folder, and reads what the run goes on from; writes only once nothing can be refused."""
    folder.check(config)
    lock: Lock = folder.claim()
    stack.callback(lock.release)
    changed = folder.check(config)
    checkpoints = Checkpoints(folder.checkpoints, config.train.checkpoints_kept)
    stack.callback(checkpoints.close)
    record: dict[str, Any] = {"data": dataset.digest(), "image_shape": dataset.train.shape[1:]}

    def like_of(saved: dict[str, Any]) -> PyTree:
        folder.check_images(config, record["data"], saved.get("data"))
        return like

    restored = checkpoints.read(like_of)
    step = restored.manifest.step if restored is not None else 0
    if step > config.train.steps:
        raise UserError(
            f"the run in {folder.path} is already at step {step}, past --train.steps {config.train.steps}: "
            f"use {step} or more, or another --workdir"
        )
    damaged = restored.damaged if restored is not None else {}
    best = restored.manifest.best if restored is not None else None
    if best is not None and (found := damage(checkpoints.folder, best, step == config.train.steps)):
        damaged, best = damaged | found, None
    for number, reason in damaged.items():
        watcher.say(f"Warning: the checkpoint of step {number} is damaged: {reason}. It is set aside.")
    try:
        metrics = MetricsFile(folder.metrics, step)
        loggers = [JSONLines(metrics), Console(watcher), PNGFiles(folder.images), *users]
        for logger in loggers:
            stack.callback(_close, logger, config, folder, watcher)
        # Nothing is refused any more, and nothing was written yet.
        folder.prepare(config)
        checkpoints.clean(damaged)
        metrics.open()
        goodput = Goodput(folder.goodput, started)
        goodput.continue_from(step, restored.manifest.record["seconds"] if restored is not None else {})
        goodput.write()
    except OSError as error:
        raise RunError(f"{error.filename} cannot be written ({error.strerror})") from error
    return _Begun(changed, restored, Outputs(checkpoints, metrics, goodput, loggers, record), best)


def _close(logger: Logger, config: Config, folder: Workdir, watcher: Watcher) -> None:
    with writing(config, folder, watcher):
        logger.close()


def _announce(watcher: Watcher, folder: Workdir, config: Config, step: int, begun: _Begun) -> None:
    if step == config.train.steps:
        watcher.say(f"The run in {folder.path} is finished at step {step}: evaluating it only.")
    elif step:
        watcher.say(f"Continuing the run in {folder.path} from step {step}.")
    elif begun.changed.keys() & WHICH_PIXELS:
        changed = ", ".join(
            f"{name} {now}, not {before}"
            for name, (before, now) in begun.changed.items()
            if name in WHICH_PIXELS
        )
        watcher.say(f"The run in {folder.path} has no checkpoint yet: it begins anew, with {changed}.")
    before, now = begun.changed.get("train.steps", (None, None))
    if before is not None and step and config.optimizer.schedule != "constant":
        old, new = (float(learning_rate_schedule(config.optimizer, steps)(step)) for steps in (before, now))
        watcher.say(
            f"train.steps was {before} and is {now}, and the schedule of the learning rate ends with it: "
            f"the learning rate at step {step} goes from {old:.3g} to {new:.3g}."
        )
