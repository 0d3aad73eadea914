"""Which mixture of Gaussians fits points best? Expectation maximisation in float64."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

MOST_ROUNDS = 200
PATIENCE = 3
"""It ends when the held-out points have gained nothing for so many rounds."""
LEAST_GAIN = 3e-4
"""Nats a point below which a round gains nothing."""
AT_ONCE = 2048
"""Points that are worked on at once, so that they stay in the processor's caches."""
FLOOR = 1e-5
"""Added to every variance, in shares of the points' mean one, so that no component shrinks to a point."""


class GaussianMixture(NamedTuple):
    """sum_k weight_k N(mean_k, L_k L_k^T)."""

    weights: Float[np.ndarray, " component"]
    means: Float[np.ndarray, "component latent"]
    factors: Float[np.ndarray, "component latent latent"]
    """The lower triangular Cholesky factors L_k."""

    def log_joint(self, points: Float[np.ndarray, "point latent"]) -> Float[np.ndarray, "point component"]:
        """``log weight_k + log N(point; mean_k, L_k L_k^T)``, in nats."""
        constant = self.means.shape[1] * math.log(2 * math.pi)
        # L^-1 of all components as one matrix: one product for all.
        inverses = np.linalg.inv(self.factors)
        shifts = np.einsum("kij,kj->ki", inverses, self.means)
        standardised = points @ inverses.reshape(-1, points.shape[1]).T - shifts.reshape(-1)
        squares = (standardised**2).reshape(len(points), *shifts.shape).sum(-1)
        log_scales = np.log(np.diagonal(self.factors, axis1=1, axis2=2)).sum(-1)
        return np.log(self.weights) - 0.5 * (squares + constant) - log_scales

    def log_density(self, points: Float[np.ndarray, "point latent"]) -> Float[np.ndarray, " point"]:
        """In nats."""
        return np.concatenate([_log_sum(self.log_joint(some)) for some in _parts(points)])


def fit(
    points: Float[np.ndarray, "point latent"],
    held_out: Float[np.ndarray, "other latent"],
    components: int,
    random: np.random.Generator,
) -> tuple[GaussianMixture, int]:
    """The mixture of the round in which the held-out points were most likely, and the number of that round.

    It begins at means that are points far from each other (k-means++: Arthur and Vassilvitskii 2007), each
    with the covariance of all points. A round never makes the points less likely, but for the floor.
    """
    floor = FLOOR * points.var(0).mean() * np.eye(points.shape[1])
    every = np.cov(points.T, bias=True).reshape(floor.shape) + floor
    factors = np.repeat(np.linalg.cholesky(every)[None], components, axis=0)
    mixture = GaussianMixture(
        np.full(components, 1 / components), _far_apart(points, components, random), factors
    )
    best, best_round, highest = mixture, 0, mixture.log_density(held_out).mean()
    for number in range(1, MOST_ROUNDS + 1):
        mixture = _round(mixture, points, floor)
        reached = mixture.log_density(held_out).mean()
        if reached > highest + LEAST_GAIN:
            best, best_round, highest = mixture, number, reached
        elif number - best_round >= PATIENCE:
            break
    return best, best_round


def _round(mixture: GaussianMixture, points: np.ndarray, floor: np.ndarray) -> GaussianMixture:
    components, latents = mixture.means.shape
    counts, sums = np.zeros(components), np.zeros((components, latents))
    products = np.zeros((components, latents, latents))
    for some in _parts(points):
        joint = mixture.log_joint(some)
        shares = np.exp(joint - _log_sum(joint)[:, None])
        counts, sums = counts + shares.sum(0), sums + shares.T @ some
        for k in range(components):
            products[k] += (shares[:, k, None] * some).T @ some
    # A component to which no point belongs keeps a share of next to nothing, and the floor as its covariance.
    counts = np.maximum(counts, 1e-9)
    means = sums / counts[:, None]
    covariances = products / counts[:, None, None] - means[:, :, None] * means[:, None, :]
    return GaussianMixture(counts / counts.sum(), means, _factors(covariances, floor))


def _factors(covariances: np.ndarray, floor: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariances)
    # Rounding may leave a variance of 0 a little below it.
    whole = np.einsum("kij,kj,klj->kil", vectors, np.maximum(values, 0), vectors)
    return np.linalg.cholesky(whole + floor)


def _parts(points: np.ndarray) -> Iterator[np.ndarray]:
    return (points[start : start + AT_ONCE] for start in range(0, len(points), AT_ONCE))


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


def _log_sum(values: Float[np.ndarray, "point component"]) -> Float[np.ndarray, " point"]:
    largest = values.max(1)
    return largest + np.log(np.exp(values - largest[:, None]).sum(1))
