"""What is maximised, and how well does the bound hold?

An objective's ``example`` and ``importance_weighted_bounds`` are of one image; ``jax.vmap`` is the caller's.
Everything is in nats.
"""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.models.vae import AbstractVAE, Posterior


class Terms(NamedTuple):
    """The two parts of the evidence lower bound of an image, of several, or their means."""

    rates: Float[Array, "*image level"]
    """KL[q(z|x) || p(z)] of each level of latents."""
    distortion: Float[Array, "*image"]
    """-E_q[log p(x|z)], estimated."""

    @property
    def rate(self) -> Any:
        """The sum over the levels, of JAX's arrays or of NumPy's."""
        return self.rates.sum(-1)

    @property
    def elbo(self) -> Float[Array, "*image"]:
        """``-(distortion + rate)``, a lower bound on log p(x); higher is better."""
        return -(self.distortion + self.rate)


def elbo_terms(model: AbstractVAE, x: Float[Array, "height width channel"], key: Key[Array, ""]) -> Terms:
    """Rates and distortion of one image, from one draw (Kingma and Welling 2013).

    An unbiased estimate of the ELBO and, through the reparameterisation, of its gradient.
    """
    with jax.named_scope("encoder"):
        encoded = model.encode(x)
    draw = model.draw(encoded, key=key)
    with jax.named_scope("distortion"):
        distortion = -draw.likelihood.log_prob(x)
    return Terms(draw.rates, distortion)


class AbstractObjective(eqx.Module):
    """What training minimises. It has no weights of its own."""

    is_mean: ClassVar[bool] = True
    """Whether ``batch`` is a mean over examples; only then can ``train.reduction`` fixed cut the batch."""

    @abc.abstractmethod
    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        """The terms of one image."""

    @abc.abstractmethod
    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        """The loss of one device's share of a batch at step t (the first is 0), from the terms of its images.
        Losses and gradients are then averaged over the devices, which are the mapped axis ``axis_name``."""


class ELBOObjective(AbstractObjective):
    """``mean(distortion) + w_t mean(rate)``, ``w_t = beta min(1, (t + 1) / beta_warmup_steps)``: minus the
    ELBO where the weight is 1 (beta: Higgins et al. 2017; warm-up: Bowman et al. 2015, arXiv 1511.06349)."""

    beta: float = eqx.field(static=True, default=1.0)
    beta_warmup_steps: int = eqx.field(static=True, default=0)

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        return elbo_terms(model, x, key)

    def weight(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """w_t, the weight of the rate."""
        return self.beta * jnp.minimum(1.0, (step + 1) / max(1, self.beta_warmup_steps))

    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        return jnp.mean(terms.distortion) + self.weight(step) * jnp.mean(terms.rate)


class Bounds(NamedTuple):
    """What several draws from q(z|x) say about one image."""

    terms: Terms
    """Each rate's and the distortion's mean over the draws."""
    importance_weighted: Float[Array, "*image"]
    """The importance-weighted bound on log p(x)."""
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
        largest, total, log_likelihoods, differences, squares = carry
        log_weight, log_likelihood, averaged = drawn(k)
        new_largest = jnp.maximum(largest, log_weight)
        total = total * jnp.exp(largest - new_largest) + jnp.exp(log_weight - new_largest)
        differences = jax.tree.map(lambda s, now, then: s + (now - then), differences, averaged, first)
        squares = jax.tree.map(lambda s, now, then: s + (now - then) ** 2, squares, averaged[1], first[1])
        return new_largest, total, log_likelihoods + log_likelihood, differences, squares

    zero = jnp.zeros((), jnp.float32)
    start = (zero - jnp.inf, zero, zero, *(jax.tree.map(jnp.zeros_like, each) for each in (first, first[1])))
    largest, total, log_likelihoods, differences, squares = jax.lax.fori_loop(0, samples, add, start)
    count = jnp.asarray(samples, jnp.float32)
    rates, posterior_mean = jax.tree.map(lambda then, s: then + s / count, first, differences)
    # (E d^2 - (E d)^2) / (K - 1), of the differences d from the first draw.
    pairs = count * jnp.maximum(count - 1, 1)
    variance = jax.tree.map(lambda s, square: (square - s**2 / count) / pairs, differences[1], squares)
    bound = largest + jnp.log(total / count)
    return Bounds(Terms(rates, -log_likelihoods / count), bound, posterior_mean, variance)


def _averaged(rates: Float[Array, " level"], posterior: Posterior | None) -> tuple:
    return rates, None if posterior is None else posterior.mean
