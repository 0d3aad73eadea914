"""What is p(x|z)? Each likelihood turns the decoder's outputs into a distribution of one image.

- ``likelihood``: what is asked of every likelihood.
- ``bernoulli``: pixels that are 0 or 1.
- ``gaussian``: pixels that are any numbers; sigma fixed, learned, or from the decoder.
- ``continuous_bernoulli``: pixels from 0 to 1.
- ``logistic``: 256 levels, by a discretised logistic or a mixture of them, in colour too.
- ``categorical``: 256 levels, each with a probability of its own.
- ``scale``: whether a scale is one number, one for each channel, or an output of the decoder.

Each likelihood stands beside the distribution that it gives, but for the Gaussian, which latents have too.
"""

from jaxvae.models.likelihoods.bernoulli import BernoulliLikelihood
from jaxvae.models.likelihoods.gaussian import GaussianLikelihood
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood

__all__ = ["AbstractLikelihood", "BernoulliLikelihood", "GaussianLikelihood"]
