"""What is the model?

``p(z) = N(0, I)``, ``p(x|z)`` from the decoder, ``q(z|x)`` from the encoder (Kingma and Welling 2013,
arXiv 1312.6114). Every method acts on one image, and says what is wrong with anything else (``arguments``).
"""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config import Model
from jaxvae.models import input_checks
from jaxvae.models.distributions import Bernoulli, Gaussian, bounded_log_scale, unbounded_log_scale
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from jaxvae.models.stock_modules import adopt


class BernoulliLikelihood(eqx.Module):
    """p(x|z): independent Bernoulli pixels; the decoder gives their logits."""

    @property
    def beyond(self) -> float:
        """How far the pixels of an image of its own may lie outside of [0, 1]."""
        return 0.0

    def __call__(self, logits: Float[Array, "height width channel"]) -> Bernoulli:
        return Bernoulli(logits)


class GaussianLikelihood(eqx.Module):
    """p(x|z) = N(G(z), sigma^2 I): the decoder gives the mean; sigma is one number for all pixels."""

    raw_log_sigma: Float[Array, ""]
    learned: bool = eqx.field(static=True)

    def __init__(self, sigma: float, learned: bool):
        self.raw_log_sigma = jnp.asarray(unbounded_log_scale(math.log(sigma)), jnp.float32)
        self.learned = learned

    @property
    def log_sigma(self) -> Float[Array, ""]:
        """Log of sigma, bounded; its gradient is zero unless sigma is learned."""
        raw = self.raw_log_sigma if self.learned else jax.lax.stop_gradient(self.raw_log_sigma)
        return bounded_log_scale(raw)

    @property
    def beyond(self) -> float:
        """How far the pixels of an image of its own may lie outside of [0, 1]: its mean knows no bounds."""
        return 0.5

    def __call__(self, mean: Float[Array, "height width channel"]) -> Gaussian:
        return Gaussian(mean, self.log_sigma)


class VAE(eqx.Module):
    """Encoder, decoder and likelihood. All its leaves are arrays, also where those of its parts are not."""

    encoder: Any = eqx.field(converter=adopt)
    """An image to q(z|x): any module that gives a ``Gaussian`` of ``latent_dim`` dimensions."""
    decoder: Any = eqx.field(converter=adopt)
    """Latents to what the likelihood takes: any module that gives an array of the image's shape."""
    likelihood: BernoulliLikelihood | GaussianLikelihood
    latent_dim: int = eqx.field(static=True)
    image_shape: tuple[int, int, int] = eqx.field(static=True)

    def encode(self, x: ArrayLike) -> Gaussian:
        """The approximate posterior q(z|x) of an image: floats in [0, 1], height x width x channel.

        Raises TypeError or ValueError, when it is traced, if ``x`` is no such image. Its values are looked at
        where they are known, so not in a compiled function; ``encoder`` itself takes any.
        """
        return self._posterior(x, "encode")

    def decode(self, z: ArrayLike) -> Bernoulli | Gaussian:
        """The likelihood p(x|z) of an image given its latents."""
        return self.likelihood(self.decoder(input_checks.latents(z, self.latent_dim, "decode")))

    def sample(self, key: Any) -> Float[Array, "height width channel"]:
        """A new image: the mean of p(x|z) for a draw z ~ N(0, I). ``key`` is one of ``jax.random.key``."""
        key = input_checks.one_key(key, "sample")
        return self.decode(jax.random.normal(key, (self.latent_dim,), jnp.float32)).mean

    def reconstruct(self, x: ArrayLike) -> Float[Array, "height width channel"]:
        """The mean of p(x|z) at z = the mean of q(z|x). Takes what ``encode`` does."""
        return self.decode(self._posterior(x, "reconstruct").mean).mean

    def _posterior(self, x: ArrayLike, method: str) -> Gaussian:
        return self.encoder(input_checks.image(x, self.image_shape, method, self.likelihood.beyond))


def build_vae(config: Model, pixel_mean: Float[Array, "height width channel"], *, key: Key[Array, ""]) -> VAE:
    """An untrained model for images of the shape of ``pixel_mean``, the training images' mean.

    The decoder's output bias starts at that mean (Gaussian) or at its logit (Bernoulli, clipped to
    [0.001, 0.999] as Burda et al. 2015, arXiv 1509.00519, do), so that the first score is nearly that of
    independent pixels: 206 nats on binarised MNIST.
    """
    key_encoder, key_decoder = jax.random.split(key)
    shape = (pixel_mean.shape[0], pixel_mean.shape[1], pixel_mean.shape[2])
    if config.likelihood == "bernoulli":
        likelihood = BernoulliLikelihood()
        output_bias = jax.scipy.special.logit(jnp.clip(pixel_mean, 1e-3, 1 - 1e-3))
    else:
        likelihood = GaussianLikelihood(config.sigma, config.learn_sigma)
        output_bias = pixel_mean
    sizes = (config.hidden, config.latent_dim, config.activation)
    mirrored = (config.hidden[::-1], config.latent_dim, config.activation)
    if config.architecture == "conv":
        encoder = ConvEncoder(shape, config.channels, *sizes, key=key_encoder)
        decoder = ConvDecoder(shape, config.channels[::-1], *mirrored, output_bias, key=key_decoder)
    else:
        encoder = MLPEncoder(shape, *sizes, key=key_encoder)
        decoder = MLPDecoder(shape, *mirrored, output_bias, key=key_decoder)
    return VAE(encoder, decoder, likelihood, config.latent_dim, shape)
