"""A user's own experiment, as text: networks of stock Equinox, a likelihood, a prior and an objective."""

NETS = """
import equinox as eqx
import jax
import jax.numpy as jnp

from jaxvae.models.distributions import Gaussian, bounded_log_scale


class Encoder(eqx.Module):
    mlp: eqx.nn.MLP
    scale: float  # a leaf that is no array

    def __call__(self, x):
        mean, raw = jnp.split(self.mlp(self.scale * (x.reshape(-1) - 0.5)), 2)
        return Gaussian(mean, bounded_log_scale(raw))


class HeadedEncoder(eqx.Module):
    mlp: eqx.nn.MLP
    posterior: eqx.Module

    def __call__(self, x):
        return self.posterior(self.mlp(x.reshape(-1)))


class Decoder(eqx.Module):
    mlp: eqx.nn.MLP
    shape: tuple = eqx.field(static=True)

    def __call__(self, z):
        return self.mlp(z).reshape(self.shape)
"""

EXPERIMENT = """
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from nets import Decoder, Encoder

from jaxvae.config import Adam, Config, Data, Eval, Model, Train
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.objectives import AbstractObjective, elbo_terms
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.vae import VAE

config = Config(
    data=Data(name="digits.npz", binarization="none"),
    model=Model(latent_dim=3),
    optimizer=Adam(warmup_steps=0, learning_rate=0.01),
    train=Train(steps=40, batch_size=16, log_every=4, eval_every=20, checkpoint_every=4, steps_per_call=4),
    eval=Eval(importance_samples=4, interim_importance_samples=2, grid=2),
)


class Laplace(AbstractDistribution):
    mean: jax.Array
    log_scale: jax.Array

    def log_prob(self, x):
        return -jnp.sum(jnp.abs(x - self.mean) * jnp.exp(-self.log_scale) + self.log_scale + jnp.log(2.0))


class LaplaceLikelihood(AbstractLikelihood):
    support = "real"
    log_scale: jax.Array

    @property
    def beyond(self):
        return 0.5

    def __call__(self, outputs):
        return Laplace(outputs, jnp.broadcast_to(self.log_scale, outputs.shape))

    def summary(self):
        return {"scale": float(jnp.exp(self.log_scale))}


class ShiftedNormal(AbstractDistribution):
    center: jax.Array

    def sample(self, key):
        return self.center + jax.random.normal(key, self.center.shape)

    def log_prob(self, z):
        return -0.5 * jnp.sum((z - self.center) ** 2 + jnp.log(2 * jnp.pi))


class ShiftedPrior(AbstractPrior):
    center: jax.Array

    def __call__(self, encoder):
        return ShiftedNormal(self.center)


class HalfRate(AbstractObjective):
    def example(self, model, x, *, key):
        return elbo_terms(model, x, key)

    def batch(self, terms, step, axis_name):
        return jnp.mean(terms.distortion) + 0.5 * jnp.mean(terms.rate)


def build(config, pixel_mean, *, key):
    keys = jax.random.split(key)
    size, latent = pixel_mean.size, config.model.latent_dim
    encoder = Encoder(eqx.nn.MLP(size, 2 * latent, 8, 1, activation=jax.nn.gelu, key=keys[0]), 2.0)
    decoding = eqx.nn.MLP(latent, size, 8, 1, activation=lambda h: jnp.tanh(h), key=keys[1])
    decoder = Decoder(decoding, pixel_mean.shape)
    likelihood = LaplaceLikelihood(jnp.asarray(-1.0))
    prior = ShiftedPrior(jnp.full(latent, 0.1))
    return VAE(encoder, decoder, likelihood, latent, pixel_mean.shape, prior)


def objective(config):
    return HalfRate()


def optimizer(config):
    return optax.adabelief(1.0)
"""

KINDS = """
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from nets import Decoder, HeadedEncoder

from jaxvae import *
from jaxvae.config.ranges import Count, NotNegative
from jaxvae.models.distributions import Gaussian as GaussianDistribution
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.objectives import AbstractObjective, elbo_terms
from jaxvae.models.priors import AbstractPrior


class SharpLikelihood(AbstractLikelihood):
    support = "real"
    log_scale: float  # a leaf that is no array

    @property
    def beyond(self):
        return 0.5

    def __call__(self, outputs):
        return GaussianDistribution(outputs, jnp.asarray(self.log_scale))

    def summary(self):
        return {"scale": float(jnp.exp(self.log_scale))}


class Sharp(Likelihood):
    '''Gaussian pixels of a scale that is given by its log.'''

    kind = "sharp"
    builds = SharpLikelihood
    log_scale: float = -1.0


class WidePrior(AbstractPrior):
    latent_dim: int = eqx.field(static=True)
    log_scale: jax.Array

    def __init__(self, latent_dim, scale):
        self.latent_dim, self.log_scale = latent_dim, jnp.log(jnp.asarray(scale, jnp.float32))

    def __call__(self, encoder):
        return GaussianDistribution(jnp.zeros(self.latent_dim), self.log_scale)


class Wide(Prior):
    '''A Gaussian whose scale is learned.'''

    kind = "wide"
    builds = WidePrior
    scale: float = 2.0


class WeightedObjective(AbstractObjective):
    weight: float = eqx.field(static=True)

    def example(self, model, x, *, key):
        return elbo_terms(model, x, key)

    def batch(self, terms, step, axis_name):
        return jnp.mean(terms.distortion) + self.weight * jnp.mean(terms.rate)


class Weighted(Objective):
    '''The rate by a weight.'''

    kind = "weighted"
    builds = WeightedObjective
    weight: NotNegative = 0.5


def stock_encoder(image_shape, posterior, *, key, width):
    size = image_shape[0] * image_shape[1] * image_shape[2]
    mlp = eqx.nn.MLP(size, posterior.outputs, width, 1, activation=jax.nn.gelu, key=key)
    return HeadedEncoder(mlp, posterior)


def stock_decoder(latent_dim, output_bias, *, key, width):
    mlp = eqx.nn.MLP(latent_dim, output_bias.size, width, 1, activation=lambda h: jnp.tanh(h), key=key)
    return Decoder(mlp, output_bias.shape)


class Stock(Network):
    '''Two networks of Equinox.'''

    kind = "stock"
    encoder = stock_encoder
    decoder = stock_decoder
    width: Count = 8


def belief(epsilon):
    return optax.adabelief(1.0, eps=epsilon)


class Belief(Optimizer):
    '''AdaBelief.'''

    kind = "belief"
    builds = belief
    epsilon: float = 1e-16


config = Config(
    data=Data(name="digits.npz", binarization="none"),
    model=Model(latent_dim=3, architecture=Stock(), likelihood=Sharp(), prior=Wide()),
    objective=Weighted(),
    optimizer=Belief(warmup_steps=0, learning_rate=0.01),
    train=Train(steps=40, batch_size=16, log_every=4, eval_every=20, checkpoint_every=4, steps_per_call=4),
    eval=Eval(importance_samples=4, interim_importance_samples=2, grid=2),
)
"""
