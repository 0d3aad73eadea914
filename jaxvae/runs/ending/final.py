"""How does a run end? One state is scored with the full number of samples, and the summary is written."""

from typing import Any

import jax
import numpy as np

from jaxvae.config import Config
from jaxvae.data.placement import Places
from jaxvae.errors import RunError
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.ending.best import lost
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.folder import Workdir
from jaxvae.runs.loop import Loop
from jaxvae.runs.summary import describe_data, throughput_before, versions
from jaxvae.system.atomic_files import write_json
from jaxvae.training import collapse, processes
from jaxvae.training.compilation import Compiler
from jaxvae.training.parallel import replicate, shapes_replicated
from jaxvae.training.state import TrainState


def finish(
    config: Config,
    folder: Workdir,
    loop: Loop,
    places: Places,
    compiler: Compiler,
    state: TrainState,
    throughput: dict[str, float | None],
) -> dict[str, Any]:
    """Scores the last state, or with validation images the best one, and writes the summary."""
    devices, watcher, goodput = loop.devices, loop.watcher, loop.outputs.goodput
    support = state.evaluation_model.support
    if loop.selection is None:
        scores: dict[str, Any] = {"test": evaluate_last(config, loop, state)}
    else:
        scores = _evaluate_best(config, loop, places, compiler, state)
    goodput.until_now("evaluate")
    if throughput["train_seconds"] is None:
        throughput |= throughput_before(folder.summary)
    device = devices[0]
    summary = {
        "step": config.train.steps,
        **scores,
        "data": describe_data(config, loop.dataset, loop.outputs.record, support),
        "throughput": throughput,
        "device": {"platform": device.platform, "kind": device.device_kind, "count": len(devices)},
        "versions": versions(),
        "goodput": goodput.summary(),
    }
    if processes.is_first():
        try:
            goodput.secured(config.train.steps)
            goodput.write()
            write_json(folder.summary, summary)
        except OSError as error:
            raise RunError(f"{error.filename} cannot be written ({error.strerror})") from error
    watcher.table(summary)
    if (said := collapse.warning(config, config.train.steps, summary["test"])) is not None:
        watcher.say(f"Warning: {said}.")
    watcher.say(f"Pictures, metrics and checkpoints are in {folder.path}")
    return summary


def evaluate_last(config: Config, loop: Loop, state: TrainState) -> dict[str, Any]:
    """Scores the last state with the full number of samples, draws its pictures, writes both down."""
    model = state.evaluation_model
    pictures = loop.evaluator.pictures(model)
    test = _scores(config, loop.evaluator, model)
    loop.evaluated(config.train.steps, "test", test, pictures)
    return test


def _evaluate_best(
    config: Config, loop: Loop, places: Places, compiler: Compiler, last: TrainState
) -> dict[str, Any]:
    """Scores the best state on the validation images, and, which is done for no other, on the test images.
    Its pictures, and the last state's, were drawn in training."""
    step, state = _best_state(config, loop, last)
    model = state.evaluation_model
    validation = _scores(config, loop.evaluator, model)
    evaluator = Evaluator(config, loop.dataset.test, loop.devices, places.test_streams)
    evaluator.prepare(shapes_replicated(model, loop.devices), compiler, draws=False)
    test = _scores(config, evaluator, model)
    loop.evaluated(config.train.steps, "test", {**test, "test_step": step}, None)
    return {"test_step": step, "test": test, "validation": validation}


def _scores(config: Config, evaluator: Evaluator, model: AbstractVAE) -> dict[str, Any]:
    samples = config.eval.importance_samples
    return {**evaluator.summarise(evaluator.dispatch(model, samples), samples), **model.summary()}


def _best_state(config: Config, loop: Loop, last: TrainState) -> tuple[int, TrainState]:
    """The step of the best state, and that state, read from its checkpoint; raises RunError if that is
    damaged."""
    steps = config.train.steps
    step, found = processes.first_does(lambda: _read_best(loop, last, steps)) or (steps, None)
    step = int(processes.broadcast(np.asarray(step)))
    if step == steps:
        return step, last
    found = jax.device_get(last) if found is None else found
    return step, replicate(processes.broadcast(found), loop.devices)


def _read_best(loop: Loop, last: TrainState, steps: int) -> tuple[int, TrainState | None]:
    checkpoints = loop.outputs.checkpoints
    assert checkpoints is not None
    assert loop.selection is not None
    best = loop.selection.best(checkpoints.steps())
    if best is None:
        loop.watcher.say("Warning: no state has a finite bound on the validation images: the last is tested.")
        return steps, None
    loop.watcher.say(
        f"Testing the checkpoint of step {best.step}, the best by its bound on the validation images."
    )
    if best.step == steps:
        return steps, None
    restored = checkpoints.read(last, until=best.step)
    if restored is None or restored.manifest.step != best.step:
        reason = {} if restored is None else restored.damaged
        raise lost(checkpoints.folder, best.step, reason.get(best.step, "it cannot be read"))
    return best.step, restored.state
