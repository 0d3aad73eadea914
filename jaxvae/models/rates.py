"""What is KL[q || p]? Its closed form where the table below has one, else the estimate of a draw."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.distributions import AbstractDistribution, Gaussian, StandardNormal
from jaxvae.models.posteriors.full_gaussian import FullGaussian


def rate(
    q: AbstractDistribution, p: AbstractDistribution, log_q: Float[Array, ""], log_p: Float[Array, ""]
) -> Float[Array, ""]:
    """KL[q || p] in nats: its closed form where there is one, else the unbiased estimate of a draw z ~ q,
    ``log q(z) - log p(z)``, from the two log-densities that came with the draw."""
    for first in type(q).__mro__:
        for second in type(p).__mro__:
            if (closed := CLOSED_FORMS.get((first, second))) is not None:
                return closed(q, p)
    return log_q - log_p


def gaussian_to_gaussian(q: Gaussian, p: Gaussian) -> Float[Array, ""]:
    """``1/2 sum(((m_q - m_p) / scale_p)^2 + expm1(2 r) - 2 r)`` with r the difference of the log-scales."""
    twice = jnp.broadcast_to(2 * (q.log_scale - p.log_scale), q.mean.shape)
    standardised = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * jnp.sum(standardised**2 + (jnp.expm1(twice) - twice))


CLOSED_FORMS: dict[tuple[type, type], Callable[[Any, Any], Float[Array, ""]]] = {
    (Gaussian, StandardNormal): lambda q, p: q.kl_to_standard_normal(),
    (Gaussian, Gaussian): gaussian_to_gaussian,
    (FullGaussian, StandardNormal): lambda q, p: q.kl_to_standard_normal(),
}
"""The closed forms by the types of q and p; a distribution of one's own may add its own."""
