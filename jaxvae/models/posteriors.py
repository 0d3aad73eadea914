"""What is q(z|x)? Each posterior turns the encoder's outputs into a distribution of an image's latents."""

import abc
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models.distributions import AbstractDistribution, Gaussian, bounded_log_scale


class AbstractPosterior(eqx.Module):
    """Which distribution of latents the encoder's outputs stand for."""

    outputs: eqx.AbstractVar[int]
    """How many numbers of an image it needs."""

    @classmethod
    def build(cls, latent_dim: int, *, key: Key[Array, ""], **fields: Any) -> "AbstractPosterior":
        """For so many latents, with the ``fields`` of its kind."""
        return cls(latent_dim, **fields)

    @abc.abstractmethod
    def __call__(self, outputs: Float[Array, " outputs"]) -> AbstractDistribution:
        """The distribution of the latents, with ``sample_and_log_prob(key)`` and a ``mean``."""


class DiagonalPosterior(AbstractPosterior):
    """q(z|x) = N(mean, diag(scale^2)); the encoder gives ``latent`` means, then as many unbounded log-scales
    (``bounded_log_scale``)."""

    outputs: int = eqx.field(static=True)

    def __init__(self, latent_dim: int):
        self.outputs = 2 * latent_dim

    def __call__(self, outputs: Float[Array, " outputs"]) -> Gaussian:
        mean, raw = jnp.split(outputs, 2)
        return Gaussian(mean, bounded_log_scale(raw))
