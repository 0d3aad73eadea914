"""Hamiltonian Monte Carlo against a Gaussian, whose every answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.analysis.one_image.hmc import hmc_move, leapfrog, point_at

BETA = 0.3
MEANS = np.array([[1.0, -2.0], [-1.0, 0.5]])
PRECISIONS = np.array([[[1.0, 0.3], [0.3, 2.0]], [[4.0, -1.5], [-1.5, 1.0]]])
"""Of the two densities."""
PRECISION = (1 - BETA) * PRECISIONS[0] + BETA * PRECISIONS[1]
COVARIANCE = np.linalg.inv(PRECISION)
MEAN = COVARIANCE @ ((1 - BETA) * PRECISIONS[0] @ MEANS[0] + BETA * PRECISIONS[1] @ MEANS[1])
"""The geometric mean of two Gaussians is one."""


def log_density(which):
    mean, precision = (jnp.asarray(each[which], jnp.float32) for each in (MEANS, PRECISIONS))
    return lambda z: -0.5 * (z - mean) @ precision @ (z - mean) + 3.0 * which


AT = point_at(log_density(0), log_density(1))
TEMPERATURE = jnp.asarray(BETA, jnp.float32)


def energy(point, momentum):
    z, momentum = np.asarray(point.position, np.float64), np.asarray(momentum, np.float64)
    return 0.5 * (z - MEAN) @ PRECISION @ (z - MEAN) + 0.5 * momentum @ momentum


def test_a_move_leaves_the_density_between_the_two_invariant():
    count, units = 20_000, jnp.asarray([1.2, 0.8], jnp.float32)
    starts = np.random.default_rng(0).multivariate_normal(MEAN, COVARIANCE, count)

    def chain(start, key):
        def move(point, key):
            moved = hmc_move(AT, point, key, TEMPERATURE, 0.9 * units, leapfrogs=3)
            return moved.point, moved.acceptance

        point, acceptances = jax.lax.scan(move, AT(start), jax.random.split(key, 4))
        return point.position, acceptances

    keys = jax.random.split(jax.random.key(0), count)
    found, acceptances = jax.jit(jax.vmap(chain))(jnp.asarray(starts, jnp.float32), keys)
    ended = np.asarray(found, np.float64)
    for i in range(2):
        scale = COVARIANCE[i, i] ** 0.5
        assert stats.kstest(ended[:, i], "norm", (MEAN[i], scale)).pvalue > 1e-3
    assert np.abs((ended - MEAN).mean(0)).max() < 4 * (COVARIANCE.max() / count) ** 0.5
    np.testing.assert_allclose(np.cov(ended.T), COVARIANCE, atol=4 * 2**0.5 * COVARIANCE.max() / count**0.5)
    # Neither everything nor nothing was accepted, and chains forget where they began.
    assert 0.5 < acceptances.mean() < 0.9
    assert abs(np.corrcoef(starts[:, 0], ended[:, 0])[0, 1]) < 0.5


def test_leapfrogs_lead_back_preserve_volume_and_energy_to_second_order():
    start, momentum = jnp.asarray([0.4, 0.1]), jnp.asarray([-0.7, 1.1])

    @jax.jit
    def path(z, momentum, step, count):
        step = step * jnp.asarray([1.0, 0.6])
        return jax.lax.fori_loop(
            0, count, lambda _, both: leapfrog(AT, both[0], both[1], TEMPERATURE, step), (AT(z), momentum)
        )

    there, ended = path(start, momentum, 0.2, 10)
    back, turned = path(there.position, -ended, 0.2, 10)
    assert np.abs(there.position - start).max() > 0.5
    np.testing.assert_allclose(back.position, start, atol=2e-6)
    np.testing.assert_allclose(turned, -momentum, atol=2e-6)
    changes = [
        energy(*path(start, momentum, 0.4 / n, 2 * n)) - energy(*path(start, momentum, 0.4, 0))
        for n in (1, 2, 4)
    ]
    assert 3.2 < changes[0] / changes[1] < 5
    assert 3.2 < changes[1] / changes[2] < 5

    def whole(both):
        point, momentum = path(both[:2], both[2:], 0.3, 3)
        return jnp.concatenate([point.position, momentum])

    jacobian = jax.jit(jax.jacfwd(whole))(jnp.concatenate([start, momentum]))
    np.testing.assert_allclose(np.linalg.det(np.asarray(jacobian, np.float64)), 1, atol=1e-5)


@pytest.mark.slow
def test_what_has_no_energy_is_never_accepted():
    at = point_at(lambda z: jnp.sum(jnp.log(z)), lambda z: jnp.sum(jnp.log(z)) - z[0])
    keys = jax.random.split(jax.random.key(0), 100)

    def move(key):
        return hmc_move(at, at(jnp.full(2, 1e-3)), key, TEMPERATURE, jnp.ones(2), 2)

    moved = jax.jit(jax.vmap(move))(keys)
    assert np.isfinite(moved.point.position).all()
    assert np.isfinite(moved.point.log_densities).all()
    assert (moved.acceptance == 0).any()
