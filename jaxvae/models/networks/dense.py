"""Which encoders and decoders have dense layers alone?"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.posteriors import AbstractPosterior

ACTIVATIONS = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "elu": jax.nn.elu,
}


class Dense(eqx.Module):
    """An affine map. Weights are Glorot-uniform (Glorot and Bengio 2010), biases zero."""

    weight: Float[Array, "output input"] | Float[Array, "input output"]
    bias: Float[Array, " output"]
    inputs_first: bool = eqx.field(static=True)

    def __init__(self, n_in: int, n_out: int, *, inputs_first: bool, key: Key[Array, ""]):
        bound = math.sqrt(6 / (n_in + n_out))
        weight = jax.random.uniform(key, (n_out, n_in), jnp.float32, minval=-bound, maxval=bound)
        self.weight = weight.T if inputs_first else weight
        self.bias, self.inputs_first = jnp.zeros(n_out, jnp.float32), inputs_first

    @property
    def matrix(self) -> Float[Array, "output input"]:
        """The weight, outputs first."""
        return self.weight.T if self.inputs_first else self.weight

    def __call__(self, x: Float[Array, " input"]) -> Float[Array, " output"]:
        return self.matrix @ x + self.bias


class MLP(eqx.Module):
    """Affine layers with a non-linearity between them; with two widths it is one affine map.

    The first layer's weight is laid out inputs first, the others' outputs first: at both ends hidden units
    are the last axis, which makes XLA's products for the weights' gradients faster on CPUs.
    """

    layers: tuple[Dense, ...]
    activation: Activation = eqx.field(static=True)

    def __init__(self, widths: tuple[int, ...], activation: Activation, *, key: Key[Array, ""]):
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = tuple(
            Dense(n_in, n_out, inputs_first=i == 0, key=key)
            for i, (n_in, n_out, key) in enumerate(zip(widths[:-1], widths[1:], keys, strict=True))
        )
        self.activation = activation

    def __call__(self, x: Float[Array, " input"]) -> Float[Array, " output"]:
        """Runs in the precision of the weights and returns float32."""
        x = x.astype(self.layers[0].weight.dtype)
        for i, layer in enumerate(self.layers):
            with jax.named_scope(f"dense{i}"):
                x = layer(x if i == 0 else ACTIVATIONS[self.activation](x))
        return x.astype(jnp.float32)


class DenseEncoder(eqx.Module):
    """q(z|x), all its parameters from one network's last layer: one matrix product, half the calls of two
    heads."""

    mlp: Any
    posterior: AbstractPosterior

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        hidden: tuple[int, ...],
        network: Callable[[tuple[int, ...]], Any],
    ):
        """``network`` makes the layers of these widths."""
        self.mlp = network((math.prod(image_shape), *hidden, posterior.outputs))
        self.posterior = posterior

    def __call__(self, x: Float[Array, "height width channel"]) -> AbstractDistribution:
        """The approximate posterior of one image."""
        return self.posterior(self.mlp(x.reshape(-1)))


class DenseDecoder(eqx.Module):
    """The likelihood's parameters, such as logits or means of pixels: the encoder's mirror image."""

    mlp: Any
    outputs_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        hidden: tuple[int, ...],
        network: Callable[[tuple[int, ...]], Any],
    ):
        """``network`` makes the layers of these widths; the last one's bias becomes ``output_bias``."""
        height, width, output = output_bias.shape
        self.outputs_shape = (height, width, output)
        mlp = network((latent_dim, *hidden[::-1], output_bias.size))
        self.mlp = eqx.tree_at(lambda m: m.layers[-1].bias, mlp, output_bias.reshape(-1))

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "height width output"]:
        return self.mlp(z).reshape(self.outputs_shape)


class MLPEncoder(DenseEncoder):
    """Of an ``MLP``."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        super().__init__(image_shape, posterior, hidden, lambda widths: MLP(widths, activation, key=key))


class MLPDecoder(DenseDecoder):
    """Of an ``MLP``."""

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        super().__init__(latent_dim, output_bias, hidden, lambda widths: MLP(widths, activation, key=key))
