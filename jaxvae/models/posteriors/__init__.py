"""What is q(z|x)? Each posterior turns the encoder's outputs into a distribution of an image's latents.

- ``posterior``: what is asked of every posterior. ``diagonal``: independent Gaussian latents.
"""

from jaxvae.models.posteriors.diagonal import DiagonalPosterior
from jaxvae.models.posteriors.posterior import AbstractPosterior

__all__ = ["AbstractPosterior", "DiagonalPosterior"]
