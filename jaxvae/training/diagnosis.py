"""What happens inside one step? Every term of it, looked at closely, when a run asks why it went wrong."""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, UInt8

from jaxvae.config import Config
from jaxvae.models.objectives import elbo_terms
from jaxvae.models.vae import VAE
from jaxvae.training.state import TrainState
from jaxvae.training.step import as_rows, batch_loss, compute_copy, example_inputs, rate_weight, train_keys


class Diagnosis(NamedTuple):
    """One step, before its update: the terms of each image in the batch, and each weight's gradient."""

    rate: Float[Array, " batch"]
    distortion: Float[Array, " batch"]
    log_scale_range: Float[Array, "2"]
    """Smallest and largest log-scale of q(z|x) over the batch and the latents."""
    loss: Float[Array, ""]
    gradient_norm: Float[Array, ""]
    gradients: VAE
    """Norm of the gradient of each weight."""
    weights: VAE
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
    low = compute_copy(state.model, config.train.precision)
    terms = jax.vmap(elbo_terms, in_axes=(None, 0, 0))(low, x, noise)
    log_scale = jax.vmap(low.encode)(x).log_scale
    beta = rate_weight(config.objective, state.step)
    gradient = eqx.filter_value_and_grad(batch_loss, has_aux=True)
    # The same noise again, on purpose.
    noise = jax.random.clone(noise)
    (loss, _), grads = gradient(state.model, x, noise, beta, config.train.precision)
    return Diagnosis(
        terms.rate,
        terms.distortion,
        jnp.stack([log_scale.min(), log_scale.max()]),
        loss,
        optax.tree.norm(grads),
        jax.tree.map(lambda g: jnp.sqrt(jnp.sum(g**2)), grads),
        jax.tree.map(lambda w: jnp.max(jnp.abs(w)), eqx.filter(state.model, eqx.is_inexact_array)),
    )
