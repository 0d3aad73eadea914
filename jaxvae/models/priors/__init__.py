"""What is p(z)? Each prior gives the distribution that latents are drawn from before an image is seen.

- ``prior``: what is asked of every prior. ``standard_normal``: N(0, I).
- ``mixture``: a mixture of Gaussians. ``vamp``: a mixture of posteriors. ``coupling``: a flow.
"""

from jaxvae.models.priors.prior import AbstractPrior, KnownPrior
from jaxvae.models.priors.standard_normal import StandardNormalPrior

__all__ = ["AbstractPrior", "KnownPrior", "StandardNormalPrior"]
