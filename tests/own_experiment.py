"""A user's own experiments, as text: networks of stock Equinox, likelihoods, priors and objectives."""

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
from jax.scipy.special import betaln, gammaln
from nets import Decoder, HeadedEncoder

from jaxvae import *
from jaxvae.config.ranges import Count, NotNegative, Positive
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.objectives import AbstractObjective, elbo_terms
from jaxvae.models.priors import AbstractPrior


class BetaDensity(AbstractDistribution):
    raw: jax.Array
    concentration: jax.Array

    @property
    def mean(self):
        return jax.nn.sigmoid(self.raw)

    def log_prob(self, x):
        a, b = self.mean * self.concentration, (1 - self.mean) * self.concentration
        return jnp.sum((a - 1) * jnp.log(x) + (b - 1) * jnp.log1p(-x) - betaln(a, b))


class BetaLikelihood(AbstractLikelihood):
    support = "unit"
    concentration: float  # a leaf that is no array

    def __call__(self, outputs):
        return BetaDensity(outputs, jnp.asarray(self.concentration))

    def summary(self):
        return {"concentration": float(self.concentration)}


class Beta(Likelihood):
    '''A beta distribution of each pixel between 0 and 1, whose mean the decoder gives.'''

    kind = "beta"
    builds = BetaLikelihood
    pixels = "unit"
    concentration: Positive = 8.0


class StudentTDensity(AbstractDistribution):
    scale: jax.Array
    freedom: float = eqx.field(static=True)

    def sample(self, key):
        return self.scale * jax.random.t(key, self.freedom, self.scale.shape)

    def log_prob(self, z):
        nu = self.freedom
        constant = gammaln((nu + 1) / 2) - gammaln(nu / 2) - 0.5 * jnp.log(nu * jnp.pi)
        each = constant - jnp.log(self.scale) - (nu + 1) / 2 * jnp.log1p((z / self.scale) ** 2 / nu)
        return jnp.sum(each)


class StudentTPrior(AbstractPrior):
    latent_dim: int = eqx.field(static=True)
    freedom: float = eqx.field(static=True)
    log_scale: jax.Array

    def __init__(self, latent_dim, freedom):
        self.latent_dim, self.freedom = latent_dim, freedom
        self.log_scale = jnp.zeros(latent_dim)

    def __call__(self, encoder):
        return StudentTDensity(jnp.exp(self.log_scale), self.freedom)


class StudentT(Prior):
    '''Heavy tails, with a learned scale for each latent.'''

    kind = "student_t"
    builds = StudentTPrior
    freedom: Positive = 5.0


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
    data=Data(name="digits.npz", binarization="none", dequantization="uniform"),
    model=Model(latent_dim=3, architecture=Stock(), likelihood=Beta(), prior=StudentT()),
    objective=Weighted(),
    optimizer=Belief(warmup_steps=0, learning_rate=0.01),
    train=Train(steps=40, batch_size=16, log_every=4, eval_every=20, checkpoint_every=4, steps_per_call=4),
    eval=Eval(importance_samples=4, interim_importance_samples=2, grid=2),
)
"""
