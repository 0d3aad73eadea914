"""What is a model with two layers of latents?

``p(x, h1, h2) = p(h2) p(h1|h2) p(x|h1)`` and ``q(h1, h2|x) = q(h1|x) q(h2|h1)``: the second network of Burda
et al. 2015 (arXiv 1509.00519, section 5.1).
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation
from jaxvae.config.pixels import Pixels
from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.networks import MLPDecoder, MLPEncoder
from jaxvae.models.posteriors import AbstractPosterior, DiagonalPosterior
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.rates import rate, rate_of_each_latent, ratio_of_each_latent
from jaxvae.models.vae import (
    AbstractVAE,
    Draw,
    GradientRoutes,
    LatentRates,
    cast,
    latent_statistics,
    with_known_prior,
)


class TwoLayerVAE(AbstractVAE):
    """Two layers of latents, h1 below h2. Rates are those of h1, then of h2, both given the draw of h1."""

    encoder: MLPEncoder
    """q(h1|x)."""
    upper_encoder: MLPEncoder
    """q(h2|h1)."""
    upper_decoder: MLPEncoder
    """p(h1|h2), a diagonal Gaussian."""
    decoder: MLPDecoder
    """From h1 to what the likelihood takes."""
    prior: AbstractPrior
    """p(h2)."""
    likelihood: AbstractLikelihood
    latent_dim: int = eqx.field(static=True)
    """Dimensions of h2."""
    lower_latents: int = eqx.field(static=True)
    """Dimensions of h1."""
    image_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        posterior_of: Callable[[int, Key[Array, ""]], AbstractPosterior],
        likelihood: AbstractLikelihood,
        prior: AbstractPrior,
        output_bias: Float[Array, "height width output"],
        *,
        lower_latents: int,
        hidden: tuple[int, ...],
        upper_hidden: tuple[int, ...],
        activation: Activation,
        key: Key[Array, ""],
    ):
        """``posterior_of(latents, key)`` makes the posterior of a layer. ``hidden`` are the widths between x
        and h1, ``upper_hidden`` between h1 and h2, from below; the generative networks mirror them."""
        keys = jax.random.split(key, 6)
        below, above = posterior_of(lower_latents, keys[0]), posterior_of(latent_dim, keys[1])
        self.encoder = MLPEncoder(image_shape, below, hidden, activation, key=keys[2])
        vector = (lower_latents, 1, 1)
        self.upper_encoder = MLPEncoder(vector, above, upper_hidden, activation, key=keys[3])
        conditional = DiagonalPosterior(lower_latents)
        vector = (latent_dim, 1, 1)
        self.upper_decoder = MLPEncoder(vector, conditional, upper_hidden[::-1], activation, key=keys[4])
        self.decoder = MLPDecoder(lower_latents, output_bias, hidden, activation, key=keys[5])
        self.prior, self.likelihood = prior, likelihood
        self.latent_dim, self.lower_latents, self.image_shape = latent_dim, lower_latents, image_shape

    @property
    def support(self) -> Pixels:
        return self.likelihood.support

    def encode(self, x: ArrayLike) -> Any:
        """q(h1|x) of an image: floats in [0, 1], height x width x channel."""
        return self._posterior(x, "encode")

    def decode(self, h1: ArrayLike) -> Any:
        """The likelihood p(x|h1) of an image given its lower latents."""
        return self.likelihood(self.decoder(input_checks.latents(h1, self.lower_latents, "decode")))

    def draw(self, encoded: Any, *, key: Key[Array, ""]) -> Draw:
        return self.routed_draw(encoded, key=key, routes=GradientRoutes())

    def routed_draw(self, encoded: Any, *, key: Key[Array, ""], routes: GradientRoutes) -> Draw:
        key_below, key_above = jax.random.fold_in(key, 0), jax.random.fold_in(key, 1)
        with jax.named_scope("noise"):
            h1, log_below = encoded.sample_and_log_prob(key_below)
            above = self.upper_encoder(_as_image(h1))
            h2, log_above = above.sample_and_log_prob(key_above)
            if routes != GradientRoutes():
                h1, h2 = routes.latents(h1), routes.latents(h2)
                log_below = routes.posterior(encoded).log_prob(h1)
                # Given the latents below, of the weights alone: see ``GradientRoutes.posterior``.
                above = routes.posterior(self.upper_encoder)(_as_image(h1))
                log_above = above.log_prob(h2)
        return routes.generative(self)._drawn(encoded, above, (h1, h2), (log_below, log_above))

    def at(self, encoded: Any, latents: tuple[Float[Array, " lower"], Float[Array, " latent"]]) -> Draw:
        h1, h2 = latents
        above = self.upper_encoder(_as_image(h1))
        return self._drawn(encoded, above, latents, (encoded.log_prob(h1), above.log_prob(h2)))

    def _drawn(self, encoded: Any, above: Any, latents: tuple, log_posteriors: tuple) -> Draw:
        """What latents h1 and h2 say about the image, given log q(h1|x) and log q(h2|h1)."""
        (h1, h2), (log_below, log_above) = latents, log_posteriors
        with jax.named_scope("decoder"):
            likelihood = self.decode(h1)
        with jax.named_scope("rate"):
            prior: AbstractDistribution = self.prior(self._top)
            between = self.upper_decoder(_as_image(h2))
            log_prior_above, log_prior_below = prior.log_prob(h2), between.log_prob(h1)
            # p(h1|h2) depends on h1 through h2, so that only the upper rate has a closed form, given h1.
            rates = jnp.stack([log_below - log_prior_below, rate(above, prior, log_above, log_prior_above)])
        lower, upper = latent_statistics(encoded, h1), latent_statistics(above, h2)
        return Draw(
            (h1, h2),
            log_prior_below + log_prior_above,
            log_below + log_above,
            rates,
            likelihood,
            lower.beside(upper),
        )

    def latent_rates(self, encoded: Any, *, key: Key[Array, ""]) -> LatentRates:
        """Of h1 ``log q(h1_i|x) - log p(h1_i|h2)`` of a draw; of h2 in closed form, given that draw."""
        h1 = encoded.sample(jax.random.fold_in(key, 0))
        above = self.upper_encoder(_as_image(h1))
        h2 = above.sample(jax.random.fold_in(key, 1))
        lower = ratio_of_each_latent(encoded, self.upper_decoder(_as_image(h2)), h1)
        upper = rate_of_each_latent(above, self.prior(self._top))
        if lower is None or upper is None:
            return LatentRates(None)
        return LatentRates(jnp.concatenate([lower, upper]), "draw")

    def log_posterior(self, encoded: Any, latents: Any) -> Float[Array, ""]:
        """log q(h1|x): h2 depends on the image through h1 alone."""
        return encoded.log_prob(latents[0])

    def prior_draw(self, *, key: Key[Array, ""], temperature: float = 1.0) -> tuple[Any, Any]:
        prior = self.prior(self._top)
        h2 = prior.tempered_sample(jax.random.fold_in(key, 1), temperature)
        between = self.upper_decoder(_as_image(h2))
        h1 = between.tempered_sample(jax.random.fold_in(key, 0), temperature)
        return (h1, h2), self.decode(h1)

    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0) -> Any:
        return self.prior_draw(key=key, temperature=temperature)[1]

    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The mean of p(x|h1) at h1 = the mean of q(h1|x), or what it has in its place (``noiseless``)."""
        return self.decode(self._posterior(x, "reconstruct").noiseless).mean

    def precomputed(self) -> "TwoLayerVAE":
        """With the prior's distribution, such as a VampPrior's components."""
        return with_known_prior(self, self.prior(self._top))

    def in_precision(self, precision: str) -> "TwoLayerVAE":
        """With all four networks in ``precision``."""
        if precision == "float32":
            return self
        return cast(self, lambda m: (m.encoder, m.upper_encoder, m.upper_decoder, m.decoder), precision)

    def summary(self) -> dict[str, float]:
        return self.likelihood.summary()

    def _top(self, x: Float[Array, "height width channel"]) -> AbstractDistribution:
        """q(h2|h1) at h1 = the mean of q(h1|x): what a VampPrior mixes."""
        return self.upper_encoder(_as_image(self.encoder(x).noiseless))

    def _posterior(self, x: ArrayLike, method: str) -> Any:
        return self.encoder(input_checks.image(x, self.image_shape, method, self.likelihood.beyond))


def _as_image(vector: Float[Array, " latent"]) -> Float[Array, "latent 1 1"]:
    return vector[:, None, None]
