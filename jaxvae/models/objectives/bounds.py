"""How well does the bound on log p(x) hold, with many draws?"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.models.objectives.abstract import Terms
from jaxvae.models.vae import AbstractVAE, Posterior


class Bounds(NamedTuple):
    """What several draws from q(z|x) say about one image."""

    terms: Terms
    """Each rate's and the distortion's mean over the draws."""
    importance_weighted: Float[Array, "*image"]
    """The importance-weighted bound on log p(x)."""
    effective_samples: Float[Array, "*image"]
    """``(sum_k w_k)^2 / sum_k w_k^2`` of the weights: from 1, where one draw counts for all, to K, where all
    count alike."""
    posterior_mean: Float[Array, "*image latent"] | None
    """The mean of q(z|x), whose variance over images tells which latents are used, if necessary estimated
    from the draws; None if the model does not say."""
    posterior_mean_variance: Float[Array, "*image latent"] | None
    """Variance of that estimate, itself estimated from two draws or more; 0 where the mean is known."""


def importance_weighted_bounds(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    samples: int | Int[Array, ""],
) -> Bounds:
    """``log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x)`` with z_k ~ q(z|x) (Burda et al. 2015, arXiv 1509.00519).

    In expectation it is never below the ELBO, never falls as K grows, and tends to log p(x). Draw k uses
    ``fold_in(key, k)``, so a larger K only adds draws. The sum is kept relative to the largest weight so
    far: nothing overflows and memory does not grow with K, which may be a traced number.
    """
    model = model.precomputed()
    encoded = model.encode(x)

    def drawn(k: Int[Array, ""] | int) -> tuple[Float[Array, ""], Float[Array, ""], tuple]:
        draw = model.draw(encoded, key=jax.random.fold_in(key, k))
        log_likelihood = draw.likelihood.log_prob(x)
        return draw.log_weight(log_likelihood), log_likelihood, _averaged(draw.rates, draw.posterior)

    # What does not depend on the draw, such as a rate in closed form, is summed as its difference from the
    # first draw's, which is 0, so that its mean has no rounding.
    _, _, first = drawn(0)

    def add(k, carry):
        largest, total, total_square, log_likelihoods, differences, squares = carry
        log_weight, log_likelihood, averaged = drawn(k)
        new_largest = jnp.maximum(largest, log_weight)
        before, weight = jnp.exp(largest - new_largest), jnp.exp(log_weight - new_largest)
        total, total_square = total * before + weight, total_square * before**2 + weight**2
        differences = jax.tree.map(lambda s, now, then: s + (now - then), differences, averaged, first)
        squares = jax.tree.map(lambda s, now, then: s + (now - then) ** 2, squares, averaged[1], first[1])
        return new_largest, total, total_square, log_likelihoods + log_likelihood, differences, squares

    zero = jnp.zeros((), jnp.float32)
    none_yet = (jax.tree.map(jnp.zeros_like, each) for each in (first, first[1]))
    ended = jax.lax.fori_loop(0, samples, add, (zero - jnp.inf, zero, zero, zero, *none_yet))
    largest, total, total_square, log_likelihoods, differences, squares = ended
    count = jnp.asarray(samples, jnp.float32)
    rates, posterior_mean = jax.tree.map(lambda then, s: then + s / count, first, differences)
    # (E d^2 - (E d)^2) / (K - 1), of the differences d from the first draw.
    pairs = count * jnp.maximum(count - 1, 1)
    variance = jax.tree.map(lambda s, square: (square - s**2 / count) / pairs, differences[1], squares)
    bound = largest + jnp.log(total / count)
    effective = total**2 / total_square
    return Bounds(Terms(rates, -log_likelihoods / count), bound, effective, posterior_mean, variance)


def _averaged(rates: Float[Array, " level"], posterior: Posterior | None) -> tuple:
    return rates, None if posterior is None else posterior.mean
