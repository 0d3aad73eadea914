"""What is the model?

``AbstractVAE`` is all that the rest of the package asks of one. ``VAE`` has one level of latents:
``p(z)`` from the prior, ``p(x|z)`` from the decoder, ``q(z|x)`` from the encoder (Kingma and Welling 2013,
arXiv 1312.6114). Every method acts on one image, and says what is wrong with anything else
(``input_checks``).
"""

import abc
from typing import Any

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, Key

from jaxvae.config.pixels import Pixels
from jaxvae.errors import UserError
from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution, rate
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.priors import AbstractPrior, StandardNormalPrior
from jaxvae.models.stock_modules import adopt


class Posterior(eqx.Module):
    """What there is to know of q(z|x) beside a draw, for reports."""

    mean: Float[Array, " latent"]
    """Of all levels, one after the other."""
    log_scale: Float[Array, " latent"]


class Draw(eqx.Module):
    """One draw of every latent from q(z|x), and what it says about the image."""

    latents: Any
    log_prior: Float[Array, ""]
    """log p(z), in nats."""
    log_posterior: Float[Array, ""]
    """log q(z|x), in nats."""
    rates: Float[Array, " level"]
    """KL[q || p] of each level, in nats: in closed form where there is one, else of this draw."""
    likelihood: AbstractDistribution
    """p(x|z)."""
    posterior: Posterior | None
    """None where q(z|x) has no mean and scale of its own."""

    def log_weight(self, log_likelihood: Float[Array, ""]) -> Float[Array, ""]:
        """``log p(x|z) + log p(z) - log q(z|x)``, all that an importance-weighted bound needs."""
        return log_likelihood + self.log_prior - self.log_posterior


class AbstractVAE(eqx.Module):
    """A latent variable model of images with an approximate posterior."""

    image_shape: AbstractVar[tuple[int, int, int]]

    @property
    @abc.abstractmethod
    def support(self) -> Pixels:
        """Which pixels its likelihood gives a density of."""

    @abc.abstractmethod
    def encode(self, x: ArrayLike) -> Any:
        """What draws of an image need, computed once an image: floats, height x width x channel."""

    @abc.abstractmethod
    def draw(self, encoded: Any, *, key: Key[Array, ""]) -> Draw:
        """One draw from q(z|x), given ``encode(x)``; differentiable. Levels fold their keys from ``key``."""

    @abc.abstractmethod
    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0) -> AbstractDistribution:
        """p(x|z) of a new image: its latents are a draw from the prior, the scales times ``temperature``."""

    @abc.abstractmethod
    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The image that its latents stand for, without noise."""

    def sample(self, key: Any) -> Float[Array, "height width channel"]:
        """A new image: the mean of p(x|z) for a draw z ~ p(z). ``key`` is one of ``jax.random.key``."""
        image: Any = self.generate(key=input_checks.one_key(key, "sample"))
        return image.mean

    def in_precision(self, precision: str) -> "AbstractVAE":
        """The model with the parts in ``precision`` that may compute in it; likelihood, prior and sums stay
        float32."""
        if precision == "float32":
            return self
        raise UserError(
            f"--train.precision {precision} cannot work: {type(self).__name__} does not say which of its "
            "parts may compute in it (in_precision)"
        )

    def summary(self) -> dict[str, float]:
        """Numbers of its own to report with the test scores, by name; of a model that is on the host."""
        return {}


class VAE(AbstractVAE):
    """Encoder, decoder, likelihood and prior. All its leaves are arrays, also where those of its networks are
    not."""

    encoder: Any
    """An image to q(z|x): any module that gives a distribution with a ``sample(key)``."""
    decoder: Any
    """Latents to what the likelihood takes: any module that gives an array of the image's shape."""
    likelihood: AbstractLikelihood
    latent_dim: int = eqx.field(static=True)
    image_shape: tuple[int, int, int] = eqx.field(static=True)
    prior: AbstractPrior

    def __init__(
        self,
        encoder: Any,
        decoder: Any,
        likelihood: AbstractLikelihood,
        latent_dim: int,
        image_shape: tuple[int, int, int],
        prior: AbstractPrior | None = None,
    ):
        """Without a prior it is N(0, I)."""
        self.encoder, self.decoder, self.likelihood = adopt(encoder), adopt(decoder), likelihood
        self.latent_dim, self.image_shape = latent_dim, image_shape
        self.prior = StandardNormalPrior(latent_dim) if prior is None else prior

    @property
    def support(self) -> Pixels:
        return self.likelihood.support

    def encode(self, x: ArrayLike) -> Any:
        """The approximate posterior q(z|x) of an image: floats in [0, 1], height x width x channel.

        Raises TypeError or ValueError, when it is traced, if ``x`` is no such image. Its values are looked at
        where they are known, so not in a compiled function; ``encoder`` itself takes any.
        """
        return self._posterior(x, "encode")

    def decode(self, z: ArrayLike) -> Any:
        """The likelihood p(x|z) of an image given its latents."""
        return self.likelihood(self.decoder(input_checks.latents(z, self.latent_dim, "decode")))

    def draw(self, encoded: Any, *, key: Key[Array, ""]) -> Draw:
        # The scopes are the names that a profile knows the parts of a step by.
        with jax.named_scope("noise"):
            z, log_posterior = encoded.sample_and_log_prob(key)
        with jax.named_scope("decoder"):
            likelihood = self.decode(z)
        with jax.named_scope("rate"):
            prior = self.prior(self.encoder)
            rates = rate(encoded, prior, z)[None]
            log_prior = prior.log_prob(z)
        return Draw(z, log_prior, log_posterior, rates, likelihood, _statistics(encoded))

    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0) -> Any:
        z = self.prior(self.encoder).sample(key)
        return self.decode(z if temperature == 1.0 else temperature * z)

    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The mean of p(x|z) at z = the mean of q(z|x). Takes what ``encode`` does."""
        return self.decode(self._posterior(x, "reconstruct").mean).mean

    def in_precision(self, precision: str) -> "VAE":
        """With the encoder and the decoder in ``precision``."""
        if precision == "float32":
            return self
        networks = (self.encoder, self.decoder)
        low = jax.tree.map(lambda w: w.astype(precision) if eqx.is_inexact_array(w) else w, networks)
        return eqx.tree_at(lambda m: (m.encoder, m.decoder), self, low)

    def summary(self) -> dict[str, float]:
        return self.likelihood.summary()

    def _posterior(self, x: ArrayLike, method: str) -> Any:
        return self.encoder(input_checks.image(x, self.image_shape, method, self.likelihood.beyond))


def _statistics(posterior: Any) -> Posterior | None:
    """Mean and log-scale, if the posterior has both, one a latent."""
    mean: Any = getattr(posterior, "mean", None)
    log_scale: Any = getattr(posterior, "log_scale", None)
    if not eqx.is_array(mean) or not eqx.is_array(log_scale) or mean.shape != log_scale.shape:
        return None
    return Posterior(mean.reshape(-1), log_scale.reshape(-1))
