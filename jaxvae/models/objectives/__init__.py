"""What is maximised, and how well does the bound hold?

- ``abstract``: what an objective is, and the terms of an image that it is made of.
- ``elbo``: the evidence lower bound; beta, its warm-up and cycles, free bits, STL gradients.
- ``importance_weighted``: IWAE, MIWAE, PIWAE, CIWAE, and the bounds between IWAE and the ELBO.
- ``path_gradients``: the weight of the gradient that goes through a draw, for DReG.
- ``bounds``: the importance-weighted bound of any number of draws, for evaluation.

``example`` and ``importance_weighted_bounds`` are of one image; ``jax.vmap`` is the caller's. Everything is
in nats.
"""

from jaxvae.models.objectives.abstract import AbstractObjective, Terms
from jaxvae.models.objectives.bounds import Bounds, importance_weighted_bounds
from jaxvae.models.objectives.elbo import ELBOObjective, elbo_terms
from jaxvae.models.objectives.importance_weighted import (
    AbstractBoundObjective,
    CIWAEObjective,
    IWAEObjective,
    MIWAEObjective,
    PIWAEObjective,
)

__all__ = [
    "AbstractBoundObjective",
    "AbstractObjective",
    "Bounds",
    "CIWAEObjective",
    "ELBOObjective",
    "IWAEObjective",
    "MIWAEObjective",
    "PIWAEObjective",
    "Terms",
    "elbo_terms",
    "importance_weighted_bounds",
]
