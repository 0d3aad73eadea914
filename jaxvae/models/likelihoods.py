"""What is p(x|z)? Each likelihood turns the decoder's outputs into a distribution of one image."""

import abc
import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.config.kinds.likelihoods import Pixels
from jaxvae.models.distributions import (
    AbstractDistribution,
    Bernoulli,
    Gaussian,
    bounded_log_scale,
    unbounded_log_scale,
)


class AbstractLikelihood(eqx.Module):
    """Which distribution of an image the decoder's outputs stand for."""

    support: ClassVar[Pixels]
    """Which pixels it gives a density of: 0 or 1 alone; from 0 to 1; or any numbers."""

    @classmethod
    def build(cls, image_shape: tuple[int, int, int], **fields: Any) -> "AbstractLikelihood":
        """For images of this shape, with the ``fields`` of its kind."""
        return cls(**fields)

    @property
    def beyond(self) -> float:
        """How far pixels of an image that the model itself made may lie outside of [0, 1]."""
        return 0.0

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        """What the decoder should put out before it has learned anything: that of a distribution whose mean
        is that of the training images. Its shape is that of the decoder's outputs."""
        return pixel_mean

    @abc.abstractmethod
    def __call__(self, outputs: Float[Array, "height width output"]) -> AbstractDistribution:
        """The distribution of an image, given the decoder's outputs. It must have a ``mean``, in [0, 1]
        where it is to be shown."""

    def summary(self) -> dict[str, float]:
        """Numbers of its own to report with the test scores, by name; of a model that is on the host."""
        return {}


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


class GaussianLikelihood(AbstractLikelihood):
    """p(x|z) = N(G(z), sigma^2 I): the decoder gives the mean; sigma is one number for all pixels."""

    support: ClassVar[Pixels] = "real"
    raw_log_sigma: Float[Array, ""]
    learn_sigma: bool = eqx.field(static=True)

    def __init__(self, sigma: float = 1.0, learn_sigma: bool = False):
        self.raw_log_sigma = jnp.asarray(unbounded_log_scale(math.log(sigma)), jnp.float32)
        self.learn_sigma = learn_sigma

    @property
    def log_sigma(self) -> Float[Array, ""]:
        """Log of sigma, bounded; its gradient is zero unless sigma is learned."""
        raw = self.raw_log_sigma if self.learn_sigma else jax.lax.stop_gradient(self.raw_log_sigma)
        return bounded_log_scale(raw)

    @property
    def beyond(self) -> float:
        """Its mean knows no bounds."""
        return 0.5

    def __call__(self, outputs: Float[Array, "height width channel"]) -> Gaussian:
        return Gaussian(outputs, self.log_sigma)

    def summary(self) -> dict[str, float]:
        """``sigma``, the standard deviation of a pixel given z."""
        return {"sigma": math.exp(jax.device_get(self.log_sigma))}
