"""Which encoders and decoders have dense layers with gates?"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models.networks.dense import Dense, DenseDecoder, DenseEncoder
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


class GatedMLPEncoder(DenseEncoder):
    """Of a ``GatedMLP``."""

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        hidden: tuple[int, ...],
        *,
        key: Key[Array, ""],
    ):
        super().__init__(image_shape, posterior, hidden, lambda widths: GatedMLP(widths, key=key))


class GatedMLPDecoder(DenseDecoder):
    """Of a ``GatedMLP``."""

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        hidden: tuple[int, ...],
        *,
        key: Key[Array, ""],
    ):
        super().__init__(latent_dim, output_bias, hidden, lambda widths: GatedMLP(widths, key=key))
