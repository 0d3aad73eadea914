"""Annealed importance sampling from both sides, against the exact log p(x)."""

import functools

import jax
import jax.numpy as jnp
import linear_gaussian as linear
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.analysis.one_image.annealing import (
    Annealing,
    Path,
    anneal,
    annealed_bound,
    schedule,
    simulated_sandwich,
)
from jaxvae.analysis.one_image.hmc import point_at
from jaxvae.config import (
    MLP,
    Bernoulli,
    Categorical,
    CouplingFlow,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    GaussianMixture,
    InverseAutoregressiveFlow,
    Model,
    TwoLayers,
    VampPrior,
)
from jaxvae.models.build import build_vae

REPEATS = 400


def keys(seed, count=REPEATS):
    return jax.random.split(jax.random.key(seed), count)


def bounds(model, x, settings, seed=0, count=REPEATS):
    """Annealed bounds of one image, ``count`` times."""
    return jax.jit(jax.vmap(lambda key: annealed_bound(model, x, key, settings)))(keys(seed, count))


@functools.cache
def linear_sandwiches(settings, seed=0, count=REPEATS):
    """Of the linear model, and by how much the bounds are off."""
    found = sandwiches(linear.model(), settings, seed, count)
    exact = linear.log_p(found.x)
    return found, np.asarray(found.lower.bound) - exact, np.asarray(found.upper.bound) - exact


def sandwiches(model, settings, seed=0, count=REPEATS):
    return jax.jit(jax.vmap(lambda key: simulated_sandwich(model, key, settings)))(keys(seed, count))


def error(values):
    return values.std(ddof=1) / len(values) ** 0.5


def test_temperatures_are_even_on_a_sigmoid_and_one_is_a_single_rise():
    np.testing.assert_array_equal(schedule(1), [0, 1])
    betas, ends = schedule(8), special.expit([-4, 4])
    assert (betas[0], betas[4], betas[8]) == (0, 0.5, 1)
    np.testing.assert_allclose(betas[3], (special.expit(-1) - ends[0]) / (ends[1] - ends[0]), rtol=1e-12)
    with pytest.raises(ValueError, match="at least one temperature"):
        schedule(0)


def test_one_temperature_is_importance_sampling():
    model, x, chains = linear.model(), linear.image(), 5
    key = jax.random.key(3)
    found = jax.jit(lambda key: annealed_bound(model, x, key, Annealing(1, chains)))(key)
    mean = linear.GAIN @ (linear.X - linear.B) + linear.SHIFT
    draws = jax.jit(
        jax.vmap(lambda c: model.encode(x).sample(jax.random.fold_in(jax.random.fold_in(key, c), 0)))
    )
    log_weights = []
    for z in np.asarray(draws(jnp.arange(chains)), np.float64):
        log_joint = stats.norm.logpdf(z).sum()
        log_joint += stats.norm.logpdf(linear.X, linear.W @ z + linear.B, linear.SIGMA).sum()
        log_weights.append(log_joint - stats.norm.logpdf(z, mean, linear.VARIANCES**0.5).sum())
    weights = np.exp(log_weights)
    np.testing.assert_allclose(found.bound, np.log(weights.mean()), atol=3e-6)
    np.testing.assert_allclose(
        found.standard_error, weights.std(ddof=1) / weights.mean() / chains**0.5, rtol=1e-4
    )
    np.testing.assert_allclose(found.effective_chains, weights.sum() ** 2 / (weights**2).sum(), rtol=1e-4)
    assert np.isnan(found.acceptance)


def check_both_sides(found, lower, upper):
    """Unbiased: the mean weight is p(x) forward, and 1 / p(x) backward; so the logs are below and above."""
    for log_ratio in (lower, -upper):
        weights = np.exp(log_ratio)
        assert abs(weights.mean() - 1) < 4 * error(weights) < 0.6
        assert log_ratio.mean() < 3 * error(log_ratio)
    # What a run says of its own error is right on average.
    assert abs(np.mean(found.lower.standard_error) / lower.std() - 1) < 0.4
    np.testing.assert_allclose(found.width, upper - lower, atol=1e-5)


@pytest.mark.slow
def test_a_simulated_image_is_between_its_bounds():
    found, lower, upper = linear_sandwiches(Annealing(10, 4))
    check_both_sides(found, lower, upper)
    assert lower.mean() < -3 * error(lower)
    assert upper.mean() > 3 * error(upper)
    x = np.asarray(found.x, np.float64).reshape(-1, 3)
    standardised = np.linalg.solve(np.linalg.cholesky(linear.MARGINAL), (x - linear.B).T)
    assert stats.kstest(standardised.reshape(-1), "norm").pvalue > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_the_bounds_of_both_sides_close_as_temperatures_grow(start):
    widths, spreads, count = [], [], 2000
    for temperatures in (4, 16, 64, 256):
        found, lower, upper = linear_sandwiches(Annealing(temperatures, 4, start), temperatures, count)
        if temperatures > 4:
            check_both_sides(found, lower, upper)
        widths.append((upper - lower).mean())
        spreads.append(lower.std())
    assert spreads == sorted(spreads, reverse=True)
    assert spreads[3] < 0.3 * spreads[1]
    assert widths[2] < 0.15 * widths[0]
    assert abs(widths[3]) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("start", ["posterior", "prior"])
def test_forward_weights_of_one_image_are_unbiased_and_their_spread_falls(start):
    spreads = []
    for temperatures in (4, 64):
        found = bounds(linear.model(), linear.image(), Annealing(temperatures, 4, start), count=4000)
        weights = np.exp(np.asarray(found.bound, np.float64) - linear.log_p(linear.X))
        assert abs(weights.mean() - 1) < 4 * error(weights)
        spreads.append(weights.std())
    assert spreads[1] < 0.4 * spreads[0]


def test_step_sizes_are_of_pilots_and_backward_of_the_forward_chains():
    at = point_at(lambda z: -0.5 * jnp.sum(z**2), lambda z: -20 * jnp.sum((z - 1) ** 2))
    path = Path(at, lambda chain: jnp.zeros(2), jnp.ones(2))
    settings, betas = Annealing(30, chains=4, first_step=0.3), schedule(30)
    starts = jax.random.normal(jax.random.key(0), (4 + settings.pilots, 2))

    def ended(starts):
        return anneal(path, jax.vmap(at)(starts), jax.random.key(1), betas, settings)

    every = jnp.stack([starts, starts.at[:4].mul(3), starts.at[4:].set(1e30)])
    found = jax.jit(jax.vmap(ended))(every)
    steps, weights = np.asarray(found.steps), np.asarray(found.log_weights)
    np.testing.assert_array_equal(steps[0], steps[1])
    assert (weights[0] != weights[1]).all()
    # Pilots that nothing is accepted of.
    np.testing.assert_allclose(steps[2], 0.3 * 0.98 ** np.arange(29), rtol=1e-5)
    changes = steps[0, 1:] / steps[0, :-1]
    is_grown = np.isclose(changes, 1.02, rtol=1e-5)
    assert (is_grown | np.isclose(changes, 0.98, rtol=1e-5)).all()
    assert len(set(is_grown)) == 2
    assert (Annealing().chains, Annealing().pilots) == (16, 4)


def test_chains_backward_take_the_steps_of_the_forward_ones_in_reverse():
    found = linear_sandwiches(Annealing(10, 4))[0]
    # The last move backward is at the temperature of the first one forward.
    np.testing.assert_array_equal(found.upper.final_step, np.float32(0.1))
    np.testing.assert_allclose(found.lower.final_step, 0.1 * 1.02**8, rtol=1e-5)


@pytest.mark.slow
def test_large_log_weights_keep_their_digits():
    # Densities of -5e4 nats, whose ratio is 7 everywhere: 300 rises must not add up their rounding.
    at = point_at(lambda z: -0.5 * jnp.sum(z**2) - 5e4, lambda z: -0.5 * jnp.sum(z**2) - 5e4 + 7)
    path = Path(at, lambda chain: jnp.zeros(2), jnp.ones(2))
    starts = jax.vmap(at)(jax.random.normal(jax.random.key(0), (6, 2)))
    found = anneal(path, starts, jax.random.key(1), schedule(300), Annealing(300, 4))
    np.testing.assert_allclose(found.log_weights, 7, atol=0.02)


def small(model):
    """An untrained model of four pixels, its networks' weights large enough to matter."""
    made = build_vae(model, jnp.full((2, 2, 1), 0.4), key=jax.random.key(1))
    leaves, tree = jax.tree.flatten(made)
    noises = [
        0.3 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys(5, len(leaves)), strict=True)
    ]
    return jax.tree.unflatten(tree, [leaf + noise for leaf, noise in zip(leaves, noises, strict=True)])


def by_quadrature(model, x, latents_of):
    """log p(x) as a sum over a grid of two latents."""
    axis = np.linspace(-9, 9, 361)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    encoded = model.encode(x)

    def log_joint(z):
        draw = model.at(encoded, latents_of(z))
        return draw.log_prior + draw.likelihood.log_prob(x)

    values = jax.jit(jax.vmap(log_joint))(jnp.asarray(grid, jnp.float32))
    return special.logsumexp(np.asarray(values, np.float64)) + 2 * np.log(axis[1] - axis[0])


NETWORK = MLP(hidden=(5,))
MODELS = [
    Model(2, NETWORK, Bernoulli(), DiagonalGaussian(), GaussianMixture(components=3)),
    Model(2, NETWORK, Bernoulli(), InverseAutoregressiveFlow(steps=2, hidden=(4,), context=2)),
    Model(2, NETWORK, Gaussian(sigma=0.4), FullGaussian(), CouplingFlow(layers=2, hidden=(4,))),
    Model(2, NETWORK, Categorical(), FullGaussian(), VampPrior(components=2)),
    Model(1, TwoLayers(lower_latents=1, hidden=(5,), upper_hidden=(4,)), Bernoulli(), DiagonalGaussian()),
]


@pytest.mark.slow
@pytest.mark.parametrize("start", ["posterior", "prior"])
@pytest.mark.parametrize("config", MODELS, ids=lambda model: model.posterior.kind + "-" + model.prior.kind)
def test_every_kind_of_model_is_annealed_to_its_sum_over_all_latents(config, start):
    model = small(config)
    x = jnp.asarray([1.0, 0.0, 1.0, 1.0]).reshape(2, 2, 1)
    two = isinstance(config.architecture, TwoLayers)
    exact = by_quadrature(model, x, (lambda z: (z[:1], z[1:])) if two else (lambda z: z))
    found = bounds(model, x, Annealing(60, 4, start), count=200)
    weights = np.exp(np.asarray(found.bound, np.float64) - exact)
    assert abs(weights.mean() - 1) < 4 * error(weights)
    assert error(weights) < 0.1
    sandwich = sandwiches(model, Annealing(60, 4, start), count=200)
    assert -3 * error(np.asarray(sandwich.width)) < sandwich.width.mean() < 1
