"""Which networks are there for the encoder and the decoder, and what can be set of each?"""

from typing import Any, ClassVar, Literal

from jaxvae.config.kinds.kind import Kind, Needs
from jaxvae.config.ranges import Channels, Count, Whole, Widths

__all__ = ["MLP", "Architecture", "Conv", "GatedMLP", "Network", "ResNet", "TwoLayers"]

Activation = Literal["relu", "gelu", "silu", "tanh", "elu"]


class Architecture(Kind):
    """What the encoder and the decoder are made of. A kind is a ``Network``, or ``builds`` a whole
    ``AbstractVAE``."""


class Network(Architecture):
    """One encoder to one level of latents, and one decoder from it."""

    encoder: ClassVar[Any]
    """As ``builds``: it is made for the shape of an image and a posterior."""
    decoder: ClassVar[Any]
    """As ``builds``: it is made for the number of latents and the outputs that it begins with."""


class Dense(Network):
    """Networks with dense hidden layers."""

    hidden: Widths = (400, 400)
    """Widths of the encoder's dense hidden layers; the decoder mirrors them. mlp without any: both linear."""


class Layered(Dense):
    """Those whose layers have a non-linearity."""

    activation: Activation = "relu"
    """Non-linearity of the hidden layers."""


class MLP(Layered):
    """Dense layers alone."""

    kind = "mlp"
    encoder = "jaxvae.models.networks:MLPEncoder"
    decoder = "jaxvae.models.networks:MLPDecoder"

    def unused(self) -> dict[str, Needs]:
        return {} if self.hidden else {"activation": Needs(("hidden",), "hidden WIDTH")}


class GatedMLP(Dense):
    """Dense layers, each multiplied by a sigmoid of another one."""

    kind = "gated_mlp"
    encoder = "jaxvae.models.networks.gated:GatedMLPEncoder"
    decoder = "jaxvae.models.networks.gated:GatedMLPDecoder"


class Conv(Layered):
    """4x4 convolutions of stride 2 before the dense layers, in images of any size."""

    kind = "conv"
    encoder = "jaxvae.models.networks:ConvEncoder"
    decoder = "jaxvae.models.networks:ConvDecoder"
    channels: Channels = (32, 64)
    """Channels of the encoder's convolutions, each of which halves the image; the decoder mirrors them."""


class ResNet(Layered):
    """Residual blocks that halve the image, and others of the same size, before the dense layers."""

    kind = "resnet"
    encoder = "jaxvae.models.networks.residual:ResNetEncoder"
    decoder = "jaxvae.models.networks.residual:ResNetDecoder"
    channels: Channels = (16, 32, 32)
    """Channels of the encoder's stages, each of which halves the image; the decoder mirrors them."""
    blocks: Whole = 1
    """Blocks of the same size after each that halves the image."""


class TwoLayers(Architecture):
    """Two layers of latents, dense layers between: p(h2) p(h1|h2) p(x|h1), model.latent_dim is that of h2."""

    kind = "two_layers"
    builds = "jaxvae.models.two_layers:TwoLayerVAE"
    lower_latents: Count = 100
    """Dimensions of h1, the latents below."""
    hidden: Widths = (200, 200)
    """Widths of the dense layers from the image to h1; the decoder mirrors them."""
    upper_hidden: Widths = (100, 100)
    """Widths of the dense layers from h1 to h2; those from h2 to h1 mirror them."""
    activation: Activation = "tanh"
    """Non-linearity of the hidden layers."""
