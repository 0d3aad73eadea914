"""Which approximate posteriors q(z|x) are there, and what can be set of each?"""

from typing import ClassVar

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.ranges import Count, Whole, Widths

__all__ = ["DiagonalGaussian", "FullGaussian", "InverseAutoregressiveFlow", "Posterior"]


class Posterior(Kind):
    """q(z|x): the distribution of an image's latents that the encoder's outputs stand for."""

    density_of_any: ClassVar[bool] = True
    """Whether the density of any z costs as little as that of a draw."""


class DiagonalGaussian(Posterior):
    """N(mean(x), diag(scale(x)^2)): independent latents."""

    kind = "diagonal"
    builds = "jaxvae.models.posteriors.diagonal:DiagonalPosterior"


class FullGaussian(Posterior):
    """N(mean(x), L(x) L(x)^T): latents with any covariance."""

    kind = "full"
    builds = "jaxvae.models.posteriors.full_gaussian:FullGaussianPosterior"


class InverseAutoregressiveFlow(Posterior):
    """Inverse autoregressive flow: latents each moved by those before it, several times."""

    kind = "iaf"
    builds = "jaxvae.models.posteriors.autoregressive:AutoregressivePosterior"
    density_of_any = False
    steps: Count = 2
    """Times that the latents are moved; their order is reversed between two."""
    hidden: Widths = (320,)
    """Widths of the hidden layers of each step's network. Without any it is linear."""
    context: Whole = 64
    """Numbers that the encoder gives to the steps' networks, beside the first mean and scale."""
