"""The prior that is a flow of affine couplings."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.errors import UserError
from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.networks import MLP
from jaxvae.models.noise import fold_in, normal
from jaxvae.models.priors.prior import AbstractPrior

COUPLING_BOUND = 2.0
"""A layer multiplies a latent by no more than exp(2), and no less than exp(-2)."""


class CouplingFlow(AbstractDistribution):
    """What becomes of a draw from N(0, I) under layers that each leave its first half as it is, and shift and
    scale the second by functions of the first; the order of the latents is reversed between layers (Dinh et
    al. 2017, arXiv 1605.08803). Draws and densities both take one pass of each network."""

    networks: tuple[MLP, ...]
    latent_dim: int = eqx.field(static=True)

    def sample(self, key: Key[Array, ""]) -> Float[Array, " latent"]:
        """The flow of a draw from N(0, I)."""
        return self.transform(normal(key, (self.latent_dim,)))[0]

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        noise = normal(key, (self.latent_dim,))
        z, log_determinant = self.transform(noise)
        return z, _log_base(noise) - log_determinant

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, " latent"]:
        """The flow of a draw from N(0, temperature^2 I)."""
        return self.transform(temperature * normal(key, (self.latent_dim,)))[0]

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """``log N(noise; 0, I) - log |d x / d noise|`` at the noise that becomes x, in nats."""
        noise, log_determinant = self.invert(input_checks.value(x, (self.latent_dim,), in_unit=False))
        return _log_base(noise) - log_determinant

    def transform(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """What becomes of a base value, and the log-determinant of its derivative."""
        log_determinant = jnp.zeros((), jnp.float32)
        for i, network in enumerate(self.networks):
            kept, moved = jnp.split(z[::-1] if i > 0 else z, (self.latent_dim // 2,))
            shift, log_scale = _shift_and_log_scale(network, kept)
            z = jnp.concatenate([kept, moved * jnp.exp(log_scale) + shift])
            log_determinant = log_determinant + jnp.sum(log_scale)
        return z, log_determinant

    def invert(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """The base value that becomes ``z``, and the log-determinant at it."""
        log_determinant = jnp.zeros((), jnp.float32)
        for i, network in reversed(list(enumerate(self.networks))):
            kept, moved = jnp.split(z, (self.latent_dim // 2,))
            shift, log_scale = _shift_and_log_scale(network, kept)
            z = jnp.concatenate([kept, (moved - shift) * jnp.exp(-log_scale)])
            z = z[::-1] if i > 0 else z
            log_determinant = log_determinant + jnp.sum(log_scale)
        return z, log_determinant


def _shift_and_log_scale(
    network: MLP, kept: Float[Array, " kept"]
) -> tuple[Float[Array, " moved"], Float[Array, " moved"]]:
    shift, raw = jnp.split(network(kept), 2)
    return shift, COUPLING_BOUND * jnp.tanh(raw / COUPLING_BOUND)


def _log_base(noise: Float[Array, " latent"]) -> Float[Array, ""]:
    return -0.5 * (jnp.sum(noise**2) + noise.size * math.log(2 * math.pi))


class CouplingFlowPrior(AbstractPrior):
    """p(z) = a flow of affine couplings. The networks' last layers start at zero, so that p(z) starts as
    N(0, I)."""

    networks: tuple[MLP, ...]
    latent_dim: int = eqx.field(static=True)

    def __init__(self, latent_dim: int, layers: int, hidden: tuple[int, ...], *, key: Key[Array, ""]):
        """Raises UserError if there are fewer than two latents."""
        if latent_dim < 2:
            raise UserError(
                f"--model.prior coupling cannot work with --model.latent_dim {latent_dim}: one half of the "
                "latents moves the other, so there must be 2 or more"
            )
        half = latent_dim // 2
        widths = (half, *hidden, 2 * (latent_dim - half))
        networks = [MLP(widths, "silu", key=fold_in(key, jnp.uint32(layer))) for layer in range(layers)]
        self.networks = tuple(
            eqx.tree_at(lambda m: m.layers[-1], mlp, jax.tree.map(jnp.zeros_like, mlp.layers[-1]))
            for mlp in networks
        )
        self.latent_dim = latent_dim

    @classmethod
    def build(
        cls,
        latent_dim: int,
        pixel_mean: Float[Array, "height width channel"],
        *,
        key: Key[Array, ""],
        **fields: Any,
    ) -> "CouplingFlowPrior":
        return cls(latent_dim, key=key, **fields)

    def __call__(self, encoder: Callable) -> CouplingFlow:
        return CouplingFlow(self.networks, self.latent_dim)
