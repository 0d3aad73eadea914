"""What is maximised, and how well does the bound hold?

Everything here is of one image and in nats; ``jax.vmap`` is the caller's.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.models.distributions import standard_normal_log_prob
from jaxvae.models.vae import VAE


class Terms(NamedTuple):
    """The two parts of the evidence lower bound of an image, of several, or their means."""

    rate: Float[Array, "*image"]
    """KL[q(z|x) || p(z)], exact."""
    distortion: Float[Array, "*image"]
    """-E_q[log p(x|z)], estimated."""

    @property
    def elbo(self) -> Float[Array, "*image"]:
        """``-(distortion + rate)``, a lower bound on log p(x); higher is better."""
        return -(self.distortion + self.rate)


def elbo_terms(model: VAE, x: Float[Array, "height width channel"], key: Key[Array, ""]) -> Terms:
    """Rate and distortion of one image, from one draw z = mean + scale * eps (Kingma and Welling 2013).

    An unbiased estimate of the ELBO and, through the reparameterisation, of its gradient.
    """
    # The scopes are the names that a profile knows the parts of a step by.
    with jax.named_scope("encoder"):
        posterior = model.encode(x)
    with jax.named_scope("noise"):
        z = posterior.sample(key)
    with jax.named_scope("decoder"):
        likelihood = model.decode(z)
    with jax.named_scope("distortion"):
        distortion = -likelihood.log_prob(x)
    with jax.named_scope("rate"):
        return Terms(posterior.kl_to_standard_normal(), distortion)


class Bounds(NamedTuple):
    """What several draws from q(z|x) say about one image."""

    terms: Terms
    """Rate, and the distortion's mean over the draws."""
    importance_weighted: Float[Array, "*image"]
    """The importance-weighted bound on log p(x)."""
    posterior_mean: Float[Array, "*image latent"]
    """The mean of q(z|x), whose variance over images tells which latents are used."""


def importance_weighted_bounds(
    model: VAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    samples: int | Int[Array, ""],
) -> Bounds:
    """``log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)`` with z_k ~ q(z|x) (Burda et al. 2015, arXiv 1509.00519).

    In expectation it is never below the ELBO, never falls as K grows, and tends to log p(x). Draw k uses
    ``fold_in(key, k)``, so a larger K only adds draws. The sum is kept relative to the largest weight so
    far: nothing overflows and memory does not grow with K, which may be a traced number.
    """
    posterior = model.encode(x)

    def draw(k, carry):
        largest, total, log_likelihoods = carry
        z = posterior.sample(jax.random.fold_in(key, k))
        log_likelihood = model.decode(z).log_prob(x)
        log_weight = log_likelihood + standard_normal_log_prob(z) - posterior.log_prob(z)
        new_largest = jnp.maximum(largest, log_weight)
        total = total * jnp.exp(largest - new_largest) + jnp.exp(log_weight - new_largest)
        return new_largest, total, log_likelihoods + log_likelihood

    zero = jnp.zeros((), jnp.float32)
    largest, total, log_likelihoods = jax.lax.fori_loop(0, samples, draw, (zero - jnp.inf, zero, zero))
    count = jnp.asarray(samples, jnp.float32)
    terms = Terms(posterior.kl_to_standard_normal(), -log_likelihoods / count)
    return Bounds(terms, largest + jnp.log(total / count), posterior.mean)
