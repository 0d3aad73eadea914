"""How do I get a trained model back? ``jaxvae.load_model("runs/mnist")``."""

import warnings
from pathlib import Path
from typing import Any

from jaxvae.runs.checkpoint import Checkpoints
from jaxvae.data.load import load
from jaxvae.errors import UserError
from jaxvae.training.parallel import all_devices, replicate
from jaxvae.training.state import TrainState, state_shapes
from jaxvae.models.vae import VAE
from jaxvae.runs.folder import Workdir


def load_model(path: str | Path) -> VAE:
    """The model of the run in the folder ``path``, as its newest good checkpoint would be evaluated.

    Its methods take one image (``jax.vmap`` gives many): ``encode``, ``decode``, ``sample``,
    ``reconstruct``. The images it was trained on are not needed. Raises UserError if there is no run, or
    none that has reached a checkpoint.
    """
    folder = Workdir(path)
    config = folder.previous()
    if config is None:
        raise UserError(f"{folder.path} holds no run with a checkpoint")
    devices = all_devices()

    def like(record: dict[str, Any]) -> TrainState:
        # Checkpoints of an earlier version know their images, but not the shape of one.
        shape = record.get("image_shape") or load(config.data).train.shape[1:]
        return state_shapes(config, tuple(shape))

    restored = Checkpoints(folder.checkpoints, config.train.checkpoints_kept).read(like)
    if restored is None:
        raise UserError(f"{folder.path} holds no run with a checkpoint")
    for step, reason in restored.damaged.items():
        warnings.warn(f"the checkpoint of step {step} is damaged: {reason}", stacklevel=2)
    return replicate(restored.state, devices[:1]).evaluated
