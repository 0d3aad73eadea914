"""How good would the model be with another prior? A density is fitted, after training, to draws of the
aggregate posterior, and takes the prior's place (Ghosh et al. 2020, arXiv 1903.12436).

What comes of it is a different model, p'(x) = int p(x|z) p'(z) dz, and is always called so.
"""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from jaxvae.analysis import gaussian_mixture
from jaxvae.analysis.context import Analysis, Context, evaluator_of, mean_and_error
from jaxvae.analysis.options import Options
from jaxvae.analysis.writing import refuse_unwritable
from jaxvae.config import Config
from jaxvae.data.image_grid import is_ours, write_grid
from jaxvae.errors import RunError, UserError, printable
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.posteriors.full_gaussian import FullGaussian
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.priors.coupling import CouplingFlowPrior
from jaxvae.models.priors.mixture import Mixture
from jaxvae.models.vae import AbstractVAE, with_known_prior
from jaxvae.system.paths import meant_path

MOST_IMAGES = 50_000
"""Of more training images so many, evenly spaced, are used."""
HELD_OUT = 0.1
"""The share of the draws that is not fitted to, but says when to stop."""
COMPONENTS = 10
LAYERS, HIDDEN = 6, (128,)
STEPS, STEPS_PER_CHECK, BATCH, LEARNING_RATE = 4_000, 200, 500, 1e-3

Draws = Float[np.ndarray, "draw latent"]
HeldOut = Float[np.ndarray, "held latent"]
Fit = Callable[[Context, Draws, HeldOut], tuple[AbstractDistribution, str]]


def refuse(options: Options, config: Config) -> None:
    """Raises UserError for what cannot work."""
    if config.model.architecture.own_densities and config.code.file is None:
        raise UserError(
            f"--ex_post {options.ex_post} cannot work: --model.architecture {config.model.architecture.kind} "
            "has a p(z) of its own, which no other density can replace"
        )
    if options.ex_post == "coupling" and config.model.latent_dim < 2:
        raise UserError("--ex_post coupling needs two latents or more: choose --ex_post mixture")
    if options.ex_post_picture is not None:
        refuse_unwritable(
            meant_path(options.ex_post_picture, "--ex_post_picture"), "--ex_post_picture", is_ours
        )


def analyse(context: Context) -> dict[str, Any]:
    """Fits the density to one draw of q(z|x) of each training image, of the uppermost layer if there are
    several, but for a tenth of them, which is held out to say when to stop. Then scores the different model
    on the test images, with the same draws from the same q(z|x).

    ``name`` says what it is. ``test`` are its scores, as in ``summary.json``; ``nll_difference`` is its NLL
    less the model's own, in the mean over images, with ``nll_difference_stderr``; ``held_out`` the mean
    log-density of held-out draws under it and ``held_out_prior`` under the model's own prior, in nats;
    ``model`` the different model itself, to sample from.
    """
    draws = aggregate_draws(context)
    order = np.random.default_rng(context.config.seed).permutation(len(draws))
    held = draws[order[: max(1, round(HELD_OUT * len(draws)))]]
    fitted_to = draws[order[len(held) :]]
    if len(fitted_to) < 2:
        raise UserError(f"--ex_post needs more than {len(draws)} training images")
    context.say("")
    context.say(f"Fitting a density to {len(fitted_to):,} draws of q(z|x), and holding out {len(held):,}.")
    density, name = FITS[str(context.options.ex_post)](context, fitted_to, held)
    return compared(context, density, name, held)


def aggregate_draws(context: Context) -> Draws:
    """One draw of the aggregate posterior for each training image, of the latents that the prior is of."""
    if not isinstance(getattr(context.model, "prior", None), AbstractPrior):
        raise UserError(
            f"--ex_post cannot work: {type(context.model).__name__} has no prior that another could replace"
        )
    count = len(context.dataset.train)
    indices = np.linspace(0, count - 1, min(count, MOST_IMAGES)).astype(np.int32)

    def drawn(model, x, key):
        return jax.tree.leaves(model.draw(model.encode(x), key=key).latents)[-1]

    found = context.over_images(drawn, context.key("ex_post"), of_training=True, indices=indices)
    return found.astype(np.float64)


def compared(context: Context, density: AbstractDistribution, name: str, held: HeldOut) -> dict[str, Any]:
    """The scores of the model whose prior is this density, beside the model's own."""
    model: AbstractVAE = with_known_prior(context.model, density)
    # Streamed, because the test images may be on the devices already; the scores are the same.
    evaluator = evaluator_of(context.config, context.dataset, context.devices, model, streamed=True)
    scores = evaluator.dispatch(model, context.samples)
    each = evaluator.of_each_image(scores)
    difference = context.bounds.importance_weighted - each.importance_weighted
    mean, error = mean_and_error(difference)
    own: Any = context.model
    points = jnp.asarray(held, jnp.float32)
    under = [_mean_log_density(one, points) for one in (density, own.prior(lambda x: x))]
    found = {
        "name": name,
        "test": {**evaluator.summarise(scores, context.samples), **model.summary()},
        "own_test": context.test,
        "nll_difference": mean,
        "nll_difference_stderr": error,
        "held_out": under[0],
        "held_out_prior": under[1],
        "model": model,
    }
    if context.options.ex_post_picture is not None:
        found["picture"] = context.options.ex_post_picture
        _draw(context, model, meant_path(context.options.ex_post_picture, "--ex_post_picture"))
    return found


def _mean_log_density(distribution: Any, points: Float[Array, "draw latent"]) -> float:
    each = jax.jit(lambda d, z: jax.lax.map(d.log_prob, z, batch_size=1024))
    return float(np.asarray(each(distribution, points), np.float64).mean())


def _draw(context: Context, model: AbstractVAE, path: Path) -> None:
    """Writes samples of the model on the left and of the different model on the right, from the same keys."""
    grid = context.config.eval.grid
    keys = jax.random.split(context.key("ex_post_picture"), grid**2)
    sampled = jax.jit(lambda model, keys: jax.vmap(model.sample)(keys))
    left, right = (
        np.asarray(sampled(one, jax.random.clone(keys))).reshape(grid, grid, *model.image_shape)
        for one in (context.first_model, jax.device_put(jax.device_get(model), context.devices[0]))
    )
    between = np.ones((grid, 1, *model.image_shape), left.dtype)
    sheet = np.concatenate([left, between, right], axis=1)
    try:
        write_grid(path, sheet.reshape(-1, *model.image_shape), 2 * grid + 1)
    except OSError as error:
        raise RunError(f"--ex_post_picture {printable(path)} cannot be written ({error.strerror})") from error


def fit_mixture(context: Context, draws: Draws, held: HeldOut) -> tuple[AbstractDistribution, str]:
    """A mixture of Gaussians with full covariances."""
    components = min(COMPONENTS, len(draws))
    random = np.random.default_rng(context.config.seed)
    fitted = gaussian_mixture.fit(draws, held, components, random)
    name = f"a mixture of {components} Gaussians with full covariances"
    return as_distribution(fitted), name


def as_distribution(fitted: gaussian_mixture.GaussianMixture) -> Mixture:
    """The same for JAX, in float32."""
    diagonal = np.diagonal(fitted.factors, axis1=1, axis2=2)
    below = np.tril(fitted.factors, -1)
    means, logs, below, logits = (
        jnp.asarray(a, jnp.float32) for a in (fitted.means, np.log(diagonal), below, np.log(fitted.weights))
    )
    return Mixture(jax.vmap(FullGaussian)(means, logs, below), logits)


def fit_coupling(context: Context, draws: Draws, held: HeldOut) -> tuple[AbstractDistribution, str]:
    """A flow of affine couplings, by Adam, at the check in which the held-out draws were most likely."""
    latents, key = draws.shape[1], context.key("ex_post_flow")
    prior = CouplingFlowPrior(latents, LAYERS, HIDDEN, key=jax.random.fold_in(key, 0))
    optimizer = optax.adam(_learning_rate)
    state = optimizer.init(eqx.filter(prior, eqx.is_inexact_array))
    points, others = (jnp.asarray(each, jnp.float32) for each in (draws, held))
    best, highest = prior, -math.inf
    for number in range(STEPS // STEPS_PER_CHECK):
        reached = _mean_log_density(prior(lambda x: x), others)
        if reached > highest:
            best, highest = prior, reached
        prior, state = _steps(optimizer, prior, state, points, jax.random.fold_in(key, number + 1))
    if _mean_log_density(prior(lambda x: x), others) > highest:
        best = prior
    return best(lambda x: x), f"a flow of {LAYERS} affine couplings"


def _learning_rate(step):
    return LEARNING_RATE / 2 * (1 + jnp.cos(math.pi / STEPS * step.astype(jnp.float32)))


@functools.partial(jax.jit, static_argnums=0)
def _steps(optimizer, prior, state, points, key):
    def loss(prior, chosen):
        return -jnp.mean(jax.vmap(prior(lambda x: x).log_prob)(points[chosen]))

    def step(carry, key):
        prior, state = carry
        gradient = jax.grad(loss)(prior, jax.random.randint(key, (BATCH,), 0, len(points)))
        # Optax raises a float to the power of a whole number.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = optimizer.update(gradient, state)
        return (eqx.apply_updates(prior, updates), state), None

    return jax.lax.scan(step, (prior, state), jax.random.split(key, STEPS_PER_CHECK))[0]


FITS: dict[str, Fit] = {"mixture": fit_mixture, "coupling": fit_coupling}


def lines(found: dict[str, Any]) -> list[str]:
    """The two models side by side."""
    own, other = found["own_test"], found["test"]
    said = [
        f"A different model: the prior replaced by {found['name']},",
        "fitted after training to draws of q(z|x) of training images; encoder and decoder are the same.",
        f"  {'nats per image':<24}{'this model':>18}{'the different one':>20}",
    ]

    def row(title: str, first: float, second: float, digits: int = 3) -> None:
        said.append(f"  {title:<24}{first:>18.{digits}f}{second:>20.{digits}f}")

    for title, name in (("ELBO", "elbo"), ("  rate", "rate"), ("  distortion", "distortion"), ("NLL", "nll")):
        row(title, own[name], other[name])
    row("  effective samples", own["effective_samples"], other["effective_samples"], 1)
    row("log p(z)", found["held_out_prior"], found["held_out"])
    said.append("  log p(z) is of draws of training images that were held out, by which the fit was stopped.")
    better = "lower" if found["nll_difference"] < 0 else "higher"
    said.append(
        f"  The NLL of the different model is {better} by {abs(found['nll_difference']):.3f} +- "
        f"{found['nll_difference_stderr']:.3f}."
    )
    if "picture" in found:
        picture = printable(found["picture"])
        said.append(f"  Samples of this model, left, and of the different one, right: {picture}")
    return said


ANALYSIS = Analysis(analyse, lines, refuse)
