"""Which encoders and decoders have a convolution of stride 2 a layer, and dense layers below?"""

import itertools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.models.convolution import SIZE, double, halve
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.networks.dense import ACTIVATIONS, MLP
from jaxvae.models.posteriors import AbstractPosterior


class Convolution(eqx.Module):
    """A kernel and a bias for each channel of what it gives: ``halve`` of an image, or ``double``."""

    kernel: Float[Array, "outer 4 4 inner"] | Float[Array, "4 4 inner outer"]
    bias: Float[Array, "*shape"]
    """One for each channel; of the decoder's last layer, one for each pixel and channel."""

    def __init__(self, inner: int, outer: int, *, doubles: bool, key: Key[Array, ""]):
        """``inner`` channels on the larger image's side, ``outer`` on the smaller's; Glorot-uniform."""
        # Of a kernel's 16 pixels, 4 meet in one pixel of a doubled image, 16 in one of a halved image.
        bound = math.sqrt(6 / (SIZE**2 * inner + SIZE**2 // 4 * outer))
        shape = (SIZE, SIZE, inner, outer) if doubles else (outer, SIZE, SIZE, inner)
        self.kernel = jax.random.uniform(key, shape, jnp.float32, minval=-bound, maxval=bound)
        self.bias = jnp.zeros(inner if doubles else outer, jnp.float32)


class ConvEncoder(eqx.Module):
    """q(z|x) as in ``MLPEncoder``, from an image that each convolution has halved.

    An odd side gets a row of zeros at its end first: a side of n pixels becomes ``ceil(n / 2)``.
    """

    convolutions: tuple[Convolution, ...]
    mlp: MLP
    posterior: AbstractPosterior

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        posterior: AbstractPosterior,
        channels: tuple[int, ...],
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        *keys, key_mlp = jax.random.split(key, len(channels) + 1)
        shapes = halved_shapes(image_shape, channels)
        self.convolutions = tuple(
            Convolution(inner, outer, doubles=False, key=key)
            for ((_, _, inner), (_, _, outer)), key in zip(itertools.pairwise(shapes), keys, strict=True)
        )
        self.mlp = MLP((math.prod(shapes[-1]), *hidden, posterior.outputs), activation, key=key_mlp)
        self.posterior = posterior

    def __call__(self, x: Float[Array, "height width channel"]) -> AbstractDistribution:
        """The approximate posterior of one image."""
        x = x.astype(self.convolutions[0].kernel.dtype)
        for i, convolution in enumerate(self.convolutions):
            height, width, _ = x.shape
            with jax.named_scope(f"conv{i}"):
                x = jnp.pad(x, ((0, height % 2), (0, width % 2), (0, 0)))
                x = halve(x, convolution.kernel)
                x = ACTIVATIONS[self.mlp.activation](x + jnp.broadcast_to(convolution.bias, x.shape))
        return self.posterior(self.mlp(x.reshape(-1)))


class ConvDecoder(eqx.Module):
    """The likelihood's parameters, such as logits or means of pixels: the mirror image of ``ConvEncoder``.

    Every pixel has its own output bias, as in ``MLPDecoder``.
    """

    mlp: MLP
    convolutions: tuple[Convolution, ...]
    shapes: tuple[tuple[int, int, int], ...] = eqx.field(static=True)

    def __init__(
        self,
        latent_dim: int,
        output_bias: Float[Array, "height width output"],
        channels: tuple[int, ...],
        hidden: tuple[int, ...],
        activation: Activation,
        *,
        key: Key[Array, ""],
    ):
        *keys, key_mlp = jax.random.split(key, len(channels) + 1)
        height, width, output = output_bias.shape
        self.shapes = halved_shapes((height, width, output), channels)[::-1]
        self.mlp = MLP((latent_dim, *hidden[::-1], math.prod(self.shapes[0])), activation, key=key_mlp)
        self.convolutions = tuple(
            Convolution(larger[-1], smaller[-1], doubles=True, key=key)
            for (smaller, larger), key in zip(itertools.pairwise(self.shapes), keys, strict=True)
        )
        # The last convolution's bias is that of the pixels.
        self.convolutions = eqx.tree_at(lambda layers: layers[-1].bias, self.convolutions, output_bias)

    def __call__(self, z: Float[Array, " latent"]) -> Float[Array, "height width output"]:
        x = self.mlp(z).reshape(self.shapes[0])
        for i, (convolution, shape) in enumerate(zip(self.convolutions, self.shapes[1:], strict=True)):
            with jax.named_scope(f"conv{i}"):
                x = ACTIVATIONS[self.mlp.activation](x).astype(convolution.kernel.dtype)
                # An odd side was made even before it was halved; here its last row is cut off again.
                x = double(x, convolution.kernel)[: shape[0], : shape[1]]
                x = x + jnp.broadcast_to(convolution.bias, x.shape)
        return x.astype(jnp.float32)


def halved_shapes(
    image_shape: tuple[int, int, int], channels: tuple[int, ...]
) -> tuple[tuple[int, int, int], ...]:
    """Height, width and channels of an image, and of what each convolution makes of it."""
    shapes = [image_shape]
    for channel in channels:
        height, width, _ = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2), channel))
    return tuple(shapes)
