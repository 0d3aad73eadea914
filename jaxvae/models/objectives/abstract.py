"""What is an objective? What training minimises, made of the terms of each image."""

import abc
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Float, Int, Key

from jaxvae.models.vae import AbstractVAE


class Terms(NamedTuple):
    """The two parts of the evidence lower bound of an image, of several, or their means."""

    rates: Float[Array, "*image level"]
    """KL[q(z|x) || p(z)] of each level of latents."""
    distortion: Float[Array, "*image"]
    """-E_q[log p(x|z)], estimated."""
    latent_rates: Float[Array, "*image latent"] | None = None
    """The rate of each latent, in closed form; None where there is none, or nobody asks."""
    bound: Float[Array, "*image"] | None = None
    """What is maximised of the image, where that is no sum of the other terms."""

    @property
    def rate(self) -> Any:
        """The sum over the levels, of JAX's arrays or of NumPy's."""
        return self.rates.sum(-1)

    @property
    def elbo(self) -> Float[Array, "*image"]:
        """``-(distortion + rate)``, a lower bound on log p(x); higher is better."""
        return -(self.distortion + self.rate)


class AbstractObjective(eqx.Module):
    """What training minimises. It has no weights of its own."""

    is_mean: ClassVar[bool] = True
    """Whether ``batch`` is a mean over examples; only then can ``train.reduction`` fixed cut the batch. A
    property where it depends on fields."""

    @abc.abstractmethod
    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        """The terms of one image."""

    @abc.abstractmethod
    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        """The loss of one device's share of a batch at step t (the first is 0), from the terms of its images.
        Losses and gradients are then averaged over the devices, which are the mapped axis ``axis_name``."""
