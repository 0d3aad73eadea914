"""How is a model trained from Python? ``jaxvae.train(images, "runs/mine", train={"steps": 1000})``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxvae.config import Config
from jaxvae.config.fields import IN_MEMORY
from jaxvae.config.nested import updated
from jaxvae.config.validation import validate
from jaxvae.data.given_arrays import has_three, in_memory
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.fit import fit
from jaxvae.runs.loggers import Logger
from jaxvae.runs.run import Run
from jaxvae.system.paths import meant_path
from jaxvae.training.compiled_programs import users_cache


class Trained(NamedTuple):
    """What came of training."""

    model: AbstractVAE
    """As it was evaluated."""
    history: list[dict[str, Any]]
    """The lines of ``metrics.jsonl``."""
    summary: dict[str, Any]
    """The final evaluation."""
    run: Run
    """The folder, to read more from."""


def train(
    images_or_config: Any, workdir: str | Path, *, loggers: Sequence[Logger] = (), **fields: Any
) -> Trained:
    """Trains a model, or continues the run in ``workdir``, exactly as ``train.py`` does.

    ``images_or_config``: a ``Config``, whose ``data.name`` says which images; or the images, an array of
    example x height x width (x channel) with values from 0 to 255 or 0 to 1, or a pair of them, to train and
    to test, or a tuple of three, to train, to choose the best checkpoint (``data.validation``) and to test.
    ``fields`` are sections of the configuration, whole (``model=Model(latent_dim=8)``) or some of
    their fields (``train={"steps": 100}``, or by dotted names ``**{"train.steps": 100}``), kinds
    (``objective=ELBO(beta=4.0)``, or by name, ``model={"likelihood": "gaussian"}``), and ``seed``.
    ``loggers`` receive the numbers and pictures beside the run's own files.

    Raises UserError for what cannot work, before anything is written, and RunError if the run cannot go on;
    the same call later continues it.
    """
    path = meant_path(workdir, "workdir")
    given = updated(images_or_config if isinstance(images_or_config, Config) else Config(), fields)
    dataset = None
    if not isinstance(images_or_config, Config):
        given["data"] = {**given["data"], "name": IN_MEMORY}
        if has_three(images_or_config) and given["data"]["validation"] is None:
            given["data"]["validation"] = "own"
        dataset = in_memory(images_or_config, validate(given).data)
    summary = fit(validate(given), path, cache=users_cache(), dataset=dataset, loggers=loggers)
    run = Run(path)
    return Trained(run.model(summary.get("test_step")), run.metrics(), summary, run)
