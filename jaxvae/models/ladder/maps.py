"""Which networks go from an image to feature maps of several sizes, and from such a map to an image?

A side of n pixels is halved to ``ceil(n / 2)``: where it is odd, its last row is repeated before a mean, and
zeros follow it before a convolution. What doubles it cuts that off again.
"""

import itertools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.models.convolution import double, halve, same
from jaxvae.models.networks.convolutional import Convolution
from jaxvae.models.networks.dense import ACTIVATIONS

LEAST_SIDE = 3
"""On maps with a smaller side than this, 3x3 kernels would see little but zeros: 1x1 kernels replace them, as
in VDVAE (Child 2021, arXiv 2011.10650)."""

Map = Float[Array, "_ _ _"]
"""Height x width x channel."""
Size = tuple[int, int]
"""Height and width of a map."""


def sizes_of(image_shape: tuple[int, int, int]) -> tuple[Size, ...]:
    """Sizes of maps, from an image's own down to 1x1, each half of the one before."""
    height, width, _ = image_shape
    sizes = [(height, width)]
    while sizes[-1] != (1, 1):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return tuple(sizes)


def halved(x: Map) -> Map:
    """The mean of each 2x2 pixels."""
    height, width, channel = x.shape
    x = jnp.pad(x, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return x.reshape(-(-height // 2), 2, -(-width // 2), 2, channel).mean((1, 3))


def enlarged(x: Map, sizes: tuple[Size, ...]) -> Map:
    """The map with each pixel repeated 2x2, cut to the first of the sizes, then to the next."""
    for height, width in sizes:
        x = jnp.repeat(jnp.repeat(x, 2, 0), 2, 1)[:height, :width]
    return x


class Bottleneck(eqx.Module):
    """Convolutions 1x1, 3x3, 3x3, 1x1 with the activation before each: f(x) of a residual block x + f(x) (as
    in VDVAE, Child 2021, arXiv 2011.10650), or the parameters of a density.

    Kernels are Glorot-uniform, the last times ``last_scale``; biases are zero.
    """

    kernels: tuple[Float[Array, "..."], ...]
    """Those of 1x1 are matrices from inner to outer channels, those of 3x3 as ``convolution.same`` takes."""
    biases: tuple[Float[Array, " channel"], ...]
    activation: Activation = eqx.field(static=True)
    rematerialise: bool = eqx.field(static=True)
    """Whether what is inside is computed again for the gradient, and not kept."""

    def __init__(
        self,
        widths: tuple[int, int, int],
        size: Size,
        activation: Activation,
        last_scale: float,
        *,
        rematerialise: bool,
        key: Key[Array, ""],
    ):
        """``widths``: channels of the input, inside, and of the output; ``size``: that of the map."""
        inner, middle, outer = widths
        steps, keys = (inner, middle, middle, middle, outer), jax.random.split(key, 4)
        kernels = [
            glorot(key, n_in, n_out, 3 if i in (1, 2) and min(size) >= LEAST_SIDE else 1)
            for i, ((n_in, n_out), key) in enumerate(zip(itertools.pairwise(steps), keys, strict=True))
        ]
        self.kernels = (*kernels[:-1], last_scale * kernels[-1])
        self.biases = tuple(jnp.zeros(n_out, jnp.float32) for n_out in steps[1:])
        self.activation, self.rematerialise = activation, rematerialise

    def __call__(self, x: Map) -> Map:
        def all_four(layers: tuple[Any, Any], x: Map) -> Map:
            for kernel, bias in zip(*layers, strict=True):
                x = convolved(ACTIVATIONS[self.activation](x), kernel, bias)
            return x

        compute = jax.checkpoint(all_four) if self.rematerialise else all_four
        return compute((self.kernels, self.biases), x)


class MapEncoder(eqx.Module):
    """An image to feature maps of several sizes, the largest first: convolutions of stride 2 to the largest
    (or one of 3x3 where that has the image's size), then residual blocks, and means of 2x2 pixels between
    sizes. The blocks' last kernels begin times ``1 / sqrt(number of blocks)``."""

    stem: tuple[Convolution, ...]
    first: Float[Array, "3 3 inner outer"] | None
    """In place of the stem, for maps of the image's size."""
    first_bias: Float[Array, " outer"] | None
    blocks: tuple[tuple[Bottleneck, ...], ...]
    """Those of each size."""
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        image_channels: int,
        halvings: int,
        sizes: tuple[Size, ...],
        channels: int,
        middle: int,
        blocks: int,
        activation: Activation,
        *,
        rematerialise: bool,
        key: Key[Array, ""],
    ):
        """``halvings`` of an image give the first of ``sizes``; ``middle``: channels inside of a block."""
        key_stem, key_blocks = jax.random.split(key)
        self.activation, self.first, self.first_bias = activation, None, None
        ends = (image_channels, *(channels,) * halvings)
        self.stem = tuple(
            Convolution(inner, outer, doubles=False, key=jax.random.fold_in(key_stem, i))
            for i, (inner, outer) in enumerate(itertools.pairwise(ends))
        )
        if halvings == 0:
            self.first = glorot(key_stem, image_channels, channels, 3)
            self.first_bias = jnp.zeros(channels, jnp.float32)
        scale = 1 / math.sqrt(max(1, blocks * len(sizes)))
        self.blocks = tuple(
            tuple(
                Bottleneck(
                    (channels, middle, channels),
                    size,
                    activation,
                    scale,
                    rematerialise=rematerialise,
                    key=jax.random.fold_in(key_blocks, i * blocks + j),
                )
                for j in range(blocks)
            )
            for i, size in enumerate(sizes)
        )

    def __call__(self, x: Float[Array, "height width channel"]) -> tuple[Map, ...]:
        if self.first is not None:
            x = convolved(x.astype(self.first.dtype), self.first, self.first_bias)
        for i, convolution in enumerate(self.stem):
            x = x.astype(convolution.kernel.dtype) if i == 0 else ACTIVATIONS[self.activation](x)
            height, width, _ = x.shape
            x = halve(jnp.pad(x, ((0, height % 2), (0, width % 2), (0, 0))), convolution.kernel)
            x = x + jnp.broadcast_to(convolution.bias, x.shape)
        found: list[Map] = []
        for blocks in self.blocks:
            x = halved(found[-1]) if found else x
            for block in blocks:
                x = x + block(x)
            found.append(x)
        return tuple(found)


class MapDecoder(eqx.Module):
    """A feature map to the likelihood's parameters, such as logits or means of pixels: the mirror image of
    the encoder's stem. Every pixel has its own output bias."""

    convolutions: tuple[Convolution, ...]
    """The last has a bias for each pixel."""
    last: Float[Array, "3 3 inner outer"] | None
    """In place of these, from a map of the image's size."""
    last_bias: Float[Array, "height width output"] | None
    sizes: tuple[Size, ...] = eqx.field(static=True)
    """Those that the convolutions give."""
    activation: Activation = eqx.field(static=True)

    def __init__(
        self,
        sizes: tuple[Size, ...],
        channels: int,
        output_bias: Float[Array, "height width output"],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        """``sizes``: those that are passed on the way from the map to the image, the map's own left out."""
        self.sizes, self.activation, self.last, self.last_bias = sizes, activation, None, None
        output = output_bias.shape[-1]
        ends = (*(channels,) * len(sizes), output)
        self.convolutions = tuple(
            Convolution(outer, inner, doubles=True, key=jax.random.fold_in(key, i))
            for i, (inner, outer) in enumerate(itertools.pairwise(ends))
        )
        if sizes:
            self.convolutions = eqx.tree_at(lambda layers: layers[-1].bias, self.convolutions, output_bias)
        else:
            self.last, self.last_bias = glorot(key, channels, output, 3), output_bias

    def __call__(self, x: Map) -> Float[Array, "height width output"]:
        if self.last is not None and self.last_bias is not None:
            return (same(x.astype(self.last.dtype), self.last) + self.last_bias).astype(jnp.float32)
        for i, (convolution, (height, width)) in enumerate(zip(self.convolutions, self.sizes, strict=True)):
            x = x.astype(convolution.kernel.dtype) if i == 0 else ACTIVATIONS[self.activation](x)
            x = double(x, convolution.kernel)[:height, :width]
            x = x + jnp.broadcast_to(convolution.bias, x.shape)
        return x.astype(jnp.float32)


def convolved(x: Map, kernel: Array, bias: Float[Array, " outer"] | None) -> Map:
    """The map under a 1x1 or a 3x3 kernel, and the bias everywhere."""
    x = x @ kernel if kernel.ndim == 2 else same(x, kernel)
    return x if bias is None else x + jnp.broadcast_to(bias, x.shape)


def glorot(key: Key[Array, ""], inner: int, outer: int, size: int) -> Array:
    """A kernel of ``size`` x ``size`` pixels, Glorot-uniform; a matrix where that is one pixel."""
    bound = math.sqrt(6 / (size**2 * (inner + outer)))
    shape = (inner, outer) if size == 1 else (size, size, inner, outer)
    return jax.random.uniform(key, shape, jnp.float32, minval=-bound, maxval=bound)
