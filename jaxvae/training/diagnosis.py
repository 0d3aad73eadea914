"""What happens inside one step? Every term of it, looked at closely, when a run asks why it went wrong."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxvae.config import Config
from jaxvae.models.build import build_objective
from jaxvae.models.vae import AbstractVAE
from jaxvae.training.state import TrainState
from jaxvae.training.step import as_rows, batch_loss, example_inputs, train_keys


class Diagnosis(NamedTuple):
    """One step, before its update: the terms of each image in the batch, and each weight's gradient."""

    rate: Float[Array, " batch"]
    distortion: Float[Array, " batch"]
    log_scale_range: Float[Array, "2"] | None
    """Smallest and largest log-scale of q(z|x) over the batch and the latents, if it has any."""
    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    gradients: AbstractVAE
    """Norm of the gradient of each weight."""
    weights: AbstractVAE
    """Largest magnitude in each weight."""


@functools.partial(jax.jit, static_argnums=0)
def diagnose(
    config: Config,
    state: TrainState,
    indices: Int[Array, " batch"],
    images: UInt8[Array, "batch height width channel"],
) -> Diagnosis:
    """Computes the step that ``state`` is at, on one device, without taking it; ``images`` are those at
    ``indices`` of the training set."""
    keys, positions = train_keys(config), jnp.arange(len(indices), dtype=jnp.int32)
    pixels, shape = as_rows(images), images.shape[1:]
    x, noise = example_inputs(config.data, keys, state.step, positions, indices, pixels, shape)
    objective, precision = build_objective(config), config.train.precision
    low = state.model.in_precision(precision).precomputed()
    terms = jax.vmap(lambda image, key: objective.example(low, image, key=key))(x, noise)
    # The same noise again, and once more, on purpose.
    again, once_more = jax.random.clone(noise), jax.random.clone(noise)
    draws = jax.vmap(lambda image, key: low.draw(low.encode(image), key=key))(x, again)
    scales = None if draws.posterior is None else draws.posterior.log_scale
    gradient = eqx.filter_value_and_grad(batch_loss, has_aux=True)

    def on_one_device(images, keys):
        return gradient(state.model, images, keys, objective, state.step, precision, "device")

    # An objective may ask for the mapped axis of devices: here it has one.
    (loss, _), grads = jax.tree.map(
        lambda leaf: leaf[0], jax.vmap(on_one_device, axis_name="device")(x[None], once_more[None])
    )
    return Diagnosis(
        terms.rate,
        terms.distortion,
        None if scales is None else jnp.stack([scales.min(), scales.max()]),
        loss,
        optax.tree.norm(grads),
        jax.tree.map(lambda g: jnp.sqrt(jnp.sum(g**2)), grads),
        jax.tree.map(lambda w: jnp.max(jnp.abs(w)), eqx.filter(state.model, eqx.is_inexact_array)),
    )
