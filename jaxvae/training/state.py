"""What does training carry from one step to the next?

Only arrays: the state is what a checkpoint holds, and with the seed it is all that the rest of the run
depends on.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from jaxvae.config import Config
from jaxvae.models.build import build_model
from jaxvae.models.vae import AbstractVAE
from jaxvae.training.keys import Stream, stream
from jaxvae.training.optimizer import build_optimizer


class Totals(eqx.Module):
    """Sums over the steps since the last line of training metrics.

    They are part of the state so that a run resumed between two lines writes the line it would have.
    """

    rate: Float[Array, ""]
    distortion: Float[Array, ""]
    loss: Float[Array, ""]
    steps: Float[Array, ""]
    """Steps that are in the sums."""
    skipped: Float[Array, ""]
    """Steps that were left out, because their loss or gradient was not finite, or was far too large."""


def zero_totals() -> Totals:
    """Nothing summed yet."""
    return Totals(*(jnp.zeros((), jnp.float32) for _ in range(5)))


class TrainState(eqx.Module):
    """Everything a step reads and writes."""

    step: Int[Array, ""]
    """Steps taken so far, which is also the index of the next one."""
    model: AbstractVAE
    average: AbstractVAE | None
    """Moving average of the weights, if the optimizer keeps one."""
    opt_state: PyTree
    totals: Totals
    usual_norm: Float[Array, ""] | None = None
    """Running mean of the gradient's norm, 0 before the first; None if no step is left out for its own."""

    @property
    def evaluation_model(self) -> AbstractVAE:
        """The weights to evaluate and to sample from."""
        return self.model if self.average is None else self.average


@functools.partial(jax.jit, static_argnums=0)
def initial_state(config: Config, pixel_mean: Float[Array, "height width channel"]) -> TrainState:
    """The state before the first step: a function of the configuration and the training images' mean."""
    return state_of(config, build_model(config, pixel_mean, key=stream(config.seed, Stream.INITIAL_WEIGHTS)))


def state_of(config: Config, model: AbstractVAE) -> TrainState:
    """The state before the first step of a run that begins with this model."""
    keeps_average = config.optimizer.ema_decay is not None
    weights = eqx.filter(model, eqx.is_inexact_array)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        model=model,
        average=jax.tree.map(jnp.copy, model) if keeps_average else None,
        opt_state=build_optimizer(config).init(weights),
        totals=zero_totals(),
        usual_norm=None if config.optimizer.skip_norm is None else jnp.zeros((), jnp.float32),
    )


def state_shapes(config: Config, image_shape: tuple[int, ...]) -> TrainState:
    """A state of shapes and types alone, for images of this shape; nothing is compiled or computed."""
    mean = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    shapes = jax.eval_shape(functools.partial(initial_state, config), mean)
    # Without the weak types that a first state may have and a restored one cannot.
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), shapes)
