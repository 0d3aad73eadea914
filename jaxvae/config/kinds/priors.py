"""Which priors p(z) are there, and what can be set of each?"""

from jaxvae.config.kinds.kind import Kind

__all__ = ["Prior", "StandardNormal"]


class Prior(Kind):
    """p(z): the distribution that latents have before an image is seen."""


class StandardNormal(Prior):
    """N(0, I)."""

    kind = "standard_normal"
    builds = "jaxvae.models.priors.standard_normal:StandardNormalPrior"
