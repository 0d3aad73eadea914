"""What is asked of every posterior?"""

import abc
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Key

from jaxvae.models.distributions import AbstractDistribution


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
        """The distribution of the latents, with ``sample_and_log_prob(key)`` and a ``mean``, or a
        ``noiseless`` in its place."""
