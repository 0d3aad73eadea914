"""Which kinds are there of a family, and what can be set of each?

- ``kind``: what a kind is: a class with fields, that names what it builds.
- ``likelihoods``: p(x|z). ``posteriors``: q(z|x). ``priors``: p(z).
- ``networks``: the encoder and the decoder.
- ``objectives``: what is minimised. ``optimizers``: how gradients become new weights.
"""

from jaxvae.config.kinds import likelihoods, networks, objectives, optimizers, posteriors, priors
from jaxvae.config.kinds.likelihoods import *
from jaxvae.config.kinds.networks import *
from jaxvae.config.kinds.objectives import *
from jaxvae.config.kinds.optimizers import *
from jaxvae.config.kinds.posteriors import *
from jaxvae.config.kinds.priors import *

__all__: list[str] = []
__all__ += likelihoods.__all__
__all__ += networks.__all__
__all__ += objectives.__all__
__all__ += optimizers.__all__
__all__ += posteriors.__all__
__all__ += priors.__all__
