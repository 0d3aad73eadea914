"""Which approximate posteriors q(z|x) are there, and what can be set of each?"""

from jaxvae.config.kinds.kind import Kind

__all__ = ["DiagonalGaussian", "Posterior"]


class Posterior(Kind):
    """q(z|x): the distribution of an image's latents that the encoder's outputs stand for."""


class DiagonalGaussian(Posterior):
    """N(mean(x), diag(scale(x)^2)): independent latents."""

    kind = "diagonal"
    builds = "jaxvae.models.posteriors.diagonal:DiagonalPosterior"
