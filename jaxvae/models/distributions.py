"""Which probability densities does the model use?

Each distribution is of ONE example: its log-density is summed over every dimension and given in
nats. All formulas stay finite in float32 for every finite parameter that the networks can produce.
"""

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models import input_checks
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.noise import normal

LOG_SCALE_BOUND = 8.0
"""Log-scales lie in (-8, 8): scales from 3.4e-4 to 3.0e3, whatever a network puts out."""


def bounded_log_scale(raw: Float[Array, "*shape"], bound: float = LOG_SCALE_BOUND) -> Float[Array, "*shape"]:
    """Smoothly limits an unconstrained output to a usable log-scale.

    ``8 tanh(raw / 8)``: the identity near 0 (to 1e-3 for ``|raw| < 0.57``), never beyond +-8, so that
    ``exp(log_scale)``, its square and their inverses are finite float32 for every finite ``raw``. With
    another ``bound`` it has that in place of 8.
    """
    return bound * jnp.tanh(raw / bound)


def unbounded_log_scale(log_scale: float) -> float:
    """Inverse of ``bounded_log_scale`` for ``|log_scale| < 8``; raises ValueError beyond."""
    return LOG_SCALE_BOUND * math.atanh(log_scale / LOG_SCALE_BOUND)


class AbstractDistribution(eqx.Module):
    """A distribution over arrays of one shape, whose parameters are its leaves.

    That of an image has a ``mean`` too, or what is to be shown in its place; so has a posterior, or its own
    ``noiseless``.

    ``jax.lax.stop_gradient(distribution)`` is the same distribution with constant parameters.
    """

    @abc.abstractmethod
    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """Log-density, or log-probability, of one value, summed over its dimensions, in nats."""

    def sample(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """One draw, differentiable in the parameters. Posteriors and priors must have it."""
        raise NotImplementedError(f"{type(self).__name__} does not define sample(key)")

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Float[Array, "..."], Float[Array, ""]]:
        """A draw and its log-density; to be overridden where both together are cheaper, as of a flow."""
        value = self.sample(key)
        return value, self.log_prob(value)

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, "..."]:
        """A draw with all scales times ``temperature``: here the whole draw is, which is right of what is
        centred at 0. Others override it."""
        return temperature * self.sample(key)

    @property
    def noiseless(self) -> Float[Array, "..."]:
        """The value that stands for all when a posterior is to be shown without noise: its mean, unless it
        says otherwise."""
        mean: Any = getattr(self, "mean", None)
        if mean is None:
            raise NotImplementedError(f"{type(self).__name__} defines neither mean nor noiseless")
        return mean


class Gaussian(AbstractDistribution):
    """N(mean, diag(exp(2 log_scale))) over an array of any shape.

    ``log_scale`` has the shape of ``mean``, or none: one scale for every dimension.
    """

    mean: Float[Array, "*shape"]
    log_scale: Float[Array, "*shape"] | Float[Array, ""]

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """Reparameterised draw ``mean + exp(log_scale) * eps`` with eps ~ N(0, I) (Kingma and Welling
        2013, arXiv 1312.6114): differentiable in both parameters."""
        return self.mean + jnp.exp(self.log_scale) * normal(key, self.mean.shape)

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, "*shape"]:
        """``mean + temperature * exp(log_scale) * eps``."""
        return self.mean + temperature * jnp.exp(self.log_scale) * normal(key, self.mean.shape)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``-1/2 sum(((x - mean) / scale)^2 + 2 log_scale + log 2 pi)``, in nats."""
        x = input_checks.value(x, self.mean.shape, in_unit=False)
        # Flat, as below: compilers for CPUs make better loops over one long axis than over an image's.
        standardised = (x - self.mean).reshape(-1) * jnp.exp(-self.log_scale).reshape(-1)
        scales = jnp.sum(self.log_scale) * (x.size // self.log_scale.size)
        return -0.5 * (jnp.sum(standardised**2) + x.size * math.log(2 * math.pi)) - scales

    def kl_to_standard_normal(self) -> Float[Array, ""]:
        """``KL[N(mean, scale^2) || N(0, I)] = 1/2 sum(mean^2 + expm1(2 s) - 2 s)`` with s the log-scale.

        ``expm1`` keeps the digits that ``exp(2 s) - 1`` loses when the scale is near 1. In nats.
        """
        return 0.5 * jnp.sum(self._twice_kl_of_each())

    def kl_of_each_to_standard_normal(self) -> Float[Array, "*shape"]:
        """The same of each dimension."""
        return 0.5 * self._twice_kl_of_each()

    def _twice_kl_of_each(self) -> Float[Array, "*shape"]:
        twice = jnp.broadcast_to(2 * self.log_scale, self.mean.shape)
        return self.mean**2 + (jnp.expm1(twice) - twice)


class StandardNormal(AbstractDistribution):
    """N(0, I) over arrays of ``shape``."""

    shape: tuple[int, ...] = eqx.field(static=True)

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """A draw by ``jax.random.normal``."""
        return jax.random.normal(key, self.shape, jnp.float32)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``-1/2 sum(x^2 + log 2 pi)``, in nats."""
        x = input_checks.value(x, self.shape, in_unit=False)
        return -0.5 * (jnp.sum(x**2) + x.size * math.log(2 * math.pi))
