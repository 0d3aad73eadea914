"""Every likelihood against another way of computing it: SciPy, float64 NumPy, sums and integrals."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxvae import config
from jaxvae.config.kinds.likelihoods import Likelihood
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.likelihoods.bernoulli import Bernoulli
from jaxvae.models.likelihoods.categorical import Categorical
from jaxvae.models.likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    log_normaliser,
    logit_of,
    mean_of,
)
from jaxvae.models.likelihoods.logistic import (
    DiscretizedLogistic,
    LogisticMixture,
    clipped_mean,
    level_log_prob,
)

LEVELS = np.arange(256)
LOG_SCALES = [-9.0, -7.0, -4.0, -2.0, 0.0, 2.0]
LOCATIONS = [-1.0, -0.9961, -0.3, 0.0, 0.5, 1.0, 1.4]
KINDS = {name: kind for name, kind in Likelihood.kinds().items() if kind.__module__.startswith("jaxvae")}


def mass(location, log_scale, levels=LEVELS):
    """Log-mass of the levels from the distribution function alone, in float64 and of the nearer tail."""
    edges = np.concatenate([[-np.inf], (2 * np.arange(255) - 254) / 255, [np.inf]])
    standard = (edges - np.float64(np.float32(location))) / np.exp(np.float64(np.float32(log_scale)))
    low, high = standard[levels], standard[np.asarray(levels) + 1]
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    top = special.log_expit(high)
    with np.errstate(divide="ignore", invalid="ignore"):
        return top + np.log1p(-np.exp(special.log_expit(low) - top))


def built(kind, shape=(5, 3, 3), **fields):
    """A likelihood of a kind as a model has it."""
    chosen = KINDS[kind](**fields)
    return chosen.implementation().build(shape, **chosen.arguments())


def some_outputs(likelihood, shape, seed=0, spread=1.0):
    """Outputs of a decoder that has learned something."""
    rng = np.random.default_rng(seed)
    start = np.asarray(likelihood.initial_outputs(jnp.asarray(rng.uniform(0, 1, shape), jnp.float32)))
    return jnp.asarray(start + spread * rng.normal(size=start.shape), jnp.float32)


def some_pixels(likelihood, shape, seed=1):
    """Pixels that it takes."""
    rng = np.random.default_rng(seed)
    found = {"binary": rng.integers(0, 2, shape), "levels": rng.integers(0, 256, shape) / 255}
    return jnp.asarray(found.get(likelihood.support, rng.uniform(0, 1, shape)), jnp.float32)


# --- every kind ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 3, 1), (3, 7, 3)])
def test_a_likelihood_begins_with_outputs_of_its_shape_and_a_mean_near_the_images(kind, shape):
    likelihood = built(kind, shape)
    pixel_mean = jnp.linspace(0.1, 0.9, int(np.prod(shape))).reshape(shape)
    start = likelihood.initial_outputs(pixel_mean)
    assert start.shape[:2] == shape[:2]
    assert start.dtype == jnp.float32
    distribution = likelihood(start)
    tolerance = 0.15 if "logistic" in kind else 5e-3
    np.testing.assert_allclose(distribution.mean, pixel_mean, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_a_likelihood_is_of_one_image_under_vmap_and_jit(kind):
    shape = (5, 3, 3)
    likelihood = built(kind, shape)
    outputs = jnp.stack([some_outputs(likelihood, shape, seed) for seed in range(4)])
    pixels = jnp.stack([some_pixels(likelihood, shape, seed) for seed in range(4)])

    def everything(outputs, x, key):
        distribution = likelihood(outputs)
        return distribution.log_prob(x), distribution.mean, distribution.sample(key)

    many = jax.jit(jax.vmap(everything))(outputs, pixels, jax.random.split(jax.random.key(0), 4))
    for i, key in enumerate(jax.random.split(jax.random.key(0), 4)):
        for ours, one in zip(many, everything(outputs[i], pixels[i], key), strict=True):
            np.testing.assert_allclose(ours[i], one, rtol=1e-4, atol=1e-5)
    assert many[1].shape == many[2].shape == (4, *shape)
    if likelihood.support != "real":
        assert 0 <= float(many[1].min()) <= float(many[1].max()) <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [0.0, 1.0, 30.0, 1e4, 1e9])
def test_no_finite_output_of_a_decoder_gives_a_loss_or_a_gradient_that_is_not(kind, size):
    for number, fields in enumerate(
        [{}, {"learn_sigma": True, "sigma_per": "pixel"}] if kind == "gaussian" else [{}]
    ):
        shape = (4, 4, 3)
        likelihood = built(kind, shape, **fields)
        outputs = size * some_outputs(likelihood, shape, number)
        x = some_pixels(likelihood, shape)
        value, slope = jax.value_and_grad(lambda o, f=likelihood, x=x: f(o).log_prob(x))(outputs)
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_sampler_draws_the_mean(kind):
    shape = (2, 3, 3)
    likelihood = built(kind, shape)
    distribution = likelihood(some_outputs(likelihood, shape, spread=0.5))
    draws = np.asarray(jax.vmap(distribution.sample)(jax.random.split(jax.random.key(0), 20_000)))
    error = draws.std(0) / np.sqrt(len(draws))
    # A mixture's mean is exact to half a level, and to what clipping does to a channel that others depend on.
    bias = 0.02 if kind == "logistic_mixture" else 0.5 / 255 if kind == "discretized_logistic" else 0
    assert (np.abs(draws.mean(0) - distribution.mean) < 4.5 * error + bias + 1e-6).all()
    if likelihood.support == "levels":
        np.testing.assert_allclose(255 * draws, np.round(255 * draws), atol=1e-3)


def test_levels_are_refused_where_they_are_no_levels():
    likelihood = built("discretized_logistic", (2, 2, 1))
    distribution = likelihood(some_outputs(likelihood, (2, 2, 1)))
    with pytest.raises(ValueError, match=r"takes levels k / 255, not .*jnp\.round"):
        distribution.log_prob(np.full((2, 2, 1), 0.5))
    with pytest.raises(ValueError, match="not from"):
        distribution.log_prob(np.full((2, 2, 1), 128.0))
    with pytest.raises(ValueError, match=r"of shape \(2, 2, 1\)"):
        distribution.log_prob(np.zeros((2, 2)))
    distribution.log_prob(np.full((2, 2, 1), 128 / 255))


# --- logistics ---


@pytest.mark.parametrize("log_scale", LOG_SCALES)
@pytest.mark.parametrize("location", LOCATIONS)
def test_a_discretised_logistic_is_the_mass_of_each_level(location, log_scale):
    log_prob = np.asarray(level_log_prob(jnp.asarray(LEVELS), jnp.float32(location), jnp.float32(log_scale)))
    np.testing.assert_allclose(special.logsumexp(log_prob.astype(float)), 0, atol=2e-6)
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
        for which, step in enumerate((1e-5, 1e-5)):
            move = [step * (which == 0), step * (which == 1)]
            up, down = (
                exact64(np.float64(np.float32(location)) + sign * move[0], float(log_scale) + sign * move[1])
                for sign in (1, -1)
            )
            np.testing.assert_allclose(slopes[which][row], (up - down) / (2 * step), rtol=2e-3, atol=2e-3)


def exact64(location, log_scale):
    """As ``mass``, without rounding its arguments."""
    edges = np.concatenate([[-np.inf], (2 * np.arange(255) - 254) / 255, [np.inf]])
    standard = (edges - location) / np.exp(log_scale)
    low, high = standard[:-1], standard[1:]
    flip = low > 0
    low, high = np.where(flip, -high, low), np.where(flip, -low, high)
    top = special.log_expit(high)
    return top + np.log1p(-np.exp(special.log_expit(low) - top))


def test_the_ends_have_the_tails_and_their_neighbours_do_not():
    """Levels 0 and 255 alone: 1 / 255 and 254 / 255 are within 0.008 of an end."""
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
            parts.append(logits[row, column, k] - special.logsumexp(logits[row, column]) + log_mass)
        total += special.logsumexp(parts)
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
    np.testing.assert_allclose(special.logsumexp(jax.vmap(gray.log_prob)(every)), 0, atol=1e-5)
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
        blues = special.logsumexp(jax.vmap(colour.log_prob)(with_levels(red, green)))
        both = jnp.asarray([red, green], jnp.float32).reshape(1, 1, 2) / 255
        np.testing.assert_allclose(blues, without_blue(both), rtol=1e-5)
        greens = special.logsumexp(jax.vmap(without_blue)(with_levels(red)))
        np.testing.assert_allclose(greens, red_alone(jnp.full((1, 1, 1), red / 255)), rtol=1e-5)
    np.testing.assert_allclose(special.logsumexp(jax.vmap(red_alone)(with_levels())), 0, atol=1e-5)


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


# --- continuous Bernoulli ---

LOGITS = [0.0, 1e-6, -1e-3, 0.05, -0.2999, 0.3, -0.3001, 0.7, 3.0, -20.0, 90.0, -500.0, 1e4]


def continuous_bernoulli(a):
    """Log of the normaliser and mean in float64; near 0 by numerical integration."""
    a = float(a)
    if abs(a) > 1e-2:
        return np.log(a / np.tanh(a / 2)), -1 / np.expm1(-a) - 1 / a if a > -700 else -1 / a
    area = integrate.quad(lambda x: special.expit(a) ** x * special.expit(-a) ** (1 - x), 0, 1)[0]
    moment = integrate.quad(lambda x: x * special.expit(a) ** x * special.expit(-a) ** (1 - x), 0, 1)[0]
    return -np.log(area), moment / area


@pytest.mark.parametrize("logit", LOGITS)
def test_the_continuous_bernoulli_is_its_closed_form(logit):
    log_c, mean = continuous_bernoulli(logit)
    np.testing.assert_allclose(log_normaliser(jnp.abs(jnp.float32(logit))), log_c, rtol=5e-7)
    np.testing.assert_allclose(mean_of(jnp.float32(logit)), mean, rtol=3e-6)
    for x in (0.0, 0.25, 1.0):
        exact = x * float(logit) + special.log_expit(-float(logit)) + log_c
        value, slope = jax.value_and_grad(
            lambda a, x=x: ContinuousBernoulli(a[None]).log_prob(jnp.asarray([x]))
        )(jnp.float32(logit))
        np.testing.assert_allclose(value, exact, rtol=1e-6, atol=2e-6)
        # d/da of the log-density is x minus the mean.
        np.testing.assert_allclose(slope, x - mean, atol=3e-6)


def test_the_continuous_bernoulli_integrates_to_one_and_draws_what_it_says():
    for logit in (-8.0, -0.29, 0.0, 0.1, 0.31, 8.0):
        a = np.float32(logit)
        x = np.linspace(0, 1, 2001)
        density = np.exp(
            jax.vmap(lambda x, a=a: ContinuousBernoulli(jnp.full(1, a)).log_prob(x))(
                jnp.asarray(x, jnp.float32)[:, None]
            )
        )
        np.testing.assert_allclose(integrate.simpson(density, x=x), 1, rtol=2e-6)
        draws = np.asarray(ContinuousBernoulli(jnp.full(20_000, a)).sample(jax.random.key(5)))
        assert 0 <= draws.min() <= draws.max() <= 1
        cdf = (lambda x, a=a: np.expm1(float(a) * x) / np.expm1(float(a))) if logit else (lambda x: x)
        assert stats.kstest(draws, cdf).pvalue > 1e-3


def test_the_logit_of_a_mean_is_found():
    means = np.linspace(0.03, 0.97, 41)
    np.testing.assert_allclose(mean_of(logit_of(jnp.asarray(means, jnp.float32))), means, atol=1e-5)
    np.testing.assert_allclose(logit_of(jnp.asarray([0.0, 1.0])), [-50, 50], rtol=1e-4)


# --- categorical, Bernoulli, Gaussian ---


def test_a_categorical_is_scipys_and_even_logits_take_exactly_eight_bits():
    rng = np.random.default_rng(0)
    logits, levels = rng.normal(0, 3, (4, 3, 2, 256)).astype(np.float32), rng.integers(0, 256, (4, 3, 2))
    exact = np.take_along_axis(special.log_softmax(logits.astype(float), -1), levels[..., None], -1).sum()
    x = jnp.asarray(levels / 255, jnp.float32)
    np.testing.assert_allclose(Categorical(jnp.asarray(logits)).log_prob(x), exact, rtol=1e-6)
    even = Categorical(jnp.full((4, 3, 2, 256), 1.25)).log_prob(x)
    np.testing.assert_allclose(-even / (x.size * np.log(2)), 8, rtol=1e-6)
    expected = special.softmax(logits.astype(float), -1) @ (LEVELS / 255)
    np.testing.assert_allclose(Categorical(jnp.asarray(logits)).mean, expected, rtol=1e-5)


def test_draws_of_a_categorical_and_of_a_bernoulli_have_their_probabilities():
    logits = jnp.asarray(np.random.default_rng(1).normal(0, 1, 256), jnp.float32)
    draws = Categorical(jnp.broadcast_to(logits, (50_000, 256))).sample(jax.random.key(2))
    seen = np.bincount(np.round(255 * np.asarray(draws)).astype(int), minlength=256)
    expected = 50_000 * special.softmax(np.asarray(logits, float))
    assert stats.chi2.sf(((seen - expected) ** 2 / expected).sum(), 255) > 1e-3
    ones = np.asarray(Bernoulli(jnp.full(50_000, 0.8)).sample(jax.random.key(3)))
    assert stats.binomtest(int(ones.sum()), 50_000, special.expit(0.8)).pvalue > 1e-3


@pytest.mark.parametrize("per", ["image", "channel", "pixel"])
def test_sigma_is_one_number_or_one_a_channel_or_the_decoders(per):
    shape = (4, 3, 3)
    likelihood = built("gaussian", shape, sigma=0.3, learn_sigma=True, sigma_per=per)
    assert isinstance(likelihood, GaussianLikelihood)
    outputs = likelihood.initial_outputs(jnp.full(shape, 0.4))
    x = some_pixels(likelihood, shape)
    exact = stats.norm.logpdf(np.asarray(x, float), 0.4, 0.3).sum()
    np.testing.assert_allclose(likelihood(outputs).log_prob(x), exact, rtol=1e-5)
    slopes = jax.grad(lambda both: both[0](both[1]).log_prob(x))((likelihood, outputs))
    # d/d log sigma of the log-density is ((x - mean) / sigma)^2 - 1, summed over what has one sigma.
    slope = ((np.asarray(x, float) - 0.4) / 0.3) ** 2 - 1
    found = slopes[1][..., 3:] if per == "pixel" else slopes[0].raw_log_sigma
    expected = {"image": slope.sum(), "channel": slope.sum((0, 1)), "pixel": slope}[per]
    # The bound's own slope at log 0.3: 1 - tanh(raw / 8)^2.
    np.testing.assert_allclose(found, expected * (1 - (np.log(0.3) / 8) ** 2), rtol=1e-4)
    names = {"image": ["sigma"], "channel": ["sigma_0", "sigma_1", "sigma_2"], "pixel": []}[per]
    assert likelihood.summary() == {name: pytest.approx(0.3) for name in names}


def test_a_fixed_sigma_is_one_number_whatever_it_would_be_one_of():
    assert GaussianLikelihood(0.5, False, "channel", 3).raw_log_sigma is not None
    fixed = built("gaussian", sigma=0.5)
    slopes = jax.grad(lambda f: f(jnp.zeros((2, 2, 3))).log_prob(jnp.ones((2, 2, 3))))(fixed)
    assert float(slopes.raw_log_sigma) == 0


@pytest.mark.parametrize("per", ["image", "channel", "pixel"])
def test_the_scale_of_a_logistic_is_one_number_or_one_a_channel_or_the_decoders(per):
    shape = (4, 3, 3)
    likelihood = built("discretized_logistic", shape, scale_per=per)
    outputs = likelihood.initial_outputs(jnp.full(shape, 0.4))
    levels = np.random.default_rng(0).integers(0, 256, shape)
    exact = mass(2 * np.float32(0.4) - 1, -1, levels).sum()
    np.testing.assert_allclose(
        likelihood(outputs).log_prob(jnp.asarray(levels / 255, jnp.float32)), exact, rtol=1e-5
    )
    deviation = stats.logistic.std(scale=np.exp(-1) / 2)
    names = {"image": ["sigma"], "channel": ["sigma_0", "sigma_1", "sigma_2"], "pixel": []}[per]
    assert likelihood.summary() == {name: pytest.approx(deviation, rel=1e-5) for name in names}


@pytest.mark.parametrize("network", [{"hidden": (6,)}, {"hidden": (6,), "channels": (4,)}])
@pytest.mark.parametrize(
    "likelihood",
    [
        config.ContinuousBernoulli(),
        config.DiscretizedLogistic(),
        config.LogisticMixture(components=2),
        config.Categorical(),
        config.Gaussian(learn_sigma=True, sigma_per="pixel"),
        config.Gaussian(learn_sigma=True, sigma_per="channel"),
    ],
)
def test_every_network_gives_what_every_likelihood_takes(make_vae, network, likelihood):
    model = make_vae(shape=(5, 6, 3), latent_dim=2, likelihood=likelihood, **network)
    assert model.decode(jnp.zeros(2)).mean.shape == (5, 6, 3)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(model))
