"""Which model and which objective does a configuration stand for? Untrained, from a key."""

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from jaxvae.config import Config, Model
from jaxvae.config.own_code import own_function
from jaxvae.errors import UserError
from jaxvae.models.likelihoods import BernoulliLikelihood, GaussianLikelihood
from jaxvae.models.networks import ConvDecoder, ConvEncoder, MLPDecoder, MLPEncoder
from jaxvae.models.objectives import ELBO, AbstractObjective
from jaxvae.models.stock_modules import StaticParts, partition
from jaxvae.models.vae import VAE, AbstractVAE


def build_model(
    config: Config, pixel_mean: Float[Array, "height width channel"], *, key: Key[Array, ""]
) -> AbstractVAE:
    """An untrained model for images of the shape of ``pixel_mean``, the training images' mean: that of the
    experiment's own ``build``, or one of ours. All its leaves are arrays.

    Raises UserError if ``build`` gives anything but an ``AbstractVAE`` for such images.
    """
    if (build := own_function(config.code, "build")) is None:
        return build_vae(config.model, pixel_mean, key=key)
    model = build(config, pixel_mean, key=key)
    if not isinstance(model, AbstractVAE):
        raise UserError(
            f"build in {config.code.file} must return a jaxvae.models.vae.AbstractVAE, not "
            f"{type(model).__name__}"
        )
    if tuple(model.image_shape) != pixel_mean.shape:
        raise UserError(
            f"build in {config.code.file} gives a model for images of {model.image_shape}; "
            f"these are {pixel_mean.shape}"
        )
    arrays, rest = partition(model)
    return model if rest is None else StaticVAE(arrays, rest)


def build_objective(config: Config) -> AbstractObjective:
    """The experiment's own ``objective``, or the ELBO with its weight of the rate."""
    if (own := own_function(config.code, "objective")) is None:
        return ELBO(config.objective.beta, config.objective.beta_warmup_steps)
    objective = own(config)
    if not isinstance(objective, AbstractObjective):
        raise UserError(
            f"objective in {config.code.file} must return a jaxvae.models.objectives.AbstractObjective, not "
            f"{type(objective).__name__}"
        )
    if config.train.reduction == "fixed" and not objective.is_mean:
        raise UserError(
            f"--train.reduction fixed cannot work: {type(objective).__name__} of {config.code.file} is no "
            "mean over examples"
        )
    return objective


def build_vae(config: Model, pixel_mean: Float[Array, "height width channel"], *, key: Key[Array, ""]) -> VAE:
    """The model that ``config`` names. The decoder's output bias starts where its likelihood's mean is the
    training images' mean, so that the first score is nearly that of independent pixels: 206 nats on binarised
    MNIST."""
    key_encoder, key_decoder = jax.random.split(key)
    shape = (pixel_mean.shape[0], pixel_mean.shape[1], pixel_mean.shape[2])
    likelihood = (
        BernoulliLikelihood()
        if config.likelihood == "bernoulli"
        else GaussianLikelihood(config.sigma, config.learn_sigma)
    )
    output_bias = likelihood.initial_outputs(pixel_mean)
    sizes = (config.hidden, config.latent_dim, config.activation)
    mirrored = (config.hidden[::-1], config.latent_dim, config.activation)
    if config.architecture == "conv":
        encoder = ConvEncoder(shape, config.channels, *sizes, key=key_encoder)
        decoder = ConvDecoder(shape, config.channels[::-1], *mirrored, output_bias, key=key_decoder)
    else:
        encoder = MLPEncoder(shape, *sizes, key=key_encoder)
        decoder = MLPDecoder(shape, *mirrored, output_bias, key=key_decoder)
    return VAE(encoder, decoder, likelihood, config.latent_dim, shape)


class StaticVAE(AbstractVAE):
    """A model of which only the arrays are leaves, and otherwise the model itself."""

    arrays: AbstractVAE
    rest: StaticParts = eqx.field(static=True)

    def __init__(self, arrays: AbstractVAE, rest: StaticParts):
        self.arrays, self.rest = arrays, rest

    @property
    def whole(self) -> AbstractVAE:
        """The model as it was built, with these arrays."""
        return self.rest.join(self.arrays)

    @property
    def image_shape(self) -> tuple[int, int, int]:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.arrays.image_shape

    @property
    def support(self):
        return self.whole.support

    def encode(self, x):
        return self.whole.encode(x)

    def draw(self, encoded, *, key):
        return self.whole.draw(encoded, key=key)

    def generate(self, *, key, temperature=1.0):
        return self.whole.generate(key=key, temperature=temperature)

    def reconstruct(self, x):
        return self.whole.reconstruct(x)

    def in_precision(self, precision):
        return StaticVAE(partition(self.whole.in_precision(precision))[0], self.rest)

    def summary(self):
        return self.whole.summary()

    def __getattr__(self, name: str):
        if name.startswith("__") or name in ("arrays", "rest"):
            raise AttributeError(name)
        return getattr(self.whole, name)
