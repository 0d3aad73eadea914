"""Which model and which objective does a configuration stand for? Untrained, from a key."""

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, Key

from jaxvae.config import Config, Model, Network
from jaxvae.config.experiment_file import own_function
from jaxvae.config.kinds.kind import Kind
from jaxvae.errors import UserError
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.objectives import AbstractObjective
from jaxvae.models.posteriors import AbstractPosterior
from jaxvae.models.priors import AbstractPrior
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
        model = build_vae(config.model, pixel_mean, key=key)
    else:
        model = build(config, pixel_mean, key=key)
        _check_own(model, config, pixel_mean.shape)
    arrays, rest = partition(model)
    return model if rest is None else StaticVAE(arrays, rest)


def _check_own(model: Any, config: Config, image_shape: tuple[int, ...]) -> None:
    if not isinstance(model, AbstractVAE):
        raise UserError(
            f"build in {config.code.file} must return a jaxvae.models.vae.AbstractVAE, not "
            f"{type(model).__name__}"
        )
    if tuple(model.image_shape) != image_shape:
        raise UserError(
            f"build in {config.code.file} gives a model for images of {model.image_shape}; "
            f"these are {image_shape}"
        )


def build_objective(config: Config) -> AbstractObjective:
    """The experiment's own ``objective``, or that which its configuration names.

    Raises UserError if it cannot be computed with ``train.reduction``.
    """
    if (own := own_function(config.code, "objective")) is None:
        kind = config.objective
        objective = _implementation(kind, AbstractObjective)(**kind.arguments())
        name = f"--objective {kind.kind}"
        for field, value in kind.arguments().items():
            if value != getattr(type(kind), field, None):
                name += f" --objective.{field} {value}"
    else:
        objective = own(config)
        if not isinstance(objective, AbstractObjective):
            raise UserError(
                f"objective in {config.code.file} must return a jaxvae.models.objectives.AbstractObjective, "
                f"not {type(objective).__name__}"
            )
        name = f"{type(objective).__name__} of {config.code.file}"
    if config.train.reduction == "fixed" and not objective.is_mean:
        raise UserError(f"--train.reduction fixed cannot work: {name} is no mean over examples")
    return objective


def build_vae(
    config: Model, pixel_mean: Float[Array, "height width channel"], *, key: Key[Array, ""]
) -> AbstractVAE:
    """The model that ``config`` names. The decoder's output bias starts where its likelihood's mean is the
    training images' mean, so that the first score is nearly that of independent pixels: 206 nats on binarised
    MNIST."""
    key_encoder, key_decoder = jax.random.split(key)
    key_posterior, key_prior, key_model = (jax.random.fold_in(key, k) for k in (1, 2, 3))
    image_shape = (pixel_mean.shape[0], pixel_mean.shape[1], pixel_mean.shape[2])
    latents, network = config.latent_dim, config.architecture
    likelihood = _implementation(config.likelihood, AbstractLikelihood)
    likelihood = likelihood.build(image_shape, **config.likelihood.arguments())
    prior = _implementation(config.prior, AbstractPrior)
    prior = prior.build(latents, pixel_mean, key=key_prior, **config.prior.arguments())
    output_bias, fields = likelihood.initial_outputs(pixel_mean), network.arguments()

    def posterior_of(count: int, key: Key[Array, ""]) -> AbstractPosterior:
        posterior = _implementation(config.posterior, AbstractPosterior)
        return posterior.build(count, key=key, **config.posterior.arguments())

    if not isinstance(network, Network):
        whole = _implementation(network, AbstractVAE)
        parts = (image_shape, latents, posterior_of, likelihood, prior, output_bias)
        return whole(*parts, key=key_model, **fields)
    posterior = posterior_of(latents, key_posterior)
    encoder = network.named("encoder")(image_shape, posterior, key=key_encoder, **fields)
    decoder = network.named("decoder")(latents, output_bias, key=key_decoder, **fields)
    return VAE(encoder, decoder, likelihood, latents, image_shape, prior)


def _implementation(kind: Kind, wanted: type) -> Any:
    """The class that the kind builds. Raises UserError if it is none of those that are ``wanted``."""
    found = kind.implementation()
    if not (isinstance(found, type) and issubclass(found, wanted)):
        raise UserError(
            f"{type(kind).__name__}.builds must be a subclass of {wanted.__module__}.{wanted.__name__}, not "
            f"{found!r}"
        )
    return found


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

    def routed_draw(self, encoded, *, key, routes):
        return self.whole.routed_draw(encoded, key=key, routes=routes)

    def generate(self, *, key, temperature=1.0):
        return self.whole.generate(key=key, temperature=temperature)

    def reconstruct(self, x):
        return self.whole.reconstruct(x)

    def in_precision(self, precision):
        return StaticVAE(partition(self.whole.in_precision(precision))[0], self.rest)

    def precomputed(self):
        arrays, rest = partition(self.whole.precomputed())
        return arrays if rest is None else StaticVAE(arrays, rest)

    def summary(self):
        return self.whole.summary()

    def __getattr__(self, name: str):
        if name.startswith("__") or name in ("arrays", "rest"):
            raise AttributeError(name)
        return getattr(self.whole, name)
