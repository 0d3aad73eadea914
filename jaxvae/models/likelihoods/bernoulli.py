"""Pixels that are 0 or 1: p(x|z) of independent Bernoulli variables."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.pixels import Pixels
from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood
from jaxvae.models.noise import uniform


class Bernoulli(AbstractDistribution):
    """Independent pixels that are 1 with probability sigmoid(logits)."""

    logits: Float[Array, "*shape"]

    @property
    def mean(self) -> Float[Array, "*shape"]:
        """Probability of a 1."""
        return jax.nn.sigmoid(self.logits)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``sum(x log p + (1 - x) log(1 - p)) = -sum(softplus((1 - 2 x) logits))``, in nats; x is 0 or 1.

        Written from the logits: no probability is formed, so none can round to 0 or 1. The softplus is
        ``max(t, 0) + log(1 + exp(-|t|))``; ``log1p``, which costs a CPU far more, would only add digits
        below the 6e-8 that the sum cannot hold.
        """
        x = input_checks.value(x, self.logits.shape, in_unit=True).reshape(-1)
        logits = self.logits.reshape(-1)
        wrong = (1 - 2 * x) * logits
        return -jnp.sum(jnp.maximum(wrong, 0) + jnp.log(1 + jnp.exp(-jnp.abs(logits))))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """1 with probability ``mean``, else 0."""
        return (uniform(key, self.logits.shape) < self.mean).astype(jnp.float32)


class BernoulliLikelihood(AbstractLikelihood):
    """p(x|z): independent Bernoulli pixels; the decoder gives their logits."""

    support: ClassVar[Pixels] = "binary"

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width channel"]:
        """The mean's logit, clipped to [0.001, 0.999] as Burda et al. 2015 (arXiv 1509.00519) do."""
        return jax.scipy.special.logit(jnp.clip(pixel_mean, 1e-3, 1 - 1e-3))

    def __call__(self, outputs: Float[Array, "height width channel"]) -> Bernoulli:
        return Bernoulli(outputs)
