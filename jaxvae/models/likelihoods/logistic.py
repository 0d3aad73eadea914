"""The 256 levels of 8 bits: p(x|z) of discretised logistics and their mixtures.

Level k is ``x = 2 k / 255 - 1`` here, from -1 to 1, and has the mass of a logistic distribution between
``x - 1 / 255`` and ``x + 1 / 255``; levels 0 and 255 have the tails too (Kingma et al. 2016, arXiv
1606.04934; Salimans et al. 2017, arXiv 1701.05517). The probabilities of the levels sum to 1.
"""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.config.kinds.likelihoods import Per
from jaxvae.config.pixels import Pixels
from jaxvae.models import input_checks, noise
from jaxvae.models.distributions import AbstractDistribution, bounded_log_scale, unbounded_log_scale
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods import scale
from jaxvae.models.likelihoods.likelihood import AbstractLikelihood

INITIAL_SCALE = math.exp(-1)
"""Scale of a logistic before anything is learned."""
SPREAD = 0.5
"""A mixture's locations begin at the training images' mean, up to so much above and below."""
_DEVIATION = math.pi / math.sqrt(3)
"""Standard deviation of a logistic whose scale is 1."""


class DiscretizedLogistic(AbstractDistribution):
    """Independent pixels of 256 levels, each the mass of a logistic distribution, from -1 to 1.

    ``log_scale`` has the shape of ``location``, or none: one scale for every pixel.
    """

    location: Float[Array, "*shape"]
    log_scale: Float[Array, "*shape"] | Float[Array, ""]

    @property
    def mean(self) -> Float[Array, "*shape"]:
        """That of the logistic clipped to the levels' range, which is the levels' own to half a level."""
        return (clipped_mean(self.location, self.log_scale) + 1) / 2

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """Log-probability of an image of levels k / 255, in nats."""
        levels = input_checks.levels(x, self.location.shape)
        return jnp.sum(level_log_prob(levels, self.location, self.log_scale))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*shape"]:
        """Independent pixels k / 255."""
        return as_level(self.location + _standard_logistic(key, self.location.shape, self.log_scale)) / 255


class LogisticMixture(AbstractDistribution):
    """Pixels of 256 levels, each a mixture of discretised logistics (Salimans et al. 2017).

    The channels of a pixel share the mixture's component, and given it the location of each is that of the
    component, plus ``tanh(coupling)`` times every channel before it, from -1 to 1.
    """

    logits: Float[Array, "*pixel component"]
    location: Float[Array, "*pixel channel component"]
    log_scale: Float[Array, "*pixel channel component"]
    coupling: Float[Array, "*pixel pair component"]
    """Of the pairs of a channel and one before it: (1, 0), (2, 0), (2, 1)."""

    @property
    def mean(self) -> Float[Array, "*pixel channel"]:
        """The components' means by their weights, each that of logistics clipped to the levels' range, given
        the means of the channels before."""
        means: list[Array] = []
        for channel in range(self.location.shape[-2]):
            location = self._location(channel, means)
            means.append(clipped_mean(location, self.log_scale[..., channel, :]))
        weights = jax.nn.softmax(self.logits)
        return (jnp.stack([jnp.sum(weights * mean, -1) for mean in means], -1) + 1) / 2

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """Log-probability of an image of levels k / 255, in nats."""
        levels = input_checks.levels(x, self.location.shape[:-1])
        values = [_value(levels[..., channel, None]) for channel in range(levels.shape[-1])]
        total = jax.nn.log_softmax(self.logits)
        for channel in range(levels.shape[-1]):
            location = self._location(channel, values)
            total += level_log_prob(levels[..., channel, None], location, self.log_scale[..., channel, :])
        return jnp.sum(jax.nn.logsumexp(total, -1))

    def sample(self, key: Key[Array, ""]) -> Float[Array, "*pixel channel"]:
        """A component for each pixel, then its channels in their order, as k / 255."""
        key_component, *keys = jax.random.split(key, 1 + self.location.shape[-2])
        chosen = noise.categorical(key_component, self.logits)[..., None]
        found: list[Array] = []
        for channel, key_channel in enumerate(keys):
            location = self._location(channel, [_value(level) for level in found])
            of_chosen = jnp.take_along_axis(location, chosen, -1)
            log_scale = jnp.take_along_axis(self.log_scale[..., channel, :], chosen, -1)
            found.append(as_level(of_chosen + _standard_logistic(key_channel, chosen.shape, log_scale)))
        return jnp.concatenate(found, -1) / 255

    def _location(self, channel: int, before: list[Array]) -> Float[Array, "*pixel component"]:
        """Of the components of a channel, given the values of the channels before it."""
        location, first = self.location[..., channel, :], channel * (channel - 1) // 2
        for other in range(channel):
            location += jnp.tanh(self.coupling[..., first + other, :]) * before[other]
        return location


class DiscretizedLogisticLikelihood(AbstractLikelihood):
    """p(x|z): independent pixels, discretised logistics. The decoder gives their locations, from -1 to 1, and
    then, where every pixel has its own scale, as many unbounded log-scales (``bounded_log_scale``)."""

    support: ClassVar[Pixels] = "levels"
    raw_log_scale: Float[Array, "*channel"] | None
    """None if the decoder gives it."""

    def __init__(self, scale_per: Per = "pixel", channels: int = 1):
        self.raw_log_scale = scale.own_weights(INITIAL_SCALE, scale_per, channels)

    @classmethod
    def build(cls, image_shape: tuple[int, int, int], **fields: Any) -> "DiscretizedLogisticLikelihood":
        return cls(**fields, channels=image_shape[-1])

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        return scale.with_scales(2 * pixel_mean - 1, INITIAL_SCALE, self.raw_log_scale)

    def __call__(self, outputs: Float[Array, "height width output"]) -> DiscretizedLogistic:
        return DiscretizedLogistic(*scale.split(outputs, self.raw_log_scale))

    def summary(self) -> dict[str, float]:
        """``sigma``, the standard deviation of a pixel from 0 to 1, given z, before it is rounded, or
        ``sigma_0`` and so on, one for each channel; nothing if every pixel has its own."""
        if self.raw_log_scale is None:
            return {}
        log_sigma = bounded_log_scale(self.raw_log_scale) + math.log(_DEVIATION / 2)
        return scale.by_name("sigma", jax.device_get(log_sigma))


class LogisticMixtureLikelihood(AbstractLikelihood):
    """p(x|z): pixels that are mixtures of discretised logistics. Of K components and C channels the decoder
    gives K logits, then C K locations, C K unbounded log-scales (``bounded_log_scale``) and C (C - 1) / 2 K
    couplings: 3 K numbers for a gray pixel, 10 K for one in RGB."""

    support: ClassVar[Pixels] = "levels"
    components: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)

    @classmethod
    def build(cls, image_shape: tuple[int, int, int], **fields: Any) -> "LogisticMixtureLikelihood":
        return cls(**fields, channels=image_shape[-1])

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        """Components of equal weights, around the mean; channels that do not depend on each other."""
        height, width, channels = pixel_mean.shape
        # The middles of equal parts: a single component is at the mean.
        offsets = SPREAD * ((2 * jnp.arange(self.components) + 1) / self.components - 1)
        locations = 2 * pixel_mean[..., None] - 1 + offsets.reshape(1, 1, 1, -1)
        outputs = jnp.zeros((height, width, self._rows, self.components))
        scales = slice(1 + channels, 1 + 2 * channels)
        outputs = outputs.at[:, :, 1 : 1 + channels].set(locations)
        outputs = outputs.at[:, :, scales].set(unbounded_log_scale(math.log(INITIAL_SCALE)))
        return outputs.reshape(height, width, -1)

    def __call__(self, outputs: Float[Array, "height width output"]) -> LogisticMixture:
        rows = outputs.reshape(*outputs.shape[:2], self._rows, self.components)
        ends = (1, 1 + self.channels, 1 + 2 * self.channels)
        logits, location, raw, coupling = jnp.split(rows, ends, 2)
        return LogisticMixture(logits[:, :, 0], location, bounded_log_scale(raw), coupling)

    @property
    def _rows(self) -> int:
        """Numbers for a component of a pixel."""
        return 1 + 2 * self.channels + self.channels * (self.channels - 1) // 2


def level_log_prob(
    levels: Int[Array, "..."], location: Float[Array, "..."], log_scale: Float[Array, "..."]
) -> Float[Array, "..."]:
    """Log-probability of each level, in nats; the three are broadcast.

    With the edges u and l, standardised: ``log(sigmoid(u) - sigmoid(l)) = -softplus(-u) - softplus(l) +
    log(1 - exp(l - u))``; at level 0 only the first of the three terms is left, at 255 only the second.
    Nothing is subtracted that could cancel, so no switch to the density is needed far from the location.
    """
    inverse = jnp.exp(-log_scale)
    # An edge between two levels is the same number for both.
    upper = ((2 * levels - 254).astype(jnp.float32) / 255 - location) * inverse
    lower = ((2 * levels - 256).astype(jnp.float32) / 255 - location) * inverse
    width = jnp.broadcast_to(2 / 255 * inverse, upper.shape)
    is_first, is_last = levels == 0, levels == 255
    below = jnp.where(is_last, 0.0, _softplus(-upper))
    above = jnp.where(is_first, 0.0, _softplus(lower))
    return jnp.where(is_first | is_last, 0.0, jnp.log(-jnp.expm1(-width))) - below - above


def clipped_mean(location: Float[Array, "*shape"], log_scale: Float[Array, "..."]) -> Float[Array, "*shape"]:
    """Mean of a logistic variable that is clipped to [-1, 1]:
    ``1 - s (softplus((1 - m) / s) - softplus((-1 - m) / s))``."""
    scales = jnp.exp(log_scale)
    high, low = (jax.nn.softplus((end - location) / scales) for end in (1, -1))
    return jnp.clip(1 - scales * (high - low), -1, 1)


def as_level(value: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The level, from 0 to 255, that a value belongs to; those between -1 and 1 to the nearest."""
    return jnp.clip(jnp.round((value + 1) * 127.5), 0, 255)


def _value(levels: Any) -> Float[Array, "*shape"]:
    return 2 * levels.astype(jnp.float32) / 255 - 1


def _standard_logistic(
    key: Key[Array, ""], shape: tuple[int, ...], log_scale: Float[Array, "..."]
) -> Float[Array, "*shape"]:
    return jnp.exp(log_scale) * jax.scipy.special.logit(noise.uniform(key, shape))


def _softplus(t: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """``log(1 + exp(t))``, by ``log`` as in ``Bernoulli``: what ``log1p`` would add is below 6e-8."""
    # -|t| by a minimum, whose slope at 0 is 0; that of JAX's ``abs`` is 1 there.
    return jnp.maximum(t, 0) + jnp.log(1 + jnp.exp(jnp.minimum(t, -t)))
