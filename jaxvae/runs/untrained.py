"""What does training begin with? Weights drawn around the training images' mean."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from jaxvae.config import Config
from jaxvae.data.load import pixel_mean
from jaxvae.training.state import TrainState, initial_state


def untrained_state(config: Config, images: UInt8[np.ndarray, "example height width channel"]) -> TrainState:
    """The state before the first step: a function of the configuration and the training images."""
    return initial_state(config, jnp.asarray(pixel_mean(images, config.data)))
