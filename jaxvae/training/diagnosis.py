"""What happens inside one step? Every term of it, looked at closely, when a run asks why it went wrong."""

import functools
import itertools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxvae.config import Config
from jaxvae.models.build import build_objective
from jaxvae.models.draws import Draw
from jaxvae.models.vae import AbstractVAE
from jaxvae.training.state import TrainState
from jaxvae.training.step import as_rows, batch_loss, example_inputs, train_keys


class Diagnosis(NamedTuple):
    """One step, before its update: the terms of each image in the batch, and each weight's gradient."""

    rate: Float[Array, " batch"]
    distortion: Float[Array, " batch"]
    rates: Float[Array, "batch level"]
    """Of each level of latents; they are those of the draw, of which an objective may have several."""
    log_scale_ranges: Float[Array, "level 2"] | None
    """Smallest and largest log-scale of q(z|x) over the batch and each level's latents, if it has any; of all
    together where it does not say how many each has."""
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
        draws.rates,
        _log_scale_ranges(draws),
        loss,
        optax.tree.norm(grads),
        jax.tree.map(lambda g: jnp.sqrt(jnp.sum(g**2)), grads),
        jax.tree.map(lambda w: jnp.max(jnp.abs(w)), eqx.filter(state.model, eqx.is_inexact_array)),
    )


def _log_scale_ranges(draws: Draw) -> Float[Array, "level 2"] | None:
    """Of the draws of a batch."""
    scales = None if draws.posterior is None else draws.posterior.log_scale
    if scales is None:
        return None
    ends = list(itertools.accumulate(leaf[0].size for leaf in jax.tree.leaves(draws.latents)))
    fits = ends[-1] == scales.shape[1] and len(ends) == draws.rates.shape[1]
    levels = jnp.split(scales, ends[:-1], axis=1) if fits else [scales]
    return jnp.stack([jnp.stack([level.min(), level.max()]) for level in levels])
