"""Which encoders and decoders have residual blocks?

Blocks are pre-activated (He et al. 2016, arXiv 1603.05027): x + f(x), f two convolutions with the activation
before each. The second begins at zero, so that every block begins as its shortcut and depth costs no signal.
"""

import itertools
import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.models.convolution import double, halve, same
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.networks.convolutional import Convolution, halved_shapes
from jaxvae.models.networks.dense import ACTIVATIONS, MLP
from jaxvae.models.posteriors import AbstractPosterior

Size = Literal["same", "half", "double"]


class Block(eqx.Module):
    """One residual block, from an image to one of the same size, half or double it.

    The shortcut of half the size is the mean of 2x2 pixels, that of double the size repeats each pixel; where
    the number of channels differs, a linear map of them follows.
    """

    first: Float[Array, "*shape"]
    first_bias: Float[Array, " outer"]
    second: Float[Array, "3 3 outer outer"]
    second_bias: Float[Array, " outer"]
    shortcut: Float[Array, "inner outer"] | None
    activation: Activation = eqx.field(static=True)
    size: Size = eqx.field(static=True)

    def __init__(self, inner: int, outer: int, size: Size, activation: Activation, *, key: Key[Array, ""]):
        key_first, key_shortcut = jax.random.split(key)
        if size == "same":
            self.first = _glorot(key_first, (3, 3, inner, outer), 9 * inner, 9 * outer)
        else:
            larger, smaller = (inner, outer) if size == "half" else (outer, inner)
            convolution = Convolution(larger, smaller, doubles=size == "double", key=key_first)
            self.first = convolution.kernel
        self.second = jnp.zeros((3, 3, outer, outer), jnp.float32)
        self.first_bias = self.second_bias = jnp.zeros(outer, jnp.float32)
        self.shortcut = None if inner == outer else _glorot(key_shortcut, (inner, outer), inner, outer)
        self.activation, self.size = activation, size

    def __call__(
        self, x: Float[Array, "height width inner"], shape: tuple[int, int]
    ) -> Float[Array, "rows columns outer"]:
        """``shape`` is the height and width of the result. An odd side is made even by zeros at its end
        before it is halved, and they are cut off again where it was doubled."""
        activate = ACTIVATIONS[self.activation]
        short, long = x, activate(x)
        if self.size == "half":
            height, width, _ = x.shape
            pad = ((0, height % 2), (0, width % 2), (0, 0))
            short, long = jnp.pad(x, pad, mode="edge"), halve(jnp.pad(long, pad), self.first)
            rows, columns = short.shape[0] // 2, short.shape[1] // 2
            short = short.reshape(rows, 2, columns, 2, -1).mean((1, 3))
        elif self.size == "double":
            rows, columns = shape
            short = jnp.repeat(jnp.repeat(x, 2, 0), 2, 1)[:rows, :columns]
            long = double(long, self.first)[:rows, :columns]
        else:
            long = same(long, self.first)
        long = activate(long + _everywhere(self.first_bias, long))
        long = same(long, self.second)
        short = short if self.shortcut is None else short @ self.shortcut
        return short + long + _everywhere(self.second_bias, long)


class ResNetEncoder(eqx.Module):
    """q(z|x): in each stage a block that halves the image, then ``blocks`` of the same size; then dense
    layers. A side of n pixels becomes ``ceil(n / 2)``. Of the architecture of Kingma et al. 2016 (arXiv
    1606.04934, section 6.1), without weight normalisation."""

    blocks: tuple[Block, ...]
    mlp: MLP
    posterior: AbstractPosterior
    shapes: tuple[tuple[int, int, int], ...] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        channels: tuple[int, ...],
        blocks: int,
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        key_blocks, key_mlp = jax.random.split(key)
        self.shapes = halved_shapes(image_shape, channels)
        plan: list[tuple[int, int, Size]] = []
        for (_, _, inner), (_, _, outer) in itertools.pairwise(self.shapes):
            plan.append((inner, outer, "half"))
            plan.extend((outer, outer, "same") for _ in range(blocks))
        self.blocks = _blocks(plan, activation, key_blocks)
        self.mlp = MLP((math.prod(self.shapes[-1]), *hidden, posterior.outputs), activation, key=key_mlp)
        self.posterior = posterior

    def __call__(self, x: Float[Array, "height width channel"]) -> AbstractDistribution:
        """The approximate posterior of one image."""
        x, smaller = x.astype(self.blocks[0].first.dtype), iter(self.shapes[1:])
        for i, block in enumerate(self.blocks):
            with jax.named_scope(f"block{i}"):
                height, width, _ = next(smaller) if block.size == "half" else x.shape
                x = block(x, (height, width))
        x = ACTIVATIONS[self.mlp.activation](x)
        return self.posterior(self.mlp(x.reshape(-1)))


class ResNetDecoder(eqx.Module):
    """The likelihood's parameters: the mirror image of ``ResNetEncoder``, in each stage ``blocks`` of one
    size, then one that doubles it. The last is a convolution alone, with a bias for every pixel."""

    mlp: MLP
    blocks: tuple[Block, ...]
    last: Convolution
    shapes: tuple[tuple[int, int, int], ...] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        channels: tuple[int, ...],
        blocks: int,
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        key_blocks, key_mlp, key_last = jax.random.split(key, 3)
        height, width, output = output_bias.shape
        self.shapes = halved_shapes((height, width, output), channels)[::-1]
        plan: list[tuple[int, int, Size]] = []
        for (_, _, inner), (_, _, outer) in itertools.pairwise(self.shapes):
            plan.extend((inner, inner, "same") for _ in range(blocks))
            plan.append((inner, outer, "double"))
        # The last that doubles is ``last``.
        self.blocks = _blocks(plan[:-1], activation, key_blocks)
        self.mlp = MLP((latent_dim, *hidden[::-1], math.prod(self.shapes[0])), activation, key=key_mlp)
        last = Convolution(output, self.shapes[-2][-1], doubles=True, key=key_last)
        self.last = eqx.tree_at(lambda layer: layer.bias, last, output_bias)

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "height width output"]:
        activate, larger = ACTIVATIONS[self.mlp.activation], iter(self.shapes[1:])
        x = activate(self.mlp(z)).reshape(self.shapes[0]).astype(self.last.kernel.dtype)
        for i, block in enumerate(self.blocks):
            with jax.named_scope(f"block{i}"):
                height, width, _ = next(larger) if block.size == "double" else x.shape
                x = block(x, (height, width))
        with jax.named_scope("last"):
            height, width, _ = self.shapes[-1]
            x = double(activate(x), self.last.kernel)[:height, :width] + self.last.bias
        return x.astype(jnp.float32)


def _blocks(
    plan: list[tuple[int, int, Size]], activation: Activation, key: Key[Array, ""]
) -> tuple[Block, ...]:
    return tuple(
        Block(inner, outer, size, activation, key=jax.random.fold_in(key, i))
        for i, (inner, outer, size) in enumerate(plan)
    )


def _everywhere(bias: Float[Array, " channel"], image: Array) -> Array:
    return jnp.broadcast_to(bias, image.shape)


def _glorot(key: Key[Array, ""], shape: tuple[int, ...], n_in: int, n_out: int) -> Array:
    bound = math.sqrt(6 / (n_in + n_out))
    return jax.random.uniform(key, shape, jnp.float32, minval=-bound, maxval=bound)
