"""Which likelihoods p(x|z) are there, and what can be set of each?"""

from typing import ClassVar, Literal

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.ranges import Scale

__all__ = ["Bernoulli", "Gaussian", "Likelihood"]

Pixels = Literal["binary", "unit", "real"]


class Likelihood(Kind):
    """p(x|z): what the decoder's outputs say of an image."""

    pixels: ClassVar[Pixels] = "real"
    """Which pixels it gives a density of: 0 or 1 alone; from 0 to 1; or any numbers. The ``support`` of what
    it builds."""


class Bernoulli(Likelihood):
    """Independent pixels that are 0 or 1 (needs binarised pixels)."""

    kind = "bernoulli"
    builds = "jaxvae.models.likelihoods:BernoulliLikelihood"
    pixels = "binary"


class Gaussian(Likelihood):
    """N(G(z), sigma^2 I), the decoder's G(z) the mean of each pixel."""

    kind = "gaussian"
    builds = "jaxvae.models.likelihoods:GaussianLikelihood"
    sigma: Scale = 1.0
    """Standard deviation of a pixel; where it starts if it is learned."""
    learn_sigma: bool = False
    """Learn sigma, one scalar for all pixels."""
