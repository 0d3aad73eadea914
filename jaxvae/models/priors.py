"""What is p(z)? Each prior gives the distribution that latents are drawn from before an image is seen."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import Array, Float, Key

from jaxvae.models.distributions import AbstractDistribution, StandardNormal


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

        Under ``jax.vmap`` over images it is computed once, not once an image: it depends on the model alone.
        """


class StandardNormalPrior(AbstractPrior):
    """p(z) = N(0, I)."""

    latent_dim: int = eqx.field(static=True)

    def __call__(self, encoder: Callable) -> StandardNormal:
        return StandardNormal((self.latent_dim,))
