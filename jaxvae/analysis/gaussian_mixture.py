"""Which mixture of Gaussians fits points best? Expectation maximisation, its sums over points in float64.

What is done for each point is a compiled program of float32: NumPy's products of matrices, on cores that are
busy, wait for each other's threads most of the time.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

MOST_ROUNDS = 200
PATIENCE = 3
"""It ends when the held-out points have gained nothing for so many rounds."""
LEAST_GAIN = 3e-4
"""Nats a point below which a round gains nothing."""
AT_ONCE = 2048
"""Points that are worked on at once."""
FLOOR = 1e-5
"""Added to every variance, in shares of the points' mean one, so that no component shrinks to a point."""

SMALLEST = 1e-8
"""A floor for points that do not vary at all."""


class GaussianMixture(NamedTuple):
    """sum_k weight_k N(mean_k, L_k L_k^T)."""

    weights: Float[np.ndarray, " component"]
    means: Float[np.ndarray, "component latent"]
    factors: Float[np.ndarray, "component latent latent"]
    """The lower triangular Cholesky factors L_k."""


class _Sums(NamedTuple):
    """Of some points, each times the share of it that a component has."""

    log_density: Array
    """The sum of the points' log-densities."""
    counts: Array
    firsts: Array
    """Of the points' differences from the component's mean."""
    seconds: Array
    """Of the products of those."""


def fit(
    points: Float[np.ndarray, "point latent"],
    held_out: Float[np.ndarray, "other latent"],
    components: int,
    random: np.random.Generator,
) -> GaussianMixture:
    """The mixture of the round after which the held-out points were most likely.

    It begins at means that are points far from each other (k-means++: Arthur and Vassilvitskii 2007), each
    with the covariance of all points. A round never makes the points less likely, but for the floor.
    """
    floor = max(FLOOR * points.var(0).mean(), SMALLEST) * np.eye(points.shape[1])
    every = np.cov(points.T, bias=True).reshape(floor.shape) + floor
    factors = np.repeat(np.linalg.cholesky(every)[None], components, axis=0)
    means = _far_apart(points, components, random)
    mixture = GaussianMixture(np.full(components, 1 / components), means, factors)
    parts, others = _in_parts(points), _in_parts(held_out)
    best, best_round, highest = mixture, 0, _sums(mixture, others).log_density
    for number in range(1, MOST_ROUNDS + 1):
        mixture = _next(mixture, _sums(mixture, parts), floor)
        reached = _sums(mixture, others).log_density
        if reached > highest + LEAST_GAIN * len(held_out):
            best, best_round, highest = mixture, number, reached
        elif number - best_round >= PATIENCE:
            break
    return best


def _next(mixture: GaussianMixture, sums: _Sums, floor: np.ndarray) -> GaussianMixture:
    """What makes the points most likely if each belongs to components in these shares."""
    # A component to which no point belongs keeps a share of next to nothing, and the floor as its covariance.
    counts = np.maximum(sums.counts, 1e-9)
    moved = sums.firsts / counts[:, None]
    covariances = sums.seconds / counts[:, None, None] - moved[:, :, None] * moved[:, None, :]
    values, vectors = np.linalg.eigh(covariances)
    # Rounding may leave a variance of 0 a little below it.
    whole = (vectors * np.maximum(values, 0)[:, None, :]) @ vectors.swapaxes(1, 2)
    return GaussianMixture(counts / counts.sum(), mixture.means + moved, np.linalg.cholesky(whole + floor))


def _in_parts(points: np.ndarray) -> tuple[Array, Array]:
    """The points in parts of one size, with 0 for what is missing at the end, and which are there."""
    count = -(-len(points) // AT_ONCE) * AT_ONCE
    filled = np.zeros((count, points.shape[1]), np.float32)
    filled[: len(points)] = points
    parts = filled.reshape(-1, AT_ONCE, points.shape[1])
    return jnp.asarray(parts), jnp.asarray((np.arange(count) < len(points)).reshape(-1, AT_ONCE))


def _sums(mixture: GaussianMixture, parts: tuple[Array, Array]) -> _Sums:
    log_scales = np.log(np.diagonal(mixture.factors, axis1=1, axis2=2)).sum(-1)
    constant = mixture.means.shape[1] / 2 * math.log(2 * math.pi)
    offsets = np.log(mixture.weights) - log_scales - constant
    given = (offsets, mixture.means, np.linalg.inv(mixture.factors))
    with jax.default_matmul_precision("highest"):
        found = _sums_of_parts(*(jnp.asarray(each, jnp.float32) for each in given), *parts)
    return jax.tree.map(lambda each: np.asarray(each, np.float64).sum(0), found)


@jax.jit
def _sums_of_parts(offsets, means, inverses, parts, present) -> _Sums:
    def of_part(part):
        points, there = part
        centred = points[None] - means[:, None]
        standardised = jnp.einsum("kij,knj->kni", inverses, centred)
        joint = offsets[:, None] - 0.5 * (standardised**2).sum(-1)
        log_density = jax.nn.logsumexp(joint, axis=0)
        shares = jnp.where(there[None], jnp.exp(joint - log_density[None]), 0.0)
        weighted = shares[:, :, None] * centred
        seconds = jnp.einsum("kni,knj->kij", weighted, centred)
        total = jnp.where(there, log_density, 0.0).sum()
        return _Sums(total, shares.sum(1), weighted.sum(1), seconds)

    return jax.lax.map(of_part, (parts, present))


def _far_apart(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Points each drawn with probability in proportion to the squared distance from those before."""
    chosen = [points[random.integers(len(points))]]
    distance = np.full(len(points), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, ((points - chosen[-1]) ** 2).sum(1))
        total = distance.sum()
        # Of points that are all the same, any will do.
        chosen.append(points[random.choice(len(points), p=distance / total if total > 0 else None)])
    return np.stack(chosen)
