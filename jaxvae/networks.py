"""Which functions are the encoder and the decoder?

Each acts on one image or one latent vector. ``jax.vmap`` is the caller's.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config import Activation
from jaxvae.distributions import Gaussian, bounded_log_scale

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu, "silu": jax.nn.silu, "tanh": jnp.tanh}


class MLP(eqx.Module):
    """Affine layers with a non-linearity between them; with two widths it is one affine map."""

    layers: tuple[eqx.nn.Linear, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(self, widths: tuple[int, ...], activation: Activation, *, key: Key[Array, ""]):
        """Weights are Glorot-uniform (Glorot and Bengio 2010), biases zero."""
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = tuple(
            _glorot_linear(n_in, n_out, key)
            for n_in, n_out, key in zip(widths[:-1], widths[1:], keys, strict=True)
        )
        self.activation = activation

    def __call__(self, x: Float[Array, " input"]) -> Float[Array, " output"]:
        """Runs in the precision of the weights and returns float32."""
        x = x.astype(self.layers[0].weight.dtype)
        for layer in self.layers[:-1]:
            x = ACTIVATIONS[self.activation](layer(x))
        return self.layers[-1](x).astype(jnp.float32)


class MLPEncoder(eqx.Module):
    """q(z|x) = N(mean(x), diag(scale(x)^2)), both from one network whose last layer gives
    ``2 latent`` numbers: one matrix product, half the calls of two heads."""

    mlp: MLP

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        hidden: tuple[int, ...],
        latent_dim: int,
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        height, width, channel = image_shape
        self.mlp = MLP((height * width * channel, *hidden, 2 * latent_dim), activation, key=key)

    def __call__(self, x: Float[Array, "height width channel"]) -> Gaussian:
        """The approximate posterior of one image; its log-scale is bounded (``bounded_log_scale``)."""
        mean, raw = jnp.split(self.mlp(x.reshape(-1)), 2)
        return Gaussian(mean, bounded_log_scale(raw))


class MLPDecoder(eqx.Module):
    """The likelihood's parameters, one per pixel: logits or means."""

    mlp: MLP
    image_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        hidden: tuple[int, ...],
        latent_dim: int,
        activation: Activation,
        output_bias: Float[Array, "height width channel"],
        *,
        key: Key[Array, ""],
    ):
        """``output_bias`` is what the decoder says before it has learned anything."""
        height, width, channel = image_shape
        mlp = MLP((latent_dim, *hidden, height * width * channel), activation, key=key)
        self.mlp = eqx.tree_at(lambda m: m.layers[-1].bias, mlp, output_bias.reshape(-1))
        self.image_shape = image_shape

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "height width channel"]:
        return self.mlp(z).reshape(self.image_shape)


def _glorot_linear(n_in: int, n_out: int, key: Key[Array, ""]) -> eqx.nn.Linear:
    layer = eqx.nn.Linear(n_in, n_out, key=key)
    # Equinox draws from +-1/sqrt(n_in); Glorot's interval is +-sqrt(6 / (n_in + n_out)).
    weight = layer.weight * math.sqrt(6 * n_in / (n_in + n_out))
    return eqx.tree_at(lambda n: (n.weight, n.bias), layer, (weight, jnp.zeros(n_out)))
