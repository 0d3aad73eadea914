"""Discretised logistics and their mixtures against float64 NumPy, from the distribution function alone."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxvae.models.likelihoods.logistic import (
    DiscretizedLogistic,
    LogisticMixture,
    clipped_mean,
    level_log_prob,
)
from tests.models.made_likelihoods import built, some_outputs, some_pixels

LEVELS = np.arange(256)
LOG_SCALES = [-9.0, -7.0, -4.0, -2.0, 0.0, 2.0]
LOCATIONS = [-1.0, -0.9961, -0.3, 0.0, 0.5, 1.0, 1.4]


def exact64(location, log_scale):
    """Log-mass of the 256 levels, in float64, from the tail that is nearer."""
    edges = np.concatenate([[-np.inf], (2 * np.arange(255) - 254) / 255, [np.inf]])
    standard = (edges - location) / np.exp(log_scale)
    low, high = standard[:-1], standard[1:]
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    top = special.log_expit(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top + np.log1p(-np.exp(special.log_expit(low) - top))


def mass(location, log_scale):
    """The same of numbers as float32 has them."""
    return exact64(np.float64(np.float32(location)), np.float64(np.float32(log_scale)))


@pytest.mark.parametrize("log_scale", LOG_SCALES)
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_discretised_logistic_is_the_mass_of_each_level(location, log_scale):
    log_prob = np.asarray(level_log_prob(jnp.asarray(LEVELS), jnp.float32(location), jnp.float32(log_scale)))
    np.testing.assert_allclose(np.logaddexp.reduce(log_prob.astype(float)), 0, atol=2e-6)
    exact = mass(location, log_scale)
    # Where float64 itself can tell: far tails of a narrow logistic are straight lines.
    known = np.isfinite(exact)
    assert known.sum() > 200
    np.testing.assert_allclose(log_prob[known], exact[known], rtol=3e-5, atol=3e-4)


@pytest.mark.parametrize("location", LOCATIONS)
def test_slopes_are_finite_at_every_level_and_those_of_float64(location):
    log_scales = np.linspace(-9, 2, 45, dtype=np.float32)
    slopes = jax.vmap(
        jax.vmap(jax.grad(level_log_prob, (1, 2)), (0, None, None)),
        (None, None, 0),
    )(jnp.asarray(LEVELS), jnp.float32(location), log_scales)
    assert all(np.isfinite(slope).all() for slope in slopes)
    for row, log_scale in enumerate(log_scales):
        if log_scale < -3:
            continue
        at, step = np.array([np.float32(location), log_scale], float), 1e-5
        for slope, move in zip(slopes, step * np.eye(2), strict=True):
            numerical = (exact64(*(at + move)) - exact64(*(at - move))) / (2 * step)
            np.testing.assert_allclose(slope[row], numerical, rtol=2e-3, atol=2e-3)


def test_the_ends_have_the_tails_and_their_neighbours_do_not():
    """Only levels 0 and 255: their neighbours are within 0.008 of them."""
    log_prob = level_log_prob(jnp.asarray([0, 1, 254, 255]), jnp.zeros(4), jnp.zeros(4))
    sure = level_log_prob(jnp.asarray([0, 255]), jnp.asarray([-50.0, 50.0]), jnp.zeros(2))
    np.testing.assert_allclose(log_prob[jnp.array([0, 3])], stats.logistic.logsf(254 / 255), rtol=1e-5)
    assert (log_prob[jnp.array([1, 2])] < log_prob[0] - 3).all()
    np.testing.assert_allclose(sure, 0, atol=1e-6)


@pytest.mark.parametrize("log_scale", [-7.0, -4.0, -2.0, 0.0, 1.5])
def test_the_mean_of_a_logistic_is_that_of_its_levels_to_half_a_level(log_scale):
    for location in LOCATIONS:
        ours = (float(clipped_mean(jnp.float32(location), jnp.float32(log_scale))) + 1) / 2
        with np.errstate(invalid="ignore"):
            probabilities = np.nan_to_num(np.exp(mass(location, log_scale)))
        assert abs(ours - probabilities @ LEVELS / 255) <= 0.5 / 255 + 1e-5
        clipped = integrate.quad(
            lambda u, m=location: np.clip(m + np.exp(log_scale) * special.logit(u), -1, 1), 0, 1, limit=500
        )[0]
        assert abs(2 * ours - 1 - clipped) < 2e-4


def mixture_by_hand(distribution, levels):
    """The log-probability of an image, in float64, by loops, from PixelCNN++'s description."""
    logits, location, log_scale, coupling = (
        np.asarray(each, np.float64)
        for each in (
            *(distribution.logits, distribution.location, distribution.log_scale),
            distribution.coupling,
        )
    )
    total = 0.0
    for row, column in itertools.product(*map(range, levels.shape[:2])):
        r, g, b = 2 * levels[row, column] / 255 - 1
        del b
        parts = []
        for k in range(logits.shape[-1]):
            m, s, c = (each[row, column, :, k] for each in (location, log_scale, np.tanh(coupling)))
            means = m[0], m[1] + c[0] * r, m[2] + c[1] * r + c[2] * g
            log_mass = sum(
                exact64(mean, scale)[level]
                for mean, scale, level in zip(means, s, levels[row, column], strict=True)
            )
            parts.append(logits[row, column, k] - np.logaddexp.reduce(logits[row, column]) + log_mass)
        total += np.logaddexp.reduce(parts)
    return total


def some_mixture(shape=(3, 2, 3), components=4, seed=0):
    likelihood = built("logistic_mixture", shape, components=components)
    return likelihood(some_outputs(likelihood, shape, seed))


def test_a_mixture_in_colour_is_the_one_written_out():
    distribution = some_mixture()
    levels = np.random.default_rng(2).integers(0, 256, (3, 2, 3))
    levels[0, 0], levels[0, 1] = (0, 255, 0), (255, 0, 255)
    ours = distribution.log_prob(jnp.asarray(levels / 255, jnp.float32))
    np.testing.assert_allclose(ours, mixture_by_hand(distribution, levels), rtol=1e-5)


def test_a_mixture_in_gray_sums_to_one_and_in_colour_channel_by_channel():
    gray = some_mixture((1, 1, 1))
    every = jnp.asarray(LEVELS / 255, jnp.float32).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(np.logaddexp.reduce(jax.vmap(gray.log_prob)(every)), 0, atol=1e-5)
    # The probabilities of all blues given red and green sum to that of both, in a mixture without blue; its
    # greens to that of red; and its reds to 1.
    colour = some_mixture((1, 1, 3))

    def without_blue(x):
        return LogisticMixture(
            colour.logits, colour.location[..., :2, :], colour.log_scale[..., :2, :], colour.coupling
        ).log_prob(x)

    def with_levels(*fixed):
        values = np.tile(np.array([*fixed, 0]), (256, 1))
        values[:, -1] = LEVELS
        return jnp.asarray(values / 255, jnp.float32).reshape(256, 1, 1, -1)

    red_alone = LogisticMixture(
        colour.logits, colour.location[..., :1, :], colour.log_scale[..., :1, :], colour.coupling
    ).log_prob
    for red, green in ((0, 0), (17, 200), (255, 128)):
        blues = np.logaddexp.reduce(jax.vmap(colour.log_prob)(with_levels(red, green)))
        both = jnp.asarray([red, green], jnp.float32).reshape(1, 1, 2) / 255
        np.testing.assert_allclose(blues, without_blue(both), rtol=1e-5)
        greens = np.logaddexp.reduce(jax.vmap(without_blue)(with_levels(red)))
        np.testing.assert_allclose(greens, red_alone(jnp.full((1, 1, 1), red / 255)), rtol=1e-5)
    np.testing.assert_allclose(np.logaddexp.reduce(jax.vmap(red_alone)(with_levels())), 0, atol=1e-5)


def test_a_mixture_of_one_is_the_logistic_itself():
    shape = (4, 3, 1)
    outputs = jnp.asarray(np.random.default_rng(0).normal(size=(*shape[:2], 3)), jnp.float32)
    x = some_pixels(built("logistic_mixture", shape, components=1), shape)
    mixture = built("logistic_mixture", shape, components=1)(outputs)
    single = built("discretized_logistic", shape)(outputs[..., 1:])
    np.testing.assert_allclose(mixture.log_prob(x), single.log_prob(x), rtol=1e-6)
    np.testing.assert_allclose(mixture.mean, single.mean, atol=1e-6)


def test_draws_of_a_mixture_have_its_probabilities():
    """Chi-squared over levels in sixteenths, of each channel alone and of red and green together."""
    distribution = some_mixture((1, 1, 3), components=3, seed=4)
    keys = jax.random.split(jax.random.key(1), 40_000)
    draws = 255 * np.asarray(jax.jit(jax.vmap(distribution.sample))(keys)).reshape(-1, 3)
    weights = special.softmax(np.asarray(distribution.logits, float).reshape(-1))
    location, log_scale, coupling = (
        np.asarray(each, float)[0, 0]
        for each in (distribution.location, distribution.log_scale, distribution.coupling)
    )
    red = np.exp([exact64(m, s) for m, s in zip(location[0], log_scale[0], strict=True)])
    expected = np.zeros((16, 16))
    for k, weight in enumerate(weights):
        for r in range(256):
            value = 2 * r / 255 - 1
            green = np.exp(exact64(location[1, k] + np.tanh(coupling[0, k]) * value, log_scale[1, k]))
            expected[r // 16] += weight * red[k, r] * green.reshape(16, 16).sum(1)
    seen = np.histogram2d(draws[:, 0], draws[:, 1], bins=16, range=((0, 256), (0, 256)))[0]
    expected *= len(draws)
    many = expected > 5
    statistic = ((seen - expected)[many] ** 2 / expected[many]).sum()
    assert stats.chi2.sf(statistic, many.sum() - 1) > 1e-3
    assert seen[~many].sum() < 2 * expected[~many].sum() + 20


def test_draws_of_a_logistic_have_its_probabilities():
    distribution = DiscretizedLogistic(jnp.full(40_000, -0.7), jnp.asarray(-1.0))
    draws = np.round(255 * np.asarray(distribution.sample(jax.random.key(3)))).astype(int)
    expected = len(draws) * np.exp(exact64(np.float64(np.float32(-0.7)), -1.0))
    seen = np.bincount(draws, minlength=256)
    many = expected > 5
    assert stats.chi2.sf(((seen - expected)[many] ** 2 / expected[many]).sum(), many.sum() - 1) > 1e-3


@pytest.mark.parametrize("per", ["image", "channel", "pixel"])
def test_the_scale_of_a_logistic_is_one_number_or_one_a_channel_or_the_decoders(per):
    shape = (4, 3, 3)
    likelihood = built("discretized_logistic", shape, scale_per=per)
    outputs = likelihood.initial_outputs(jnp.full(shape, 0.4))
    levels = np.random.default_rng(0).integers(0, 256, shape)
    exact = mass(2 * np.float32(0.4) - 1, -1)[levels].sum()
    np.testing.assert_allclose(
        likelihood(outputs).log_prob(jnp.asarray(levels / 255, jnp.float32)), exact, rtol=1e-5
    )
    deviation = stats.logistic.std(scale=np.exp(-1) / 2)
    names = {"image": ["sigma"], "channel": ["sigma_0", "sigma_1", "sigma_2"], "pixel": []}[per]
    assert likelihood.summary() == {name: pytest.approx(deviation, rel=1e-5) for name in names}
