"""What is one group of latents on the way down, given the state that those above have made?"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.models.distributions import Gaussian, bounded_log_scale
from jaxvae.models.ladder.maps import Bottleneck, Map, Size, glorot

LOG_SCALE_BOUND = 5.0
"""Log-scales are ``5 tanh(raw / 5)``, as in NVAE (Vahdat and Kautz 2020, arXiv 2007.03898)."""


class Group(eqx.Module):
    """One group on the way down: its prior, its posterior, and what its latents do to the path's state."""

    start: Map | None
    """Added to the state where maps of this size begin; the uppermost is the state that there is first."""
    prior: Bottleneck | None
    """The state to raw mean and log-scale of p(z_l|z_{>l}), and what else to add to the state, if anything
    follows that takes it. None at the top, where it is N(0, I)."""
    posterior: Bottleneck
    """``(state + features) / sqrt(2)`` to raw differences from the prior's."""
    projection: Float[Array, "latent channel"]
    projection_bias: Float[Array, " channel"]
    after: Bottleneck
    """A residual block."""
    passed: tuple[Size, ...] = eqx.field(static=True)
    """Sizes that the state of the group above is enlarged to."""
    latent_dim: int = eqx.field(static=True)

    def __init__(
        self,
        size: Size,
        passed: tuple[Size, ...] | None,
        widths: tuple[int, int, int],
        scale: float,
        activation: Activation,
        *,
        begins: bool,
        is_last: bool,
        rematerialise: bool,
        key: Key[Array, ""],
    ):
        """``passed`` is None at the top. ``widths``: latents, channels of the state, and channels inside of a
        block. ``begins``: whether maps of this size do. ``is_last``: whether no prior's addition is taken.
        ``scale``: the first weights of the projection and of the block are times this."""
        (latent_dim, channels, middle), keys = widths, jax.random.split(key, 4)

        def block(key: Key[Array, ""], outputs: int, last_scale: float) -> Bottleneck:
            return Bottleneck(
                (channels, middle, outputs),
                size,
                activation,
                last_scale,
                rematerialise=rematerialise,
                key=key,
            )

        self.start = jnp.zeros((*size, channels), jnp.float32) if begins else None
        outputs = 2 * latent_dim + (0 if is_last else channels)
        self.prior = None if passed is None else block(keys[0], outputs, 0.0)
        self.posterior = block(keys[1], 2 * latent_dim, 0.0)
        self.projection = scale * glorot(keys[2], latent_dim, channels, 1)
        self.projection_bias = jnp.zeros(channels, jnp.float32)
        self.after = block(keys[3], channels, scale)
        self.passed, self.latent_dim = passed or (), latent_dim

    def densities(self, state: Map, features: Map | None) -> tuple[Gaussian, Gaussian | None, Map | None]:
        """p(z_l|z_{>l}), q(z_l|z_{>l}, x), and what the prior adds to the state."""
        height, width, _ = state.shape
        mean = raw = jnp.zeros((height, width, self.latent_dim), jnp.float32)
        rest = None
        if self.prior is not None:
            found = self.prior(state)
            mean, raw, rest = jnp.split(found, (self.latent_dim, 2 * self.latent_dim), -1)
            rest = rest if rest.size else None
            mean, raw = mean.astype(jnp.float32), raw.astype(jnp.float32)
        prior = Gaussian(mean, bounded_log_scale(raw, LOG_SCALE_BOUND))
        if features is None:
            return prior, None, rest
        found = self.posterior((state + features) * math.sqrt(0.5)).astype(jnp.float32)
        more, wider = jnp.split(found, 2, -1)
        return prior, Gaussian(mean + more, bounded_log_scale(raw + wider, LOG_SCALE_BOUND)), rest

    def projected(self, z: Map) -> Map:
        """What the group's latents add to the state."""
        found = z.astype(self.projection.dtype) @ self.projection
        return found + jnp.broadcast_to(self.projection_bias, found.shape)
