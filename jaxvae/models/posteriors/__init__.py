"""What is q(z|x)? Each posterior turns the encoder's outputs into a distribution of an image's latents.

- ``posterior``: what is asked of every posterior. ``diagonal``: independent Gaussian latents.
- ``full_gaussian``: Gaussian latents with any covariance.
- ``autoregressive``: an inverse autoregressive flow. ``masked_mlp``: its networks.

The flow is not imported here: its networks are made of those of ``networks``, which imports this.
"""

from jaxvae.models.posteriors.diagonal import DiagonalPosterior
from jaxvae.models.posteriors.posterior import AbstractPosterior

__all__ = ["AbstractPosterior", "DiagonalPosterior"]
