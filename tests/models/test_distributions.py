import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.models.distributions import (
    Gaussian,
    StandardNormal,
    bounded_log_scale,
    unbounded_log_scale,
)
from jaxvae.models.likelihoods.bernoulli import Bernoulli

HUGE = float(np.finfo(np.float32).max)


def exact_kl(mean, log_scale):
    mean, log_scale = np.asarray(mean, np.longdouble), np.asarray(log_scale, np.longdouble)
    return float(0.5 * np.sum(mean**2 + np.expm1(2 * log_scale) - 2 * log_scale))


@pytest.mark.parametrize("log_scale", [-7.9, -1.0, -1e-2, -1e-3, 0.0, 1e-3, 1.0, 7.9])
@pytest.mark.parametrize("mean", [0.0, 1e-3, 1.0, 30.0])
def test_kl_equals_the_closed_form_in_float64(mean, log_scale):
    means, log_scales = np.full(7, mean, np.float32), np.full(7, log_scale, np.float32)
    kl = Gaussian(jnp.asarray(means), jnp.asarray(log_scales)).kl_to_standard_normal()
    # Two roundings of numbers of the size of 2 log_scale, for each of seven dimensions.
    np.testing.assert_allclose(
        kl, exact_kl(means, log_scales), rtol=1e-6, atol=7 * 2**-24 * abs(2 * log_scale)
    )


def test_kl_keeps_the_digits_that_the_naive_form_loses():
    log_scales = np.linspace(1e-3, 1e-2, 500, dtype=np.float32)[:, None]
    exact = np.array([exact_kl(0.0, log_scale) for log_scale in log_scales])
    ours = jax.vmap(lambda s: Gaussian(jnp.zeros(1), s).kl_to_standard_normal())(log_scales)
    naive = 0.5 * (np.exp(2 * log_scales) - np.float32(1) - 2 * log_scales)[:, 0]
    assert 10 * np.abs(ours / exact - 1).mean() < np.abs(naive / exact - 1).mean()


def test_kl_equals_its_monte_carlo_mean():
    posterior = Gaussian(jnp.array([0.5, -1.0, 2.0]), jnp.array([-1.0, 0.3, -0.2]))
    z = jax.vmap(posterior.sample)(jax.random.split(jax.random.key(0), 200_000))
    ratios = jax.vmap(posterior.log_prob)(z) - jax.vmap(StandardNormal((3,)).log_prob)(z)
    error = float(jnp.std(ratios)) / np.sqrt(len(ratios))
    assert abs(float(jnp.mean(ratios)) - float(posterior.kl_to_standard_normal())) < 4 * error


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2)])
def test_gaussian_log_prob_equals_scipy(shape):
    rng = np.random.default_rng(1)
    mean, log_scale, x = (rng.normal(size=shape).astype(np.float32) for _ in range(3))
    expected = stats.norm.logpdf(x.astype(float), mean, np.exp(log_scale.astype(float))).sum()
    ours = Gaussian(jnp.asarray(mean), jnp.asarray(log_scale)).log_prob(jnp.asarray(x))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)
    shared = stats.norm.logpdf(x.astype(float), mean, np.exp(0.3)).sum()
    ours = Gaussian(jnp.asarray(mean), jnp.asarray(0.3)).log_prob(jnp.asarray(x))
    np.testing.assert_allclose(ours, shared, rtol=1e-5)


def test_samples_have_the_stated_distribution():
    gaussian = Gaussian(jnp.array([1.0, -2.0]), jnp.array([0.5, -1.0]))
    z = np.asarray(jax.vmap(gaussian.sample)(jax.random.split(jax.random.key(2), 20_000)))
    for column, mean, log_scale in zip(z.T, gaussian.mean, gaussian.log_scale, strict=True):
        assert stats.kstest((column - float(mean)) / float(jnp.exp(log_scale)), "norm").pvalue > 1e-3


def test_bernoulli_log_prob_equals_scipy():
    rng = np.random.default_rng(3)
    logits, x = rng.normal(0, 3, 50).astype(np.float32), rng.integers(0, 2, 50)
    expected = stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits.astype(float)))).sum()
    ours = Bernoulli(jnp.asarray(logits)).log_prob(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(ours, expected, rtol=1e-5)


@pytest.mark.parametrize("logit", [-1e4, -90.0, 90.0, 1e4])
def test_bernoulli_is_exact_where_a_probability_would_round_to_0_or_1(logit):
    for x in (0.0, 1.0):
        log_prob, slope = jax.value_and_grad(lambda t, x=x: Bernoulli(t[None]).log_prob(jnp.array([x])))(
            logit
        )
        agrees = (logit > 0) == (x == 1)
        np.testing.assert_allclose(log_prob, 0.0 if agrees else -abs(logit), atol=1e-30)
        np.testing.assert_allclose(slope, 0.0 if agrees else -np.sign(logit), atol=1e-30)


@pytest.mark.parametrize("raw", [-HUGE, -1e9, -100.0, 0.0, 100.0, 1e9, HUGE])
def test_no_finite_output_gives_an_unusable_scale(raw):
    def everything(raw):
        log_scale = bounded_log_scale(raw)
        gaussian = Gaussian(jnp.ones(3), jnp.full(3, log_scale))
        return gaussian.kl_to_standard_normal() + gaussian.log_prob(jnp.full(3, 5.0))

    log_scale = float(bounded_log_scale(jnp.asarray(raw, jnp.float32)))
    assert abs(log_scale) <= 8
    value, slope = jax.value_and_grad(everything)(jnp.asarray(raw, jnp.float32))
    assert np.isfinite(value)
    assert np.isfinite(slope)


def test_the_bound_on_log_scales_is_inverted():
    for log_scale in (-6.9, -0.1, 0.0, 2.0, 6.9):
        raw = jnp.asarray(unbounded_log_scale(log_scale), jnp.float32)
        np.testing.assert_allclose(bounded_log_scale(raw), log_scale, rtol=1e-5, atol=1e-7)
