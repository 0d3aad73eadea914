"""What is in a finished or unfinished run? ``jaxvae.Run("runs/mnist")``: its model, numbers and images."""

import contextlib
import dataclasses
import functools
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp

from jaxvae.config import Config
from jaxvae.data.load import Dataset, load, pixel_mean
from jaxvae.data.memory_map import Images
from jaxvae.data.validation import with_validation
from jaxvae.errors import RunError, UserError
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.checkpoint import Checkpoints, Restored
from jaxvae.runs.checkpoint_manifest import DamagedError, verify
from jaxvae.runs.folder import Workdir
from jaxvae.runs.metrics import read_metrics
from jaxvae.system.atomic_files import read_json
from jaxvae.training.compilation import Compiler
from jaxvae.training.parallel import Device, all_devices, replicate
from jaxvae.training.state import TrainState, initial_state, state_shapes


class Run:
    """The run in a folder, to read from; nothing in it is changed."""

    def __init__(self, path: str | Path, accept_changed_code: bool = False):
        """Raises UserError if there is no run. ``accept_changed_code``: use the experiment's own code also if
        it is not what the run was begun with."""
        self.folder = Workdir(path)
        config = self.folder.previous()
        if config is None:
            raise UserError(f"{self.folder.path} holds no run with a checkpoint")
        if accept_changed_code:
            config = dataclasses.replace(config, code=dataclasses.replace(config.code, accept_changed=True))
        self.config: Config = config
        """What the run was made with."""

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self.folder.path

    def steps(self) -> list[int]:
        """The steps that there are checkpoints of, ascending."""
        return self._checkpoints.steps()

    def best_step(self) -> int | None:
        """The step of the best checkpoint so far, by its bound on the validation images; None if there are
        none (``data.validation``), or if they were not scored yet."""
        for step in reversed(self.steps()):
            with contextlib.suppress(DamagedError):
                best = verify(self.folder.checkpoints / str(step), step).best
                return None if best is None else best.step
        return None

    def model(self, step: int | Literal["best"] | None = None) -> AbstractVAE:
        """The model as it would be evaluated: of the newest good checkpoint, or of that of ``step``, or of
        that of ``best_step()``.

        Its methods take one image (``jax.vmap`` gives many): ``encode``, ``decode``, ``sample``,
        ``reconstruct``. The images it was trained on are not needed. Raises UserError if there is no such
        checkpoint; warns of damaged ones.
        """
        return self.restored_model(step)[0]

    def restored_model(self, step: int | Literal["best"] | None = None) -> tuple[AbstractVAE, int]:
        """``model(step)``, and the step of its checkpoint."""
        devices = all_devices()
        if step == "best" and (step := self.best_step()) is None:
            why = (
                "it has no validation images"
                if self.config.data.validation is None
                else "none was scored yet"
            )
            raise UserError(f"{self.path} has no best checkpoint: {why} (data.validation)")
        if step is not None and step not in self.steps():
            steps = ", ".join(map(str, self.steps())) or "none"
            raise UserError(f"{self.path} has no checkpoint of step {step}; it has {steps}")
        try:
            restored = self.restored(until=step)
        except RunError as error:
            others = [other for other in self.steps() if other != step]
            if step is None or not others:
                raise
            raise RunError(
                f"the checkpoint of step {step} in {self.path} is damaged, and no earlier one is whole; "
                f"there are those of {', '.join(map(str, others))}"
            ) from error
        if restored is None or (step is not None and restored.manifest.step != step):
            if step is not None and restored is not None:
                reason = restored.damaged.get(step, "it cannot be read")
                raise UserError(f"the checkpoint of step {step} in {self.path} is damaged: {reason}")
            raise UserError(f"{self.path} holds no run with a checkpoint")
        _warn(restored)
        return replicate(restored.state, devices[:1]).evaluation_model, restored.manifest.step

    def restored(self, until: int | None = None) -> Restored | None:
        """The newest good checkpoint, of step ``until`` at most, with its whole state; None if there is none.

        Raises RunError if all of them are damaged."""
        return self._checkpoints.read(self._like, until=until)

    def dataset(self, given: Dataset | None = None) -> Dataset:
        """The images that the run is trained on, from where its configuration says, or those that are given.
        Raises UserError if they are there no more, or are others."""
        data, recorded = self.config.data, []
        dataset = load(data) if given is None else with_validation(given, data)

        def like(record: dict[str, Any]) -> TrainState:
            recorded.append(record.get("data"))
            return self._like(record)

        if self._checkpoints.read(like) is not None:
            self.folder.check_images(self.config, dataset.digest(), recorded[-1])
        return dataset

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of ``metrics.jsonl``; none if nothing was logged yet. A last line that is being written,
        or was cut short, is left out. Raises RunError for a line that no run writes."""
        return read_metrics(self.folder.metrics)

    def summary(self) -> dict[str, Any] | None:
        """The final evaluation; None if the run has not come to its end."""
        return read_json(self.folder.summary)

    @property
    def _checkpoints(self) -> Checkpoints:
        return Checkpoints(self.folder.checkpoints, self.config.train.checkpoints_kept)

    def _like(self, record: dict[str, Any]) -> TrainState:
        # Checkpoints of an earlier version know their images, but not the shape of one.
        shape = record.get("image_shape") or load(self.config.data).train.shape[1:]
        return state_shapes(self.config, tuple(shape))


def load_model(
    path: str | Path, accept_changed_code: bool = False, step: int | Literal["best"] | None = None
) -> AbstractVAE:
    """``Run(path).model(step)``: the trained model of the run in the folder ``path``; without ``step``, of
    its newest checkpoint."""
    return Run(path, accept_changed_code).model(step)


def untrained_state(
    config: Config,
    images: Images,
    compiler: Compiler | None = None,
    devices: Sequence[Device] = (),
) -> TrainState:
    """The state before the first step: a function of the configuration and the training images.

    With a ``compiler``, which may keep compiled programs, it is computed on the first of ``devices``.
    """
    mean = pixel_mean(images, config.data)
    if compiler is None:
        return initial_state(config, jnp.asarray(mean))
    return compiler(jax.jit(functools.partial(initial_state, config)), devices, mean)(mean)


def _warn(restored: Restored) -> None:
    for step, reason in restored.damaged.items():
        warnings.warn(f"the checkpoint of step {step} is damaged: {reason}", stacklevel=3)


def state_before(
    config: Config, folder: Workdir, dataset: Dataset, step: int | None = None
) -> tuple[TrainState, int]:
    """The run's newest good checkpoint, of ``step`` at most, and its step; or the initial state, and 0.

    Raises UserError if the run's images are others.
    """
    state = untrained_state(config, dataset.train)
    checkpoints = Checkpoints(folder.checkpoints, config.train.checkpoints_kept)

    def like(record: dict[str, Any]) -> TrainState:
        folder.check_images(config, dataset.digest(), record.get("data"))
        return state

    restored = checkpoints.read(like, until=step)
    # A checkpoint of a later step knows the images too.
    if restored is None and checkpoints.read(like) is None:
        folder.check_images(config, dataset.digest(), None)
    return (state, 0) if restored is None else (restored.state, restored.manifest.step)
