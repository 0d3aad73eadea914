"""The 256 levels of 8 bits, each with a probability of its own: p(x|z) of independent categorical pixels."""

from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.pixels import Pixels
from jaxvae.models import input_checks, noise
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods.continuous_bernoulli import logit_of
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood

LEVELS = 256


class Categorical(AbstractDistribution):
    """Independent pixels of 256 levels, with the probabilities ``softmax(logits)``."""

    logits: Float[Array, "*shape level"]

    @property
    def mean(self) -> Float[Array, "*shape"]:
        """Of k / 255."""
        return jax.nn.softmax(self.logits) @ (jnp.arange(LEVELS) / 255)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``sum(logits[k] - logsumexp(logits))`` of an image of levels k / 255, in nats."""
        levels = input_checks.levels(x, self.logits.shape[:-1])
        # Compared with every level: a gather's gradient would be a scatter, which is slow on accelerators.
        every = jax.lax.broadcasted_iota(jnp.int32, self.logits.shape, self.logits.ndim - 1)
        is_level = levels[..., None] == every
        chosen = jnp.sum(jnp.where(is_level, self.logits, 0.0), -1)
        return jnp.sum(chosen - jax.nn.logsumexp(self.logits, -1))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """Independent pixels k / 255."""
        return noise.categorical(key, self.logits).astype(jnp.float32) / 255


class CategoricalLikelihood(AbstractLikelihood):
    """p(x|z): independent categorical pixels; the decoder gives 256 logits for each channel of a pixel."""

    support: ClassVar[Pixels] = "levels"

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        """Nine parts of the distribution that has the mean of the training images and is otherwise as even
        as can be, log-linear in the level, and one part of uniform: no level begins beyond reach."""
        steps = ((2 * jnp.arange(LEVELS) + 1) / (2 * LEVELS)).reshape(1, 1, 1, -1)
        linear = jax.nn.log_softmax(logit_of((pixel_mean - 0.05) / 0.9)[..., None] * steps)
        logits = jnp.logaddexp(linear + jnp.log(0.9), jnp.log(0.1 / LEVELS))
        return logits.reshape(*pixel_mean.shape[:2], -1)

    def __call__(self, outputs: Float[Array, "height width output"]) -> Categorical:
        return Categorical(outputs.reshape(*outputs.shape[:2], -1, LEVELS))
