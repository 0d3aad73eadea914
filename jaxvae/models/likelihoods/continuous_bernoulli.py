"""Pixels from 0 to 1: p(x|z) of independent continuous Bernoulli variables."""

import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.pixels import Pixels
from jaxvae.models import input_checks, noise
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood

SMALL = 0.3
"""Below this size of a logit its formulas are series."""
STEEPEST = 50.0
"""Largest logit before anything is learned: a mean of 0.02 or 0.98."""


class ContinuousBernoulli(AbstractDistribution):
    """Independent pixels with the density ``C(a) exp(a x) / (1 + exp(a))`` on [0, 1], a the logit
    (Loaiza-Ganem and Cunningham 2019, arXiv 1907.06845).

    The normaliser ``C(a) = a / tanh(a / 2)`` is what a Bernoulli likelihood of gray pixels lacks.
    """

    logits: Float[Array, "*shape"]

    @property
    def mean(self) -> Float[Array, "*shape"]:
        """``1 / (1 - exp(-a)) - 1 / a``."""
        return mean_of(self.logits)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``sum(x a - softplus(a) + log C(a))``, in nats; x is from 0 to 1."""
        x = input_checks.value(x, self.logits.shape, in_unit=True)
        # x a - softplus(a), without the difference of two large numbers. The slope of ``maximum`` at 0 is 0
        # here; that of JAX's ``abs`` is 1.
        size, near = jnp.maximum(self.logits, -self.logits), jnp.heaviside(self.logits, 0.5)
        return jnp.sum(log_normaliser(size) + (x - near) * self.logits - jnp.log1p(jnp.exp(-size)))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """The quantile of a uniform number u, ``log(1 + u (exp(a) - 1)) / a``."""
        u = noise.uniform(key, self.logits.shape)
        is_small = jnp.abs(self.logits) < SMALL
        size = jnp.where(is_small, 1.0, jnp.abs(self.logits))
        # Of the logit -size, whose values are near 0; the other sign mirrors it.
        value = -jnp.log1p(u * jnp.expm1(-size)) / size
        value = jnp.where(self.logits > 0, 1 - value, value)
        a, spread = self.logits, u * (1 - u)
        series = u + a * spread / 2 * (1 + a * (1 - 2 * u) / 3 + a**2 * (1 - 6 * spread) / 12)
        return jnp.clip(jnp.where(is_small, series, value), 0, 1)


class ContinuousBernoulliLikelihood(AbstractLikelihood):
    """p(x|z): independent continuous Bernoulli pixels; the decoder gives their logits."""

    support: ClassVar[Pixels] = "unit"

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """The logits of which ``pixel_mean`` is the mean, from -50 to 50."""
        return logit_of(pixel_mean)

    def __call__(self, outputs: Float[Array, "height width channel"]) -> ContinuousBernoulli:
        return ContinuousBernoulli(outputs)


def log_normaliser(size: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``log C(a) = log|a| - log tanh(|a| / 2)`` of ``size = |a|``; near 0 the series
    ``log 2 + a^2 / 12 - 7 a^4 / 1440 + 31 a^6 / 90720``."""
    is_small = size < SMALL
    large, square = jnp.where(is_small, 1.0, size), jnp.where(is_small, size, 0.0) ** 2
    series = math.log(2) + square / 12 - 7 / 1440 * square**2 + 31 / 90720 * square**3
    return jnp.where(is_small, series, jnp.log(large) - jnp.log(jnp.tanh(large / 2)))


def mean_of(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``1 / (1 - exp(-a)) - 1 / a``; near 0 the series ``1/2 + a / 12 - a^3 / 720 + a^5 / 30240``."""
    is_small = jnp.abs(logits) < SMALL
    large, small = jnp.where(is_small, 1.0, logits), jnp.where(is_small, logits, 0.0)
    series = 0.5 + small / 12 - small**3 / 720 + small**5 / 30240
    return jnp.where(is_small, series, -1 / jnp.expm1(-large) - 1 / large)


def logit_of(mean: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The inverse of ``mean_of`` by bisection, as far as it lies within +-50."""

    def halve(_: Any, ends: tuple) -> tuple:
        low, high = ends
        middle = (low + high) / 2
        is_low = mean_of(middle) < mean
        return jnp.where(is_low, middle, low), jnp.where(is_low, high, middle)

    ends = jnp.full_like(mean, -STEEPEST), jnp.full_like(mean, STEEPEST)
    low, high = jax.lax.fori_loop(0, 30, halve, ends)
    return (low + high) / 2
