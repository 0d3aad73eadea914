"""Which network gives each latent numbers that depend on the latents before it, and on no others?"""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxvae.models.networks import Dense


class MaskedMLP(eqx.Module):
    """Two numbers for each latent, functions of a context and of the latents before it (MADE: Germain et al.
    2015, arXiv 1502.03509), with ELUs between its layers.

    Every unit has a degree: a context's is 0, latent i's is i, counted from 1, and those of a hidden layer go
    evenly from 0 to the last latent but one. A unit sees those of no higher degree, an output those of lower
    degree than its latent. The last layer starts at zero.
    """

    layers: tuple[Dense, ...]
    widths: tuple[int, ...] = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)

    def __init__(self, latent_dim: int, context: int, hidden: tuple[int, ...], *, key: Key[Array, ""]):
        self.widths, self.latent_dim = (context + latent_dim, *hidden, 2 * latent_dim), latent_dim
        keys = jax.random.split(key, len(self.widths) - 1)
        layers = [
            Dense(n_in, n_out, inputs_first=False, key=key)
            for n_in, n_out, key in zip(self.widths[:-1], self.widths[1:], keys, strict=True)
        ]
        layers[-1] = jax.tree.map(jnp.zeros_like, layers[-1])
        self.layers = tuple(layers)

    def __call__(
        self, context: Float[Array, " context"], z: Float[Array, " latent"]
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """Runs in the precision of the weights and returns float32."""
        x = jnp.concatenate([context, z]).astype(self.layers[0].weight.dtype)
        for i, (layer, mask) in enumerate(zip(self.layers, self._masks(), strict=True)):
            with jax.named_scope(f"masked{i}"):
                x = x if i == 0 else jax.nn.elu(x)
                x = (layer.weight * jnp.asarray(mask, layer.weight.dtype)) @ x + layer.bias
        first, second = jnp.split(x.astype(jnp.float32), 2)
        return first, second

    def _masks(self) -> list[np.ndarray]:
        """What each layer's weights are multiplied by, outputs first."""
        latents = np.arange(1, self.latent_dim + 1)
        context = np.zeros(self.widths[0] - self.latent_dim, int)
        hidden = [np.arange(width) * self.latent_dim // width for width in self.widths[1:-1]]
        degrees = [np.concatenate([context, latents]), *hidden]
        masks = [after[:, None] >= before for before, after in itertools.pairwise(degrees)]
        return [*masks, np.tile(latents, 2)[:, None] > degrees[-1]]
