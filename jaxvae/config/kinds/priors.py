"""Which priors p(z) are there, and what can be set of each?"""

from typing import ClassVar

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.ranges import Count, Widths

__all__ = ["CouplingFlow", "GaussianMixture", "Prior", "StandardNormal", "VampPrior"]


class Prior(Kind):
    """p(z): the distribution that latents have before an image is seen."""

    of_posteriors: ClassVar[bool] = False
    """Whether it is made of densities q(z|u)."""


class StandardNormal(Prior):
    """N(0, I)."""

    kind = "standard_normal"
    builds = "jaxvae.models.priors.standard_normal:StandardNormalPrior"


class GaussianMixture(Prior):
    """Mixture of Gaussians, with learned means, scales and weights."""

    kind = "mixture"
    builds = "jaxvae.models.priors.mixture:GaussianMixturePrior"
    components: Count = 100
    """How many Gaussians."""


class VampPrior(Prior):
    """Mixture of the posteriors q(z|u) of learned images u."""

    kind = "vamp"
    builds = "jaxvae.models.priors.vamp:VampPrior"
    of_posteriors = True
    components: Count = 500
    """How many images u."""


class CouplingFlow(Prior):
    """Flow of affine couplings, which starts as N(0, I)."""

    kind = "coupling"
    builds = "jaxvae.models.priors.coupling:CouplingFlowPrior"
    layers: Count = 6
    """Couplings, each of which moves one half of the latents."""
    hidden: Widths = (128,)
    """Widths of the hidden layers of each coupling's network. Without any it is linear."""
