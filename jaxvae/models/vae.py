"""What is the model?

``AbstractVAE`` is all that the rest of the package asks of one. ``VAE`` has one level of latents:
``p(z)`` from the prior, ``p(x|z)`` from the decoder, ``q(z|x)`` from the encoder (Kingma and Welling 2013,
arXiv 1312.6114). Every method acts on one image, and says what is wrong with anything else
(``input_checks``).
"""

import abc
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
from equinox import AbstractVar
from jaxtyping import Array, Float, Key

from jaxvae.config.pixels import Pixels
from jaxvae.errors import UserError
from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.draws import Draw, LatentRates, Posterior
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.priors import AbstractPrior, KnownPrior, StandardNormalPrior
from jaxvae.models.rates import rate, rate_of_each_latent, rate_of_each_marginal
from jaxvae.models.stock_modules import adopt


def unchanged(tree: Any) -> Any:
    """The same, gradients included."""
    return tree


def constant(tree: Any) -> Any:
    """The same, of which no array gets a gradient."""
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, tree)


class GradientRoutes(NamedTuple):
    """Which ways the gradient of a draw's densities may take: functions that change no value, such as
    ``constant``. As they are, all ways are open."""

    latents: Callable[[Any], Any] = unchanged
    """Of the latents, as every density takes them. Latents that are drawn given others are drawn given those
    without it."""
    posterior: Callable[[Any], Any] = unchanged
    """Of the parameters of log q(z|x), which are weights and what ``encode`` gave: where its density is
    computed, not where latents are drawn. Between two levels it is of the weights, and not of the mean and
    scale that they give: those depend on the latents above."""
    generative: Callable[[Any], Any] = unchanged
    """Of the parameters of p(x, z): the weights of prior, decoder and likelihood."""


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

    def routed_draw(self, encoded: Any, *, key: Key[Array, ""], routes: GradientRoutes) -> Draw:
        """The same as ``draw``, but its gradient takes these routes alone: for STL, DReG and PIWAE."""
        raise UserError(
            f"this objective cannot work: {type(self).__name__} does not say how its gradients are kept to "
            "some routes (routed_draw)"
        )

    def latent_rates(self, encoded: Any, *, key: Key[Array, ""]) -> LatentRates:
        """The rate of each latent, of all levels one after the other, for reports."""
        return LatentRates(self.draw(encoded, key=key).latent_rates)

    def log_posterior(self, encoded: Any, latents: Any) -> Float[Array, ""]:
        """log q(z|x) of latents that ``draw`` gave, for this or another image, in nats; without what does not
        depend on the image, such as the density of upper levels given the lowest."""
        raise UserError(f"{type(self).__name__} does not say log q(z|x) of given latents (log_posterior)")

    def at(self, encoded: Any, latents: Any) -> Draw:
        """What any latents say about the image of ``encode(x)``: the ``Draw`` that has these, differentiable
        in them. For annealing and HMC."""
        raise UserError(f"{type(self).__name__} does not say the densities of given latents (at)")

    def prior_draw(
        self, *, key: Key[Array, ""], temperature: float = 1.0
    ) -> tuple[Any, AbstractDistribution]:
        """Latents from the prior and p(x|z) given them: those of ``generate`` with the same key."""
        raise UserError(f"{type(self).__name__} does not say which latents an image is made of (prior_draw)")

    @abc.abstractmethod
    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0) -> AbstractDistribution:
        """p(x|z) of a new image: its latents are a draw from the prior, the scales times ``temperature``
        (``tempered_sample``)."""

    @abc.abstractmethod
    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The image that its latents stand for, without noise."""

    def precomputed(self) -> "AbstractVAE":
        """The same model, in which what depends on the weights alone is computed already: to be called once,
        outside of loops over images and draws."""
        return self

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
        return self._drawn(encoded, z, log_posterior)

    def routed_draw(self, encoded: Any, *, key: Key[Array, ""], routes: GradientRoutes) -> Draw:
        if type(self).draw is not VAE.draw:
            # A subclass that draws in another way: this would not be its draw.
            return super().routed_draw(encoded, key=key, routes=routes)
        with jax.named_scope("noise"):
            z, log_posterior = encoded.sample_and_log_prob(key)
            if (routes.latents, routes.posterior) != (unchanged, unchanged):
                z = routes.latents(z)
                log_posterior = routes.posterior(encoded).log_prob(z)
        return routes.generative(self)._drawn(encoded, z, log_posterior)

    def _drawn(self, encoded: Any, z: Float[Array, " latent"], log_posterior: Float[Array, ""]) -> Draw:
        """What latents say about the image, given log q(z|x)."""
        with jax.named_scope("decoder"):
            likelihood = self.decode(z)
        with jax.named_scope("rate"):
            prior = self.prior(self.encoder)
            log_prior = prior.log_prob(z)
            rates = rate(encoded, prior, log_posterior, log_prior)[None]
        of_each = rate_of_each_latent(encoded, prior)
        return Draw(z, log_prior, log_posterior, rates, likelihood, latent_statistics(encoded, z), of_each)

    def latent_rates(self, encoded: Any, *, key: Key[Array, ""]) -> LatentRates:
        if type(self).draw is not VAE.draw:
            return super().latent_rates(encoded, key=key)
        prior = self.prior(self.encoder)
        if (each := rate_of_each_latent(encoded, prior)) is not None:
            return LatentRates(each)
        marginal = rate_of_each_marginal(encoded, prior)
        return LatentRates(marginal, "marginal")

    def log_posterior(self, encoded: Any, latents: Any) -> Float[Array, ""]:
        return encoded.log_prob(latents)

    def at(self, encoded: Any, latents: Float[Array, " latent"]) -> Draw:
        """A flow's log q(z|x) takes ``latent`` passes of its networks."""
        if type(self).draw is not VAE.draw:
            return super().at(encoded, latents)
        return self._drawn(encoded, latents, encoded.log_prob(latents))

    def prior_draw(self, *, key: Key[Array, ""], temperature: float = 1.0) -> tuple[Any, Any]:
        prior = self.prior(self.encoder)
        z = prior.sample(key) if temperature == 1.0 else prior.tempered_sample(key, temperature)
        return z, self.decode(z)

    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0) -> Any:
        return self.prior_draw(key=key, temperature=temperature)[1]

    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The mean of p(x|z) at z = the mean of q(z|x), or what q(z|x) has in its place (``noiseless``).
        Takes what ``encode`` does."""
        return self.decode(self._posterior(x, "reconstruct").noiseless).mean

    def precomputed(self) -> "VAE":
        """With the prior's distribution, such as a VampPrior's components."""
        return with_known_prior(self, self.prior(self.encoder))

    def in_precision(self, precision: str) -> "VAE":
        """With the encoder and the decoder in ``precision``."""
        if precision == "float32":
            return self
        return cast(self, lambda m: (m.encoder, m.decoder), precision)

    def summary(self) -> dict[str, float]:
        return self.likelihood.summary()

    def _posterior(self, x: ArrayLike, method: str) -> Any:
        return self.encoder(input_checks.image(x, self.image_shape, method, self.likelihood.beyond))


def latent_statistics(posterior: Any, z: Float[Array, " latent"]) -> Posterior:
    """Mean and log-scale where the posterior has them, one a latent; the draw itself in place of the mean."""
    mean: Any = getattr(posterior, "mean", None)
    log_scale: Any = getattr(posterior, "log_scale", None)
    has_mean, has_scale = (eqx.is_array(value) and value.shape == z.shape for value in (mean, log_scale))
    return Posterior(mean if has_mean else z, log_scale if has_scale else None)


def with_known_prior(model: Any, distribution: AbstractDistribution) -> Any:
    """The model with this distribution in place of its ``prior``, which need not be computed again."""
    known = KnownPrior(distribution)
    return eqx.tree_at(lambda m: m.prior, model, known, is_leaf=lambda part: part is model.prior)


def cast(model: Any, networks: Callable[[Any], tuple], precision: str) -> Any:
    """The model with the floating-point weights of these parts of it in ``precision``."""
    low = jax.tree.map(lambda w: w.astype(precision) if eqx.is_inexact_array(w) else w, networks(model))
    return eqx.tree_at(networks, model, low)
