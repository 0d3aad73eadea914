"""How do I get a trained model back? ``jaxvae.load_model("runs/mnist")``."""

from pathlib import Path

import jax
import jax.numpy as jnp

from jaxvae.checkpoint import Checkpoints
from jaxvae.config import UserError
from jaxvae.data import load, pixel_mean
from jaxvae.state import initial_state
from jaxvae.vae import VAE
from jaxvae.workdir import Workdir


def load_model(path: str | Path) -> VAE:
    """The model of the run in the folder ``path``, as its newest checkpoint would be evaluated.

    Its methods take one image (``jax.vmap`` gives many): ``encode``, ``decode``, ``sample``,
    ``reconstruct``. Raises UserError if there is no run, or none that has reached a checkpoint.
    """
    folder = Workdir(Path(path))
    config, step = folder.previous(), folder.latest_step()
    if config is None or step is None:
        raise UserError(f"{path} holds no run with a checkpoint")
    mean = pixel_mean(load(config.data).train, config.data.binarization)
    like = initial_state(config, jnp.asarray(mean))
    checkpoints = Checkpoints(folder.checkpoints, config.train.checkpoints_kept)
    try:
        return checkpoints.restore(step, like, jax.devices()[:1]).evaluated
    finally:
        checkpoints.close()
