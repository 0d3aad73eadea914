"""Which functions are the encoder and the decoder?

Each acts on one image or one latent vector. ``jax.vmap`` is the caller's. An encoder is made for the shape of
an image and a posterior, whose outputs it gives; a decoder for a number of latents and the outputs that it
gives before it has learned anything, whose shape is that of all its outputs. The other arguments are the
fields of their kind, in the encoder's order.

- ``dense``: affine layers alone. ``gated``: the same with gates.
- ``convolutional``: one convolution of stride 2 a layer.
- ``residual``: residual blocks.
"""

from jaxvae.models.networks.convolutional import ConvDecoder, ConvEncoder, Convolution
from jaxvae.models.networks.dense import MLP, Dense, MLPDecoder, MLPEncoder
from jaxvae.models.networks.gated import GatedMLP, GatedMLPDecoder, GatedMLPEncoder
from jaxvae.models.networks.residual import ResNetDecoder, ResNetEncoder

__all__ = [
    "MLP",
    "ConvDecoder",
    "ConvEncoder",
    "Convolution",
    "Dense",
    "GatedMLP",
    "GatedMLPDecoder",
    "GatedMLPEncoder",
    "MLPDecoder",
    "MLPEncoder",
    "ResNetDecoder",
    "ResNetEncoder",
]
