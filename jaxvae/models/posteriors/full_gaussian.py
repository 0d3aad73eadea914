"""The posterior of Gaussian latents that depend on each other."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution, bounded_log_scale
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.noise import normal
from jaxvae.models.posteriors.posterior import AbstractPosterior


class FullGaussian(AbstractDistribution):
    """N(mean, L L^T) of a vector; L is lower triangular, its diagonal ``exp(log_diagonal)``."""

    mean: Float[Array, " latent"]
    log_diagonal: Float[Array, " latent"]
    below: Float[Array, "latent latent"]
    """L below its diagonal; what else it holds counts for nothing, and gets no gradient."""

    @property
    def factor(self) -> Float[Array, "latent latent"]:
        """L, the Cholesky factor of the covariance."""
        return jnp.tril(self.below, -1) + jnp.diag(jnp.exp(self.log_diagonal))

    @property
    def log_scale(self) -> Float[Array, " latent"]:
        """Log of the standard deviation of each latent by itself."""
        return 0.5 * jnp.log(jnp.sum(self.factor**2, axis=1))

    def sample(self, key: Key[Array, ""]) -> Float[Array, " latent"]:
        """Reparameterised draw ``mean + L eps`` with eps ~ N(0, I)."""
        return self.mean + self.factor @ normal(key, self.mean.shape)

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """The draw, and its log-density from its eps: no system of equations is solved."""
        noise = normal(key, self.mean.shape)
        return self.mean + self.factor @ noise, self._log_density(noise)

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, " latent"]:
        """``mean + temperature * L eps``."""
        return self.mean + temperature * (self.factor @ normal(key, self.mean.shape))

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``-1/2 |L^-1 (x - mean)|^2 - sum(log_diagonal) - latent/2 log 2 pi``, in nats."""
        x = input_checks.value(x, self.mean.shape, in_unit=False)
        return self._log_density(jax.scipy.linalg.solve_triangular(self.factor, x - self.mean, lower=True))

    def kl_to_standard_normal(self) -> Float[Array, ""]:
        """``KL[q || N(0, I)] = 1/2 (|mean|^2 + |L|^2 - latent) - sum(log_diagonal)``, in nats; the diagonal's
        part through ``expm1``, as that of ``Gaussian``."""
        twice = 2 * self.log_diagonal
        return 0.5 * (
            jnp.sum(self.mean**2 + (jnp.expm1(twice) - twice)) + jnp.sum(jnp.tril(self.below, -1) ** 2)
        )

    def _log_density(self, noise: Float[Array, " latent"]) -> Float[Array, ""]:
        """That of ``mean + L noise``."""
        constant = noise.size * math.log(2 * math.pi)
        return -0.5 * (jnp.sum(noise**2) + constant) - jnp.sum(self.log_diagonal)


class FullGaussianPosterior(AbstractPosterior):
    """q(z|x) = N(mean, L L^T). The encoder gives ``latent`` means, as many unbounded logs of L's diagonal
    (``bounded_log_scale``), and L below it, times sqrt(latent).

    Divided by sqrt(latent), so that the latents' variances under the first weights do not grow with their
    number.
    """

    outputs: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)

    def __init__(self, latent_dim: int):
        self.latent_dim = latent_dim
        self.outputs = latent_dim + latent_dim * (latent_dim + 1) // 2

    def __call__(self, outputs: Float[Array, " outputs"]) -> FullGaussian:
        mean, raw, rest = jnp.split(outputs, (self.latent_dim, 2 * self.latent_dim))
        below = strictly_lower(rest / math.sqrt(self.latent_dim), self.latent_dim)
        return FullGaussian(mean, bounded_log_scale(raw), below)


def strictly_lower(entries: Float[Array, " entry"], size: int) -> Float[Array, "size size"]:
    """The matrix with these ``size (size - 1) / 2`` entries below its diagonal, each once, in an order of its
    own, and zeros.

    Without gathers or scatters, which are slow on CPUs: the entries, turned around, fill the lower half of a
    square, and what is left over of them its upper half, which is cut away.
    """
    n = size - 1
    square = jnp.tril(jnp.concatenate([entries[n:], entries[::-1]]).reshape(n, n))
    return jnp.pad(square, ((1, 0), (0, 1)))
