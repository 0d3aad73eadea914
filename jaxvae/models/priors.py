"""What is p(z)? Each prior gives the distribution that latents are drawn from before an image is seen."""

import abc
from collections.abc import Callable

import equinox as eqx

from jaxvae.models.distributions import AbstractDistribution, StandardNormal


class AbstractPrior(eqx.Module):
    """Gives p(z)."""

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
