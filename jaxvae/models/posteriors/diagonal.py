"""The posterior of independent Gaussian latents."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.distributions import Gaussian, bounded_log_scale
from jaxvae.models.posteriors.posterior import AbstractPosterior


class DiagonalPosterior(AbstractPosterior):
    """q(z|x) = N(mean, diag(scale^2)); the encoder gives ``latent`` means, then as many unbounded log-scales
    (``bounded_log_scale``)."""

    outputs: int = eqx.field(static=True)

    def __init__(self, latent_dim: int):
        self.outputs = 2 * latent_dim

    def __call__(self, outputs: Float[Array, " outputs"]) -> Gaussian:
        mean, raw = jnp.split(outputs, 2)
        return Gaussian(mean, bounded_log_scale(raw))
