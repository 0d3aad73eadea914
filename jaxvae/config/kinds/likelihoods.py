"""Which likelihoods p(x|z) are there, and what can be set of each?"""

from typing import ClassVar, Literal

from jaxvae.config.kinds.kind import Kind, Needs
from jaxvae.config.pixels import Pixels
from jaxvae.config.ranges import Components, Scale

__all__ = [
    "Bernoulli",
    "Categorical",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "Gaussian",
    "Likelihood",
    "LogisticMixture",
]

Per = Literal["image", "channel", "pixel"]
"""What has a scale of its own: nothing, so that there is one number; each channel; or each pixel of each
image."""


class Likelihood(Kind):
    """p(x|z): what the decoder's outputs say of an image."""

    pixels: ClassVar[Pixels] = "real"
    """Which pixels it gives a probability or a density of. The ``support`` of what it builds."""


class Bernoulli(Likelihood):
    """Independent pixels that are 0 or 1 (needs binarised pixels)."""

    kind = "bernoulli"
    builds = "jaxvae.models.likelihoods.bernoulli:BernoulliLikelihood"
    pixels = "binary"


class Gaussian(Likelihood):
    """N(G(z), sigma^2 I), the decoder's G(z) the mean of each pixel."""

    kind = "gaussian"
    builds = "jaxvae.models.likelihoods.gaussian:GaussianLikelihood"
    sigma: Scale = 1.0
    """Standard deviation of a pixel; where it starts if it is learned."""
    learn_sigma: bool = False
    """Learn sigma; see sigma_per."""
    sigma_per: Per = "image"
    """Of a learned sigma. image: one number for all pixels of all images. channel: one for each channel.
    pixel: one for each pixel of each image, from the decoder."""

    def unused(self) -> dict[str, Needs]:
        return {} if self.learn_sigma else {"sigma_per": Needs(("learn_sigma",), "learn_sigma True")}


class ContinuousBernoulli(Likelihood):
    """A density of pixels from 0 to 1, log-linear in each; the decoder gives its slope."""

    kind = "continuous_bernoulli"
    builds = "jaxvae.models.likelihoods.continuous_bernoulli:ContinuousBernoulliLikelihood"
    pixels = "unit"


class DiscretizedLogistic(Likelihood):
    """256 levels: the mass of a logistic distribution in each (needs 8-bit pixels as they are)."""

    kind = "discretized_logistic"
    builds = "jaxvae.models.likelihoods.logistic:DiscretizedLogisticLikelihood"
    pixels = "levels"
    scale_per: Per = "pixel"
    """Its learned scale. image: one number for all pixels of all images. channel: one for each channel.
    pixel: one for each pixel of each image, from the decoder."""


class LogisticMixture(Likelihood):
    """256 levels: a mixture of discretised logistics; in colour, channels depend on those before them."""

    kind = "logistic_mixture"
    builds = "jaxvae.models.likelihoods.logistic:LogisticMixtureLikelihood"
    pixels = "levels"
    components: Components = 10
    """Logistics in the mixture of each pixel; the decoder gives 3 numbers for each (10 in RGB)."""


class Categorical(Likelihood):
    """256 levels, each with a probability of its own; the decoder gives 256 logits for each channel."""

    kind = "categorical"
    builds = "jaxvae.models.likelihoods.categorical:CategoricalLikelihood"
    pixels = "levels"
