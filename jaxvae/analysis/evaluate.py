"""How good is a trained model, and what is inside it? ``jaxvae.evaluate("runs/mnist", latents=True)``.

A further analysis is a module here with an ``ANALYSIS``, a field of ``Options``, and a line in ``ANALYSES``.
"""

import dataclasses
import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.analysis import belief, scores
from jaxvae.analysis.context import Analysis, Context, evaluator_of
from jaxvae.analysis.options import Options
from jaxvae.analysis.writing import refuse_unwritable
from jaxvae.config import Config, Train
from jaxvae.config.conversion import suggest
from jaxvae.data.given_arrays import in_memory
from jaxvae.errors import UserError
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.progress import scores_table
from jaxvae.runs.run import Run
from jaxvae.runs.summary import describe_data
from jaxvae.system.atomic_files import finite
from jaxvae.system.paths import meant_path
from jaxvae.training.device_errors import explained
from jaxvae.training.parallel import Device, all_devices, devices_for, replicate

ANALYSES: dict[str, str] = {
    "latents": "jaxvae.analysis.latents",
    "groups": "jaxvae.analysis.groups",
    "mutual_information": "jaxvae.analysis.information",
    "ex_post": "jaxvae.analysis.ex_post",
    "ais": "jaxvae.analysis.annealed_scores:AIS",
    "sandwich": "jaxvae.analysis.annealed_scores:SANDWICH",
    "gap": "jaxvae.analysis.gaps:GAP",
    "regret": "jaxvae.analysis.gaps:REGRET",
}
"""The module of each analysis, by the option that asks for it, in the order in which they are done; after a
colon the name of its ``Analysis``, if that is not ``ANALYSIS``."""


def evaluate(
    run: str | Path | Run, *, given: Any = None, say: Callable[[str], None] | None = None, **options: Any
) -> dict[str, Any]:
    """Scores the model of a run, finished or not, on its test images; changes nothing in the run's folder.

    ``options`` are the fields of ``Options``: ``importance_samples``, ``images``, ``step``, ``scores``, and
    one for each further analysis. ``given`` are the images of a run that was trained on arrays in memory, as
    ``jaxvae.train`` takes them. ``say`` gets every line that the command prints.

    Returns ``run``, ``step``, ``data``; ``test``, the scores as in ``summary.json``, and equal to them with
    the same importance samples, device and number of devices; ``belief`` (see ``belief``); and what each
    analysis found, by its option's name. Raises UserError if there is no run, if its images are there no
    more or are others, for an option that cannot work and for a file that cannot be written, before
    anything is computed.
    """
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value for name, value in options.items()
    }
    if unknown := [name for name in plain if name not in FLAGS]:
        hint = suggest(unknown[0], list(FLAGS)) or f"there are {', '.join(FLAGS)}"
        raise UserError(f"{unknown[0]} is no option of an evaluation: {hint}")
    chosen = Options(**plain)
    chosen.check()
    opened = run if isinstance(run, Run) else Run(run)
    asked = {name: _analysis(module) for name, module in ANALYSES.items() if getattr(chosen, name)}
    if chosen.scores is not None:
        refuse_unwritable(meant_path(chosen.scores, "--scores"), "--scores", scores.is_ours)
    for analysis in asked.values():
        analysis.refuse(chosen, opened.config)
    with explained():
        context, step, support = _scored(opened, chosen, given, say or (lambda line: None))
        data = describe_data(opened.config, context.dataset, {"data": context.dataset.noted_digest}, support)
        found = {
            "run": str(opened.path),
            "step": step,
            "data": data,
            "test": context.test,
            "belief": belief.belief(context.test, context.bounds.effective_samples, context.fewer),
        }
        for line in ("", *scores_table(found), *belief.lines(context.test, found["belief"])):
            context.say(line)
        for name, analysis in asked.items():
            found[name] = analysis.analyse(context)
            for line in ("", *analysis.lines(found[name])):
                context.say(line)
        if chosen.scores is not None:
            path, each = meant_path(chosen.scores, "--scores"), scores.of_each_image(context)
            for name in asked:
                each |= found[name].get("of_each_image", {})
            scores.write(path, each, {"step": step, "importance_samples": context.samples})
            context.say(scores.line(path, each))
    return found


def _scored(run: Run, options: Options, given: Any, say: Callable[[str], None]) -> tuple[Context, int, Any]:
    """The context, the step of its checkpoint, and which pixels the model is made for."""
    config, devices = run.config, _devices(run.config)
    dataset = run.dataset(None if given is None else in_memory(given, config.data))
    dataset = dataset._replace(noted_digest=dataset.digest())
    if options.images is not None:
        if options.images > len(dataset.test):
            raise UserError(f"--images {options.images}: there are {len(dataset.test)} test images")
        dataset = dataset._replace(test=dataset.test[: options.images])
    best = run.best_step() if options.step is None and dataset.validation is not None else None
    model, step = run.restored_model(options.step or best)
    samples = options.importance_samples or config.eval.importance_samples
    # As in training, by the same programs, so that the bits are the same.
    placed = replicate(model, devices)
    evaluator = evaluator_of(config, dataset, devices, placed)
    bounds = evaluator.dispatch(placed, samples)
    test = {**evaluator.summarise(bounds, samples), **model.summary()}
    few, fewer = samples // belief.FEWER, None
    if few >= 2:
        fewer = evaluator.summarise(evaluator.dispatch(placed, few), few)
    each = evaluator.of_each_image(bounds)
    context = Context(
        config,
        options,
        placed.precomputed(),
        dataset,
        devices,
        evaluator,
        each,
        test,
        fewer,
        samples,
        run.metrics(),
        say,
    )
    return context, step, model.support


def _devices(config: Config) -> list[Device]:
    """As many devices as the run asks for, or as there are."""
    here = len(all_devices())
    count = min(config.train.devices or here, here)
    return devices_for(Train(devices=count, batch_size=count))


def _analysis(place: str) -> Analysis:
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name or "ANALYSIS")


def as_json(found: Any) -> Any:
    """The same with arrays as lists, in numbers that JSON has, and without models."""
    if isinstance(found, dict):
        return {name: as_json(value) for name, value in found.items() if not isinstance(value, AbstractVAE)}
    if isinstance(found, np.ndarray | np.generic):
        return as_json(found.tolist())
    if isinstance(found, list | tuple):
        return [as_json(value) for value in found]
    return finite(found)


FLAGS = tuple(field.name for field in dataclasses.fields(Options))
"""The names of all options."""
