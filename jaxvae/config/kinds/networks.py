"""Which networks are there for the encoder and the decoder, and what can be set of each?"""

from typing import Any, ClassVar, Literal, NamedTuple

from jaxvae.config.kinds.kind import Kind, Needs
from jaxvae.config.ranges import MOST_LAYERS, Channels, Count, Rise, Whole, Widths

__all__ = ["MLP", "Architecture", "Conv", "GatedMLP", "Ladder", "Network", "ResNet", "TwoLayers"]

Activation = Literal["relu", "gelu", "silu", "tanh", "elu"]


class Architecture(Kind):
    """What the encoder and the decoder are made of. A kind is a ``Network``, or ``builds`` a whole
    ``AbstractVAE``."""

    own_densities: ClassVar[bool] = False
    """Whether it has a q(z|x) and a p(z) of its own, in place of ``model.posterior`` and ``model.prior``."""
    any_size: ClassVar[bool] = True
    """Whether one configuration of it takes images of any size."""

    def latents(self, latent_dim: int) -> int:
        """How many latents there are, given ``model.latent_dim``; maps of latents count as one each."""
        return latent_dim


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

    def latents(self, latent_dim: int) -> int:
        return latent_dim + self.lower_latents


class GroupsOfSize(NamedTuple):
    """Groups of latents that follow each other on maps of one size."""

    side: int
    """Pixels along the longer side of the maps."""
    groups: int
    """How many."""


class Ladder(Architecture):
    """Groups of latents on maps, from coarse to fine, each given all above it; residual convolutions."""

    kind = "ladder"
    builds = "jaxvae.models.ladder.model:LadderVAE"
    own_densities = True
    any_size = False
    groups: str = "7x2 14x2"
    """Groups of latents, SIDExCOUNT for each size of map, in any order: "7x2 14x2" is two groups on maps of
    7x7 and below them two of 14x14, with model.latent_dim latents at each position. A side is the image's
    own, or what halving it once or more gives, rounded up: 28, 14, 7, 4, 2, 1 of 28. It is the longer one."""
    channels: Count = 32
    """Channels of the feature maps."""
    blocks: Whole = 2
    """Residual blocks of the encoder for each size of map."""
    bottleneck: Rise = 0.5
    """Channels inside of a residual block, as a share of ``channels``."""
    activation: Activation = "silu"
    """Non-linearity before each convolution."""
    aggregate: bool = False
    """Whether the image is made of the sum of all groups' latents alone, which keeps every group in use."""
    rematerialise: bool = False
    """Whether what is inside of residual blocks is computed again for the gradient and not kept: less memory,
    more time, the same training to rounding."""

    def sizes(self) -> tuple[GroupsOfSize, ...]:
        """What ``groups`` says, from coarse to fine. Raises ValueError if it says nothing that can be."""
        found: dict[int, int] = {}
        for word in self.groups.split():
            side, by, count = word.partition("x")
            if not (by and side.isdecimal() and count.isdecimal()):
                raise ValueError(f"{word} is not SIDExCOUNT, such as 7x2")
            if int(side) < 1 or int(count) < 1:
                raise ValueError(f"{word} has a {'side' if int(side) < 1 else 'count'} below 1")
            if int(side) in found:
                both = found[int(side)] + int(count)
                raise ValueError(f"side {int(side)} stands twice; {int(side)}x{both} is all of its groups")
            found[int(side)] = int(count)
        if (total := sum(found.values())) > MOST_LAYERS:
            raise ValueError(f"these are {total} groups, and there may be {MOST_LAYERS}")
        return tuple(GroupsOfSize(side, found[side]) for side in sorted(found))

    def refused(self) -> dict[str, str]:
        try:
            self.sizes()
        except ValueError as error:
            return {"groups": str(error)}
        return {}

    def latents(self, latent_dim: int) -> int:
        return latent_dim * sum(size.groups for size in self.sizes())
