"""What is asked of every prior?"""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Key

from jaxvae.models.distributions import AbstractDistribution


class AbstractPrior(eqx.Module):
    """Gives p(z)."""

    @classmethod
    def build(
        cls,
        latent_dim: int,
        pixel_mean: Float[Array, "height width channel"],
        *,
        key: Key[Array, ""],
        **fields: Any,
    ) -> "AbstractPrior":
        """For so many latents, and images of which this is the mean, with the ``fields`` of its kind."""
        make: Any = cls
        return make(latent_dim, **fields)

    @abc.abstractmethod
    def __call__(self, encoder: Callable) -> AbstractDistribution:
        """p(z), with a ``sample(key)``. ``encoder`` maps an image to q(z|x), for priors that are made of
        posteriors (VampPrior); others ignore it.

        It depends on the model alone: under ``jax.vmap`` over images it is computed once, and ``precomputed``
        of the model keeps it out of loops over draws.
        """


class KnownPrior(AbstractPrior):
    """A prior whose distribution has been computed already."""

    distribution: AbstractDistribution

    def __call__(self, encoder: Callable) -> AbstractDistribution:
        return self.distribution
