"""How does a Markov chain move through latents? By Hamiltonian Monte Carlo between two densities.

Everything is of one chain; ``jax.vmap`` is the caller's. The density that a move leaves invariant is
``f_0^(1 - beta) f_1^beta``, of two unnormalised densities whose logs and gradients are computed once a
position and used for every temperature.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models import noise


class Point(NamedTuple):
    """Where a chain is, and what there is to know of the two densities there."""

    position: Float[Array, " latent"]
    log_densities: Float[Array, "2"]
    """log f_0 and log f_1, in nats."""
    gradients: Float[Array, "2 latent"]

    @property
    def log_ratio(self) -> Float[Array, ""]:
        """``log f_1 - log f_0``."""
        return self.log_densities[1] - self.log_densities[0]


PointAt = Callable[[Float[Array, " latent"]], Point]


def point_at(*log_densities: Callable[[Float[Array, " latent"]], Float[Array, ""]]) -> PointAt:
    """What evaluates two log-densities and their gradients at a position."""

    def at(position: Float[Array, " latent"]) -> Point:
        values, gradients = zip(*(jax.value_and_grad(log)(position) for log in log_densities), strict=True)
        return Point(position, jnp.stack(values), jnp.stack(gradients))

    return at


class Move(NamedTuple):
    """What came of a proposal."""

    point: Point
    """The proposal if it was accepted, else where the chain was."""
    acceptance: Float[Array, ""]
    """The probability with which it was to be accepted."""


def leapfrog(
    at: PointAt,
    point: Point,
    momentum: Float[Array, " latent"],
    temperature: Float[Array, ""],
    step: Float[Array, " latent"],
) -> tuple[Point, Float[Array, " latent"]]:
    """One step of Hamilton's equations for ``U = -log f`` and ``|momentum|^2 / 2``: half a kick, a drift,
    half a kick (Neal 2011, arXiv 1206.1901). It preserves volume; from its end, with the momentum turned
    round, it leads back to where it began; energy errs by O(step^2). ``step`` is of each latent: positions
    and momenta are as if every latent were measured in units of its own."""
    half = momentum + 0.5 * step * _tempered(point.gradients, temperature)
    moved = at(point.position + step * half)
    return moved, half + 0.5 * step * _tempered(moved.gradients, temperature)


def hmc_move(
    at: PointAt,
    point: Point,
    key: Key[Array, ""],
    temperature: Float[Array, ""],
    step: Float[Array, " latent"],
    leapfrogs: int,
) -> Move:
    """A fresh momentum from N(0, I), ``leapfrogs`` steps, accepted with the probability ``min(1, exp(H -
    H'))`` of Metropolis: the density at this temperature stays invariant, whatever the step. A proposal whose
    energy is not a number is rejected.

    The steps are ``step`` times a number from (1/2, 1), drawn anew for every move: of nearly Gaussian
    densities a trajectory of one certain length can be a full circle, and the chain would not move.
    """
    key_momentum, key_accept, key_length = (noise.fold_in(key, jnp.uint32(i)) for i in range(3))
    momentum = noise.normal(key_momentum, point.position.shape)
    step = step * (0.5 + 0.5 * noise.uniform(key_length, ()))

    def once(state: tuple, _: None) -> tuple:
        return leapfrog(at, state[0], state[1], temperature, step), None

    (proposal, ended), _ = jax.lax.scan(once, (point, momentum), length=leapfrogs)
    log_ratio = _log_joint(proposal, ended, temperature) - _log_joint(point, momentum, temperature)
    log_ratio = jnp.where(jnp.isnan(log_ratio), -jnp.inf, log_ratio)
    acceptance = jnp.exp(jnp.minimum(log_ratio, 0.0))
    accepted = noise.uniform(key_accept, ()) < acceptance
    return Move(jax.tree.map(lambda new, old: jnp.where(accepted, new, old), proposal, point), acceptance)


def _log_joint(
    point: Point, momentum: Float[Array, " latent"], temperature: Float[Array, ""]
) -> Float[Array, ""]:
    """-H."""
    return _tempered(point.log_densities, temperature) - 0.5 * jnp.sum(momentum**2)


def _tempered(both: Float[Array, "2 ..."], temperature: Float[Array, ""]) -> Float[Array, "..."]:
    return (1 - temperature) * both[0] + temperature * both[1]
