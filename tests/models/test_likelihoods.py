"""Every likelihood against another way of computing it: SciPy, float64 NumPy, sums and integrals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from jaxvae import config
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.likelihoods.bernoulli import Bernoulli
from jaxvae.models.likelihoods.categorical import Categorical
from jaxvae.models.likelihoods.continuous_bernoulli import (
    ContinuousBernoulli,
    log_normaliser,
    logit_of,
    mean_of,
)
from tests.models.made_likelihoods import KINDS, built, some_outputs, some_pixels

LEVELS = np.arange(256)

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


@pytest.mark.slow
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


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=pytest.mark.slow) if "mixture" in kind or kind == "categorical" else kind
        for kind in KINDS
    ],
)
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


@pytest.mark.slow
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
