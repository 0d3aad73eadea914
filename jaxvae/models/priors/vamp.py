"""The prior that is a mixture of posteriors."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models.noise import normal
from jaxvae.models.priors.mixture import Mixture
from jaxvae.models.priors.prior import AbstractPrior

SPREAD = 1.0
"""Standard deviation of the pseudo-inputs' logits around those of the mean image, at first."""


class VampPrior(AbstractPrior):
    """p(z) = 1/K sum_k q(z|u_k), the mixture of the posteriors of K learned images, the pseudo-inputs u_k
    (Tomczak and Welling 2018, arXiv 1705.07120). ``u_k = sigmoid(raw_k)``; at first the raw ones are the
    training images' mean's logits, clipped to [0.05, 0.95], and noise."""

    raw: Float[Array, "component height width channel"]

    def __init__(
        self, pixel_mean: Float[Array, "height width channel"], components: int, *, key: Key[Array, ""]
    ):
        logits = jax.scipy.special.logit(jnp.clip(pixel_mean, 0.05, 0.95))
        self.raw = logits[None] + SPREAD * normal(key, (components, *pixel_mean.shape))

    @classmethod
    def build(
        cls,
        latent_dim: int,
        pixel_mean: Float[Array, "height width channel"],
        *,
        key: Key[Array, ""],
        **fields: Any,
    ) -> "VampPrior":
        return cls(pixel_mean, key=key, **fields)

    @property
    def pseudo_inputs(self) -> Float[Array, "component height width channel"]:
        """The images whose posteriors are mixed, from 0 to 1."""
        return jax.nn.sigmoid(self.raw)

    def __call__(self, encoder: Callable) -> Mixture:
        with jax.named_scope("pseudo_inputs"):
            posteriors = jax.vmap(encoder)(self.pseudo_inputs)
        return Mixture(posteriors, jnp.zeros(len(self.raw), jnp.float32))
