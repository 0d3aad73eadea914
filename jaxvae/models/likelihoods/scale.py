"""Is a scale one number, one for each channel, or an output of the decoder for each pixel?"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.config.kinds.likelihoods import Per
from jaxvae.models.distributions import bounded_log_scale, unbounded_log_scale


def own_weights(scale: float, per: Per, channels: int) -> Float[Array, "*channel"] | None:
    """The unbounded log-scales, at ``scale``, that are weights of the likelihood; None if they are the
    decoder's."""
    if per == "pixel":
        return None
    shape = (channels,) if per == "channel" else ()
    return jnp.full(shape, unbounded_log_scale(math.log(scale)), jnp.float32)


def with_scales(
    location: Float[Array, "height width channel"], scale: float, weights: Float[Array, "*channel"] | None
) -> Float[Array, "height width output"]:
    """The decoder's outputs for these locations, and for this ``scale`` if it is to give scales."""
    if weights is not None:
        return location
    raw = jnp.full_like(location, unbounded_log_scale(math.log(scale)))
    return jnp.concatenate([location, raw], -1)


def split(
    outputs: Float[Array, "height width output"], weights: Float[Array, "*channel"] | None
) -> tuple[Float[Array, "height width channel"], Float[Array, "..."]]:
    """Locations and log-scales: those of the ``weights``, a single one without a shape, or the second half
    of the decoder's outputs; bounded (``bounded_log_scale``)."""
    if weights is None:
        location, raw = jnp.split(outputs, 2, -1)
        return location, bounded_log_scale(raw)
    log_scale = bounded_log_scale(weights)
    return outputs, log_scale if log_scale.ndim == 0 else jnp.broadcast_to(log_scale, outputs.shape)


def by_name(name: str, log_scales: Float[np.ndarray, "*channel"]) -> dict[str, float]:
    """The scale as ``name``, or those of the channels as ``name_0``, ``name_1`` and so on."""
    scales = [math.exp(log_scale) for log_scale in log_scales.reshape(-1).tolist()]
    if len(scales) == 1:
        return {name: scales[0]}
    return {f"{name}_{channel}": scale for channel, scale in enumerate(scales)}
