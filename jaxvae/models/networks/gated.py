"""Which encoders and decoders have dense layers with gates?"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.networks.dense import Dense
from jaxvae.models.posteriors import AbstractPosterior


class GatedMLP(eqx.Module):
    """Layers ``(A x + a) * sigmoid(B x + b)`` (Dauphin et al. 2016, arXiv 1612.08083; of the VampPrior's
    experiments, arXiv 1705.07120), and an affine map at the end.

    Each layer is one affine map to twice its width: first A x + a, then B x + b.
    """

    layers: tuple[Dense, ...]

    def __init__(self, widths: tuple[int, ...], *, key: Key[Array, ""]):
        keys, last = jax.random.split(key, len(widths) - 1), len(widths) - 2
        self.layers = tuple(
            Dense(n_in, n_out if i == last else 2 * n_out, inputs_first=i == 0, key=key)
            for i, ((n_in, n_out), key) in enumerate(zip(itertools.pairwise(widths), keys, strict=True))
        )

    def __call__(self, x: Float[Array, " input"]) -> Float[Array, " output"]:
        """Runs in the precision of the weights and returns float32."""
        x = x.astype(self.layers[0].weight.dtype)
        for i, layer in enumerate(self.layers):
            with jax.named_scope(f"dense{i}"):
                if i > 0:
                    value, gate = jnp.split(x, 2)
                    x = value * jax.nn.sigmoid(gate)
                x = layer(x)
        return x.astype(jnp.float32)


class GatedMLPEncoder(eqx.Module):
    """q(z|x) as in ``MLPEncoder``, with gated layers."""

    mlp: GatedMLP
    posterior: AbstractPosterior

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        hidden: tuple[int, ...],
        *,
        key: Key[Array, ""],
    ):
        self.mlp = GatedMLP((math.prod(image_shape), *hidden, posterior.outputs), key=key)
        self.posterior = posterior

    def __call__(self, x: Float[Array, "height width channel"]) -> AbstractDistribution:
        """The approximate posterior of one image."""
        return self.posterior(self.mlp(x.reshape(-1)))


class GatedMLPDecoder(eqx.Module):
    """The likelihood's parameters: the mirror image of ``GatedMLPEncoder``."""

    mlp: GatedMLP
    outputs_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        hidden: tuple[int, ...],
        *,
        key: Key[Array, ""],
    ):
        height, width, output = output_bias.shape
        self.outputs_shape = (height, width, output)
        mlp = GatedMLP((latent_dim, *hidden[::-1], output_bias.size), key=key)
        self.mlp = eqx.tree_at(lambda m: m.layers[-1].bias, mlp, output_bias.reshape(-1))

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "height width output"]:
        return self.mlp(z).reshape(self.outputs_shape)
