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
    closed = _closed(CLOSED_FORMS, q, p)
    return log_q - log_p if closed is None else closed


def rate_of_each_latent(q: AbstractDistribution, p: AbstractDistribution) -> Float[Array, " latent"] | None:
    """The parts of KL[q || p] that each latent has, in nats, whose sum it is; None where there is no closed
    form."""
    parts = _closed(CLOSED_FORMS_OF_EACH, q, p)
    return None if parts is None else parts.reshape(-1)


def ratio_of_each_latent(
    q: AbstractDistribution, p: AbstractDistribution, z: Float[Array, " latent"]
) -> Float[Array, " latent"] | None:
    """``log q(z_i) - log p(z_i)`` of each latent, in nats, whose expectation over q is its rate; None if the
    latents depend on each other."""
    if type(q) is not Gaussian or type(p) is not Gaussian:
        return None
    first, second = (jnp.square((z - d.mean) * jnp.exp(-d.log_scale)) for d in (q, p))
    return 0.5 * (second - first) + p.log_scale - q.log_scale


def rate_of_each_marginal(q: AbstractDistribution, p: AbstractDistribution) -> Float[Array, " latent"] | None:
    """``KL[q(z_i) || p(z_i)]`` of each latent by itself, in nats, also where latents depend on each other, so
    that the sum is below KL[q || p]; None where there is no closed form."""
    return _closed(CLOSED_FORMS_OF_EACH_MARGINAL, q, p)


def _closed(table: "ClosedForms", q: AbstractDistribution, p: AbstractDistribution) -> Array | None:
    pairs = ((first, second) for first in type(q).__mro__ for second in type(p).__mro__)
    closed = next((table[pair] for pair in pairs if pair in table), None)
    return None if closed is None else closed(q, p)


def gaussian_to_gaussian(q: Gaussian, p: Gaussian) -> Float[Array, ""]:
    """``1/2 sum(((m_q - m_p) / scale_p)^2 + expm1(2 r) - 2 r)`` with r the difference of the log-scales."""
    return jnp.sum(gaussian_to_gaussian_of_each(q, p))


def gaussian_to_gaussian_of_each(q: Gaussian, p: Gaussian) -> Float[Array, "*shape"]:
    """The same of each dimension."""
    twice = jnp.broadcast_to(2 * (q.log_scale - p.log_scale), q.mean.shape)
    standardised = (q.mean - p.mean) * jnp.exp(-p.log_scale)
    return 0.5 * (standardised**2 + (jnp.expm1(twice) - twice))


ClosedForms = dict[tuple[type, type], Callable[[Any, Any], Array]]
CLOSED_FORMS: ClosedForms = {
    (Gaussian, StandardNormal): lambda q, p: q.kl_to_standard_normal(),
    (Gaussian, Gaussian): gaussian_to_gaussian,
    (FullGaussian, StandardNormal): lambda q, p: q.kl_to_standard_normal(),
}
"""The closed forms by the types of q and p; a distribution of one's own may add its own."""
CLOSED_FORMS_OF_EACH: ClosedForms = {
    (Gaussian, StandardNormal): lambda q, p: q.kl_of_each_to_standard_normal(),
    (Gaussian, Gaussian): gaussian_to_gaussian_of_each,
}
"""The parts of each latent, where the closed form is a sum over them."""
CLOSED_FORMS_OF_EACH_MARGINAL: ClosedForms = {
    (FullGaussian, StandardNormal): lambda q, p: Gaussian(
        q.mean, q.log_scale
    ).kl_of_each_to_standard_normal(),
}
"""Those of each latent by itself, where latents depend on each other."""
