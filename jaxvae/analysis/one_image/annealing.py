"""What is log p(x), from below and from above? Annealed importance sampling, and its reverse.

Of one image; ``jax.vmap`` or ``jax.lax.map`` is the caller's. Everything is in nats.

**Forward** (Neal 2001, arXiv physics/9803008; of decoders: Wu et al. 2017, arXiv 1611.04273): a chain starts
at a draw from ``f_0``, q(z|x) or p(z), and moves by HMC through ``f_0^(1 - beta_t) p(x, z)^beta_t`` while
beta rises from 0 to 1. Its weight ``prod_t (p(x, z_t) / f_0(z_t))^(beta_{t+1} - beta_t)`` has the mean p(x)
exactly, so the log of the mean weight of several chains is a lower bound on log p(x) in expectation. One
temperature is plain importance sampling.

**Backward** (bidirectional Monte Carlo: Grosse et al. 2015, arXiv 1511.02543): of a simulated image x* ~
p(x|z*), z* ~ p(z), there is one exact draw from p(z|x*), which is z*. Chains that start there, with beta
from 1 to 0, have weights whose mean is 1 / p(x*): minus the log of their mean is an upper bound in
expectation. Together they are a sandwich, whose width bounds the error of either.

The weights' means are exact only if the step size at a temperature does not depend on the chain that it
moves. It is therefore adapted by *pilot* chains, which are like the others but are not counted: after every
temperature it is multiplied by 1.02 if the pilots' mean acceptance was above 65 %, else by 0.98. The chains
backward take the step sizes that the forward pilots of the image found: pilots from z* would know it.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Int, Key

from jaxvae.analysis.one_image.hmc import Point, PointAt, hmc_move, point_at
from jaxvae.analysis.one_image.weights import effective_and_error
from jaxvae.models.noise import fold_in
from jaxvae.models.objectives.importance_weighted import log_mean_exp
from jaxvae.models.vae import AbstractVAE

SMALLEST_STEP, LARGEST_STEP = 1e-4, 0.5
TARGET_ACCEPTANCE = 0.65
GROWTH, DECAY = 1.02, 0.98
"""Of the step size, after a temperature at which the pilots accepted more, or less, than the target."""
RADIUS = 4.0
"""The schedule is a sigmoid's between -4 and 4: fine at both ends."""

Start = Literal["posterior", "prior"]


class Annealing(NamedTuple):
    """How annealed importance sampling is done."""

    temperatures: int = 500
    """How many times beta rises. One is plain importance sampling."""
    chains: int = 16
    """Chains of an image that count."""
    start: Start = "posterior"
    """f_0: q(z|x), or p(z). The steps of HMC are in units of q's standard deviations, where q says them, or
    of 1."""
    leapfrogs: int = 10
    first_step: float = 0.1
    """Step size at the first temperature."""

    @property
    def pilots(self) -> int:
        """Chains that only adapt the step size."""
        return max(2, self.chains // 4)


class Annealed(NamedTuple):
    """What annealing says of an image, or of several."""

    bound: Float[Array, "*image"]
    """Forward: a lower bound on log p(x); backward: an upper one. Both in expectation."""
    standard_error: Float[Array, "*image"]
    """Of ``bound``, from the spread of the chains' weights; NaN of a single chain. Chains backward begin at
    one place, so that theirs does not know all of it."""
    effective_chains: Float[Array, "*image"]
    """``(sum w)^2 / sum w^2``, from 1 to the number of chains."""
    acceptance: Float[Array, "*image"]
    """Mean probability of acceptance of all moves of the chains that count."""
    final_step: Float[Array, "*image"]
    """Step size at the last move; that of the schedule's end where p(x, z) is nearest."""


class Sandwich(NamedTuple):
    """log p(x*) of a simulated image, from both sides."""

    lower: Annealed
    upper: Annealed
    x: Float[Array, "*image height width channel"]

    @property
    def width(self) -> Float[Array, "*image"]:
        """``upper - lower``. Its mean over images is above the error of the lower bound, in expectation."""
        return self.upper.bound - self.lower.bound


def schedule(temperatures: int) -> Float[np.ndarray, " rise"]:
    """beta_0 = 0 to beta_T = 1, evenly spaced on a sigmoid's argument from -4 to 4 (Wu et al. 2017)."""
    if temperatures < 1:
        raise ValueError(f"at least one temperature is needed, not {temperatures}")
    sigmoid = 1 / (1 + np.exp(-RADIUS * np.linspace(-1, 1, temperatures + 1)))
    return (sigmoid - sigmoid[0]) / (sigmoid[-1] - sigmoid[0])


def annealed_bound(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    settings: Annealing = Annealing(),
) -> Annealed:
    """The lower bound on log p(x) of one image. Chain c uses ``fold_in(key, c)``."""
    path = _path(model.precomputed(), x, key, settings)
    return _summary(_forward(path, key, settings))


def simulated_sandwich(
    model: AbstractVAE, key: Key[Array, ""], settings: Annealing = Annealing()
) -> Sandwich:
    """An image that the model itself makes, z* ~ p(z) and x* ~ p(x|z*), with bounds on its log p(x*) from
    both sides. Raises NotImplementedError if the likelihood cannot be drawn from."""
    model = model.precomputed()
    key_latents, key_pixels, key_forward, key_backward = (fold_in(key, jnp.uint32(i)) for i in range(4))
    latents, likelihood = model.prior_draw(key=key_latents)
    x = likelihood.sample(key_pixels)
    path = _path(model, x, key_forward, settings)
    forward = _forward(path, key_forward, settings)
    exact = path.at(ravel_pytree(latents)[0])
    starts = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (settings.chains, *leaf.shape)), exact)
    betas = schedule(settings.temperatures)[::-1]
    backward = anneal(path, starts, key_backward, betas, settings, forward.steps[::-1])
    lower, upper = _summary(forward), _summary(backward)
    return Sandwich(lower, upper._replace(bound=-upper.bound), x)


class Path(NamedTuple):
    """From f_0 to p(x, z), whose latents are one vector here."""

    at: PointAt
    start: Callable[[Int[Array, ""]], Float[Array, " latent"]]
    """Where a chain starts: a draw from f_0."""
    units: Float[Array, " latent"]
    """What HMC measures each latent in."""


class Ended(NamedTuple):
    """What the chains that count came to."""

    log_weights: Float[Array, " chain"]
    acceptances: Float[Array, "move chain"]
    steps: Float[Array, " move"]
    """The step size of each move."""


def _forward(path: Path, key: Any, settings: Annealing) -> Ended:
    """From f_0 to p(x, z), with step sizes of the pilots."""
    starts = jax.vmap(lambda chain: path.at(path.start(chain)))(_range(settings.chains + settings.pilots))
    return anneal(path, starts, key, schedule(settings.temperatures), settings)


def _path(model: AbstractVAE, x: Any, key: Any, settings: Annealing) -> Path:
    encoded = model.encode(x)
    from_prior = settings.start == "prior"
    # A draw that is no chain's: the chains' moves may depend on it.
    reference = model.draw(encoded, key=_key(key, settings.chains + settings.pilots, 0))
    flat, latents_of = ravel_pytree(reference.latents)
    log_scale = None if from_prior or reference.posterior is None else reference.posterior.log_scale
    units = jnp.ones_like(flat) if log_scale is None else jnp.exp(log_scale)

    def log_start(z: Float[Array, " latent"]) -> Float[Array, ""]:
        draw = model.at(encoded, latents_of(z))
        return draw.log_prior if from_prior else draw.log_posterior

    def log_joint(z: Float[Array, " latent"]) -> Float[Array, ""]:
        draw = model.at(encoded, latents_of(z))
        return draw.log_prior + draw.likelihood.log_prob(x)

    def start(chain: Int[Array, ""]) -> Float[Array, " latent"]:
        drawn = _key(key, chain, 0)
        latents = model.prior_draw(key=drawn)[0] if from_prior else model.draw(encoded, key=drawn).latents
        return ravel_pytree(latents)[0]

    return Path(point_at(log_start, log_joint), start, units)


def anneal(
    path: Path,
    starts: Point,
    key: Any,
    betas: Float[np.ndarray, " rise"],
    settings: Annealing,
    steps: Float[Array, " move"] | None = None,
) -> Ended:
    """Moves all chains through the temperatures ``betas``, with these ``steps``, or with those that the last
    chains, the pilots, find."""
    changes, count, leapfrogs = np.diff(betas), len(starts.position), settings.leapfrogs
    first = jax.vmap(lambda point: point.log_ratio)(starts)

    def weigh(log_weights: Array, points: Point, change: Array) -> Array:
        # Relative to the first ratio, which keeps the rounding of the sum far below the densities' own.
        return log_weights + change * (jax.vmap(lambda point: point.log_ratio)(points) - first)

    def move(carry: tuple, now: tuple) -> tuple:
        points, log_weights, adapted = carry
        number, beta, change, given = now
        log_weights = weigh(log_weights, points, change)
        step = adapted if given is None else given

        def one(point: Point, chain: Array) -> Any:
            return hmc_move(path.at, point, _key(key, chain, number), beta, step * path.units, leapfrogs)

        points, acceptance = jax.vmap(one)(points, _range(count))
        is_high = jnp.mean(acceptance[settings.chains :]) > TARGET_ACCEPTANCE
        grown = jnp.clip(step * jnp.where(is_high, GROWTH, DECAY), SMALLEST_STEP, LARGEST_STEP)
        return (points, log_weights, grown), (acceptance, step)

    begun = starts, jnp.zeros_like(first), jnp.asarray(settings.first_step, jnp.float32)
    numbers = 1 + _range(len(changes) - 1)
    inner, moves = (jnp.asarray(each, jnp.float32) for each in (betas[1:-1], changes[:-1]))
    (points, log_weights, _), (acceptances, taken) = jax.lax.scan(move, begun, (numbers, inner, moves, steps))
    log_weights = weigh(log_weights, points, jnp.asarray(changes[-1], jnp.float32))
    total = log_weights + jnp.asarray(betas[-1] - betas[0], jnp.float32) * first
    return Ended(total[: settings.chains], acceptances[:, : settings.chains], taken)


def _summary(ended: Ended) -> Annealed:
    """The log of the mean weight, and how far it is to be trusted."""
    effective, error = effective_and_error(ended.log_weights)
    any_move = len(ended.steps) > 0
    nothing = jnp.asarray(math.nan, jnp.float32)
    acceptance = jnp.mean(ended.acceptances) if any_move else nothing
    final = ended.steps[-1] if any_move else nothing
    return Annealed(log_mean_exp(ended.log_weights), error, effective, acceptance, final)


def _range(count: int) -> Int[Array, " each"]:
    return jnp.arange(count, dtype=jnp.int32)


def _key(key: Any, chain: Any, number: Any) -> Any:
    """Of a chain and its move; number 0 is where it starts."""
    return fold_in(fold_in(key, jnp.asarray(chain)), jnp.asarray(number))
