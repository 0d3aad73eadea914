"""The prior that is a mixture of Gaussians."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution, Gaussian, bounded_log_scale
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.noise import categorical, fold_in, normal
from jaxvae.models.priors.prior import AbstractPrior

SPREAD = 0.5
"""Standard deviation of the components' means at first. Equal components would get equal gradients for
ever."""


class Mixture(AbstractDistribution):
    """One of several distributions of a kind, with probabilities ``softmax(logits)``."""

    components: AbstractDistribution
    """All of them: each array has one axis more, the first, over the components."""
    logits: Float[Array, " component"]

    def sample(self, key: Key[Array, ""]) -> Float[Array, "..."]:
        """A draw from a component that is drawn. Differentiable in that component alone."""
        key_component, key_value = _two(key)
        return self._component(key_component).sample(key_value)

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, "..."]:
        """As ``sample``, with the component's scales times ``temperature``."""
        key_component, key_value = _two(key)
        return self._component(key_component).tempered_sample(key_value, temperature)

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``logsumexp_k(log weight_k + log p_k(x))``, in nats."""
        if type(self.components) is Gaussian and self.components.log_scale.ndim == 2:
            means, log_scales = self.components.mean, self.components.log_scale
            each = _log_probs(means, log_scales, input_checks.value(x, means.shape[1:], in_unit=False))
        else:
            each = jax.vmap(lambda component: component.log_prob(x))(self.components)
        return jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each)

    def _component(self, key: Key[Array, ""]) -> AbstractDistribution:
        index = categorical(key, self.logits)
        return jax.tree.map(lambda leaf: leaf[index], self.components)


def _two(key: Key[Array, ""]) -> tuple[Any, Any]:
    return fold_in(key, jnp.uint32(0)), fold_in(key, jnp.uint32(1))


@jax.custom_jvp
def _log_probs(
    means: Float[Array, "component dimension"],
    log_scales: Float[Array, "component dimension"],
    x: Float[Array, " dimension"],
) -> Float[Array, " component"]:
    """``log p_k(x)`` of every component.

    Of a batch of x, the sums over the batch that are the gradients of means and scales would take XLA half of
    a VampPrior's step on a CPU: by the rule below they are products of matrices.
    """
    with jax.default_matmul_precision("highest"):
        squares = jnp.einsum("kd,kd->k", (x[None] - means) ** 2, jnp.exp(-2 * log_scales))
    return -0.5 * (squares + x.size * math.log(2 * math.pi)) - jnp.sum(log_scales, -1)


@_log_probs.defjvp
def _log_probs_derivative(primals: tuple, tangents: tuple) -> tuple:
    """Those of the means and of x with the product multiplied out: they err by float32's rounding of x in
    units of the scale. As a value that would lose too many digits, where scales are small."""
    means, log_scales, x = primals
    of_means, of_log_scales, of_x = tangents
    precision = jnp.exp(-2 * log_scales)
    with jax.default_matmul_precision("highest"):
        by_means = (precision * of_means) @ x - jnp.sum(precision * means * of_means, -1)
        by_x = (precision * means) @ of_x - precision @ (x * of_x)
        squares = jnp.einsum("kd,kd->k", (x[None] - means) ** 2, precision * of_log_scales)
    by_log_scales = squares - jnp.sum(of_log_scales, -1)
    return _log_probs(means, log_scales, x), by_means + by_x + by_log_scales


class GaussianMixturePrior(AbstractPrior):
    """p(z) = sum of weight_k N(mean_k, diag(scale_k^2)), with everything learned. At first the weights are
    equal, the scales 1 and the means drawn from N(0, 0.5^2)."""

    means: Float[Array, "component latent"]
    raw_log_scales: Float[Array, "component latent"]
    logits: Float[Array, " component"]

    def __init__(self, latent_dim: int, components: int, *, key: Key[Array, ""]):
        self.means = SPREAD * normal(key, (components, latent_dim))
        self.raw_log_scales, self.logits = jnp.zeros_like(self.means), jnp.zeros(components, jnp.float32)

    @classmethod
    def build(
        cls,
        latent_dim: int,
        pixel_mean: Float[Array, "height width channel"],
        *,
        key: Key[Array, ""],
        **fields: Any,
    ) -> "GaussianMixturePrior":
        return cls(latent_dim, key=key, **fields)

    def __call__(self, encoder: Callable) -> Mixture:
        return Mixture(Gaussian(self.means, bounded_log_scale(self.raw_log_scales)), self.logits)
