"""What is asked of every likelihood?"""

import abc
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float

from jaxvae.config.pixels import Pixels
from jaxvae.models.distributions import AbstractDistribution


class AbstractLikelihood(eqx.Module):
    """Which distribution of an image the decoder's outputs stand for."""

    support: ClassVar[Pixels]
    """Which pixels it gives a probability or a density of (``config.pixels``)."""

    @classmethod
    def build(cls, image_shape: tuple[int, int, int], **fields: Any) -> "AbstractLikelihood":
        """For images of this shape, with the ``fields`` of its kind."""
        return cls(**fields)

    @property
    def beyond(self) -> float:
        """How far pixels of an image that the model itself made may lie outside of [0, 1]."""
        return 0.0

    def initial_outputs(
        self, pixel_mean: Float[Array, "height width channel"]
    ) -> Float[Array, "height width output"]:
        """What the decoder should put out before it has learned anything: that of a distribution whose mean
        is that of the training images. Its shape is that of the decoder's outputs."""
        return pixel_mean

    @abc.abstractmethod
    def __call__(self, outputs: Float[Array, "height width output"]) -> AbstractDistribution:
        """The distribution of an image, given the decoder's outputs. It must have a ``mean``, in [0, 1]
        where it is to be shown."""

    def summary(self) -> dict[str, float]:
        """Numbers of its own to report with the test scores, by name; of a model that is on the host."""
        return {}
