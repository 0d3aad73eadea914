"""The prior N(0, I)."""

from collections.abc import Callable

import equinox as eqx

from jaxvae.models.distributions import StandardNormal
from jaxvae.models.priors.prior import AbstractPrior


class StandardNormalPrior(AbstractPrior):
    """p(z) = N(0, I)."""

    latent_dim: int = eqx.field(static=True)

    def __call__(self, encoder: Callable) -> StandardNormal:
        return StandardNormal((self.latent_dim,))
