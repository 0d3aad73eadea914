"""Pixels that are any numbers: p(x|z) = N(G(z), sigma^2), with sigma fixed, learned, or from the decoder."""

from typing import Any, ClassVar

import equinox as eqx
import jax
from jaxtyping import Array, Float

from jaxvae.config.kinds.likelihoods import Per
from jaxvae.config.pixels import Pixels
from jaxvae.models.distributions import Gaussian, bounded_log_scale
from jaxvae.models.likelihoods import scale
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood


class GaussianLikelihood(AbstractLikelihood):
    """p(x|z) = N(G(z), diag(sigma^2)): the decoder gives the mean.

    sigma is fixed, or learned: as one number for all pixels, one for each channel, or one for each pixel of
    each image, for which the decoder gives as many unbounded log-scales after the means
    (``bounded_log_scale``).
    """

    support: ClassVar[Pixels] = "real"
    raw_log_sigma: Float[Array, "*channel"] | None
    """None if the decoder gives it."""
    learn_sigma: bool = eqx.field(static=True)
    sigma: float = eqx.field(static=True)

    def __init__(
        self, sigma: float = 1.0, learn_sigma: bool = False, sigma_per: Per = "image", channels: int = 1
    ):
        self.sigma, self.learn_sigma = sigma, learn_sigma
        self.raw_log_sigma = scale.own_weights(sigma, sigma_per if learn_sigma else "image", channels)

    @classmethod
    def build(cls, image_shape: tuple[int, int, int], **fields: Any) -> "GaussianLikelihood":
        return cls(**fields, channels=image_shape[-1])

    @property
    def log_sigma(self) -> Float[Array, "*channel"] | None:
        """Log of sigma, bounded; its gradient is zero unless sigma is learned. None if the decoder gives
        it."""
        return None if self.raw_log_sigma is None else bounded_log_scale(self._weights)

    @property
    def _weights(self) -> Any:
        return self.raw_log_sigma if self.learn_sigma else jax.lax.stop_gradient(self.raw_log_sigma)

    @property
    def beyond(self) -> float:
        """Its mean knows no bounds."""
        return 0.5

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        """The mean, and sigma where it starts if the decoder gives it."""
        return scale.with_scales(pixel_mean, self.sigma, self.raw_log_sigma)

    def __call__(self, outputs: Float[Array, "height width output"]) -> Gaussian:
        return Gaussian(*scale.split(outputs, self._weights))

    def summary(self) -> dict[str, float]:
        """``sigma``, the standard deviation of a pixel given z, or ``sigma_0`` and so on, one for each
        channel; nothing if every pixel has its own."""
        if self.log_sigma is None:
            return {}
        return scale.by_name("sigma", jax.device_get(self.log_sigma))
