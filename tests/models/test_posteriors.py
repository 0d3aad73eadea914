"""Posteriors beyond the diagonal Gaussian, against SciPy, automatic differentiation and closed forms."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.config import MLP, Config, Data, InverseAutoregressiveFlow, Model
from jaxvae.models.build import build_vae
from jaxvae.models.distributions import Gaussian, StandardNormal, unbounded_log_scale
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.objectives import importance_weighted_bounds
from jaxvae.models.posteriors import AbstractPosterior, DiagonalPosterior
from jaxvae.models.posteriors.autoregressive import AutoregressivePosterior
from jaxvae.models.posteriors.full_gaussian import FullGaussian, FullGaussianPosterior, strictly_lower
from jaxvae.models.posteriors.masked_mlp import MaskedMLP
from jaxvae.models.rates import rate
from jaxvae.models.vae import VAE
from jaxvae.runs.evaluation import Evaluator

HUGE = float(np.finfo(np.float32).max)


def normal_of_scipy(mean, covariance) -> Any:
    """SciPy's N(mean, covariance); its type stubs take the covariance for a number."""
    return stats.multivariate_normal(mean, covariance)


def randomised(module, seed=0, scale=0.5):
    """The module with normal weights, also where they start at zero."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda w: jnp.asarray(rng.normal(0, scale, w.shape), jnp.float32), module)


def full_gaussian(latent_dim, seed=0):
    posterior = FullGaussianPosterior(latent_dim)
    outputs = np.random.default_rng(seed).normal(size=posterior.outputs)
    return posterior(jnp.asarray(outputs, jnp.float32))


def flow(latent_dim, *, steps=2, hidden=(16,), context=3, seed=0):
    posterior = AutoregressivePosterior(latent_dim, steps, hidden, context, key=jax.random.key(0))
    outputs = np.random.default_rng(seed).normal(size=posterior.outputs)
    return randomised(posterior, seed)(jnp.asarray(outputs, jnp.float32))


@pytest.mark.parametrize("latent_dim", [1, 2, 3, 7])
def test_a_full_gaussian_has_the_density_of_scipy_and_of_its_own_draws(latent_dim):
    q = full_gaussian(latent_dim)
    factor = np.asarray(q.factor, float)
    assert np.count_nonzero(factor) == latent_dim * (latent_dim + 1) // 2
    assert np.all(np.diag(factor) > 0)
    covariance = factor @ factor.T
    exact = normal_of_scipy(np.asarray(q.mean, float), covariance)
    z, log_q = q.sample_and_log_prob(jax.random.key(1))
    np.testing.assert_array_equal(z, q.sample(jax.random.key(1)))
    for value, log_prob in ((z, log_q), (z, q.log_prob(z)), (2 * z + 1, q.log_prob(2 * z + 1))):
        np.testing.assert_allclose(log_prob, exact.logpdf(np.asarray(value, float)), rtol=2e-5, atol=2e-5)
    np.testing.assert_allclose(2 * q.log_scale, np.log(np.diag(covariance)), rtol=1e-5, atol=1e-6)


def test_draws_of_a_full_gaussian_have_its_mean_and_covariance():
    q = full_gaussian(3)
    keys = jax.random.split(jax.random.key(0), 20_000)
    factor, mean = np.asarray(q.factor, float), np.asarray(q.mean, float)
    for temperature, draw in (
        (1.0, q.sample),
        (0.5, lambda key: q.tempered_sample(key, 0.5)),
    ):
        z = np.asarray(jax.vmap(draw)(jax.random.clone(keys)), float)
        white = np.linalg.solve(factor, (z - mean).T) / temperature
        for row in white:
            assert stats.kstest(row, "norm").pvalue > 1e-3
        np.testing.assert_allclose(np.corrcoef(white), np.eye(3), atol=0.03)


def test_the_lower_triangle_holds_every_entry_once():
    for size in (1, 2, 3, 6):
        entries = jnp.arange(1.0, size * (size - 1) // 2 + 1)
        matrix = np.asarray(strictly_lower(entries, size))
        assert not np.any(np.triu(matrix))
        np.testing.assert_array_equal(np.sort(matrix[np.tril_indices(size, -1)]), entries)


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (full_gaussian(4), StandardNormal((4,))),
        (
            Gaussian(jnp.array([0.5, -1.0, 2.0]), jnp.array([-1.0, 0.3, 0.2])),
            Gaussian(jnp.array([0.1, -1.5, 1.0]), jnp.array([0.4, 0.1, -0.5])),
        ),
        (Gaussian(jnp.array([0.5, -1.0]), jnp.asarray(-1.0)), Gaussian(jnp.ones(2), jnp.array([0.4, 0.1]))),
    ],
)
def test_rates_in_closed_form_are_those_of_float64_and_of_monte_carlo(q, p):
    def moments(d):
        if isinstance(d, StandardNormal):
            return np.zeros(d.shape), np.eye(d.shape[0])
        mean = np.asarray(d.mean, float)
        factor = np.asarray(d.factor, float) if isinstance(d, FullGaussian) else None
        scales = np.broadcast_to(np.exp(np.asarray(d.log_scale, float)), mean.shape)
        return mean, np.diag(scales**2) if factor is None else factor @ factor.T

    (m, s), (n, t) = moments(q), moments(p)
    inverse = np.linalg.inv(t)
    exact = np.trace(inverse @ s) + (m - n) @ inverse @ (m - n) - len(m)
    exact = 0.5 * (exact + np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1])
    closed = rate(q, p, jnp.asarray(math.nan), jnp.asarray(math.nan))
    np.testing.assert_allclose(closed, exact, rtol=1e-5)
    z, log_q = jax.vmap(q.sample_and_log_prob)(jax.random.split(jax.random.key(3), 100_000))
    each = np.asarray(log_q - jax.vmap(p.log_prob)(z), float)
    assert abs(each.mean() - exact) < 4 * each.std() / math.sqrt(len(each))


@pytest.mark.parametrize("raw", [-HUGE, -1e9, -30.0, 30.0, 1e9, HUGE])
def test_no_finite_output_makes_values_or_gradients_that_are_not_finite(raw):
    def full(raw):
        outputs = jnp.concatenate([jnp.ones(3), jnp.full(3, raw), jnp.full(3, 0.5)])
        q = FullGaussianPosterior(3)(outputs)
        z, log_q = q.sample_and_log_prob(jax.random.key(0))
        return jnp.sum(z) + log_q + q.kl_to_standard_normal() + q.log_prob(jnp.ones(3))

    def autoregressive(raw):
        posterior = AutoregressivePosterior(3, 2, (), 2, key=jax.random.key(0))
        bias = [jnp.concatenate([jnp.ones(3), jnp.full(3, raw)])] * 2
        posterior = eqx.tree_at(lambda p: [n.layers[0].bias for n in p.networks], posterior, bias)
        q = posterior(jnp.concatenate([jnp.ones(3), jnp.full(3, raw), jnp.ones(2)]))
        z, log_q = q.sample_and_log_prob(jax.random.key(0))
        return jnp.sum(z) + log_q + jnp.sum(q.noiseless)

    for function in (full, autoregressive):
        value, slope = jax.value_and_grad(function)(jnp.asarray(raw, jnp.float32))
        assert np.isfinite(value)
        assert np.isfinite(slope)


@pytest.mark.parametrize(("latent_dim", "hidden"), [(1, (4,)), (4, ()), (4, (16,)), (5, (16, 12))])
def test_a_masked_network_depends_on_the_latents_before_and_on_all_of_them(latent_dim, hidden):
    network = randomised(MaskedMLP(latent_dim, 2, hidden, key=jax.random.key(0)))
    c, z = jnp.array([0.3, -0.5]), jnp.linspace(-1, 1, latent_dim)
    for part in (0, 1):
        slopes = np.asarray(jax.jacfwd(lambda z, part=part: network(c, z)[part])(z))
        np.testing.assert_array_equal(slopes != 0, np.tri(latent_dim, k=-1, dtype=bool))
        of_context = jax.jacfwd(lambda c, part=part: network(c, z)[part])(c)
        assert np.all(np.asarray(of_context) != 0)


def test_steps_are_those_of_the_paper():
    """In float64, a latent at a time, from the networks' values where later latents are anything."""
    q = flow(3, hidden=(16,))
    z = np.array([0.4, -1.2, 0.9])
    expected, log_gates = z.copy(), 0.0
    for step, network in enumerate(q.networks):
        before = expected[::-1].copy() if step else expected.copy()
        expected = np.empty(3)
        for i in range(3):
            seen = np.where(np.arange(3) < i, before, 77.0)
            m, s = (np.asarray(v, float)[i] for v in network(q.context, jnp.asarray(seen, jnp.float32)))
            g = 1 / (1 + math.exp(-(8 * math.tanh(s / 8) + 1.5)))
            expected[i] = g * before[i] + (1 - g) * m
            log_gates += math.log(g)
    ours, log_determinant = q.transform(jnp.asarray(z, jnp.float32))
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_determinant, log_gates, rtol=1e-4)


@pytest.mark.parametrize(("latent_dim", "steps", "hidden"), [(1, 2, (4,)), (4, 1, ()), (5, 3, (16, 16))])
def test_a_flow_is_inverted_and_its_determinant_is_that_of_its_derivative(latent_dim, steps, hidden):
    q = flow(latent_dim, steps=steps, hidden=hidden)
    start = jnp.linspace(-1, 1, latent_dim)
    z, log_determinant = q.transform(start)
    jacobian = np.asarray(jax.jacfwd(lambda z: q.transform(z)[0])(start), float)
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-5)
    back, again = q.invert(z)
    np.testing.assert_allclose(back, start, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(again, log_determinant, rtol=1e-4, atol=1e-4)
    value, log_q = q.sample_and_log_prob(jax.random.key(5))
    np.testing.assert_array_equal(value, q.sample(jax.random.key(5)))
    np.testing.assert_allclose(q.log_prob(value), log_q, rtol=1e-4, atol=1e-4)
    # The density's slope in the value, through the inverse, by differences.
    slope = np.asarray(jax.grad(q.log_prob)(value), float)
    step = 1e-2 * np.eye(latent_dim, dtype=np.float32)
    for i in range(latent_dim):
        ahead, behind = q.log_prob(value + step[i]), q.log_prob(value - step[i])
        np.testing.assert_allclose((ahead - behind) / 2e-2, slope[i], rtol=0.02, atol=0.02)


def test_a_flow_integrates_to_one_and_its_draws_have_its_density():
    q = flow(2, context=1)
    grid = np.linspace(-12, 12, 1201, dtype=np.float32)
    cell = (grid[1] - grid[0]) ** 2
    density = jax.jit(
        jax.vmap(jax.vmap(lambda a, b: jnp.exp(q.log_prob(jnp.stack([a, b]))), (None, 0)), (0, None))
    )
    table = np.asarray(density(grid, grid), float)
    assert abs(table.sum() * cell - 1) < 2e-3
    z = np.asarray(jax.vmap(q.sample)(jax.random.split(jax.random.key(1), 20_000)), float)
    for axis in (0, 1):
        marginal = np.cumsum(table.sum(1 - axis)) * cell
        pvalue = stats.kstest(z[:, axis], lambda v, cdf=marginal: np.interp(v, grid + 0.01, cdf)).pvalue
        assert pvalue > 1e-3


def linear_flow(mean, factor):
    """One linear step with which the flow is N(mean, factor factor^T), by hand."""
    size = len(mean)
    gate = 1 / (1 + math.exp(-1.5))
    posterior = AutoregressivePosterior(size, 1, (), 0, key=jax.random.key(0))
    # z = D u + (1 - g) m(u) with u = D' eps: the base's scales are the factor's diagonal over g.
    scales = np.diag(factor) / gate
    weight = np.zeros((2 * size, size))
    weight[:size] = np.tril(factor, -1) / scales / (1 - gate)
    bias = np.concatenate([mean / (1 - gate), np.zeros(size)])
    posterior = eqx.tree_at(
        lambda p: (p.networks[0].layers[0].weight, p.networks[0].layers[0].bias),
        posterior,
        (jnp.asarray(weight, jnp.float32), jnp.asarray(bias, jnp.float32)),
    )
    raw = [unbounded_log_scale(math.log(scale)) for scale in scales]
    return posterior, jnp.asarray([*np.zeros(size), *raw], jnp.float32)


def test_one_linear_step_is_a_gaussian_with_any_covariance():
    rng = np.random.default_rng(4)
    factor = np.tril(rng.normal(size=(4, 4)), -1) + np.diag(rng.uniform(0.3, 1.5, 4))
    mean = rng.normal(size=4)
    posterior, outputs = linear_flow(mean, factor)
    q, exact = posterior(outputs), normal_of_scipy(mean, factor @ factor.T)
    for key in jax.random.split(jax.random.key(2), 3):
        z, log_q = q.sample_and_log_prob(key)
        np.testing.assert_allclose(log_q, exact.logpdf(np.asarray(z, float)), rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(q.log_prob(z + 1), exact.logpdf(np.asarray(z, float) + 1), rtol=1e-4)


class Back(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return (self.weight @ z).reshape(3, 2, 1)


class Constant(eqx.Module):
    """An encoder that gives the outputs that it is told to."""

    posterior: AbstractPosterior
    outputs: jax.Array

    def __call__(self, x):
        return self.posterior(self.outputs)


def test_any_covariance_closes_the_gap_that_independent_latents_have():
    """On a linear-Gaussian model, of which the posterior and p(x) are known."""
    rng = np.random.default_rng(5)
    weight, sigma, x = rng.normal(size=(6, 3)) + 1.5 * rng.normal(size=(6, 1)), 0.5, rng.uniform(size=6)
    precision = np.eye(3) + weight.T @ weight / sigma**2
    covariance = np.linalg.inv(precision)
    mean, factor = covariance @ weight.T @ x / sigma**2, np.linalg.cholesky(covariance)
    log_p = normal_of_scipy(np.zeros(6), weight @ weight.T + sigma**2 * np.eye(6)).logpdf(x)
    # The best independent latents have the posterior's conditional variances.
    gap = 0.5 * (np.log(np.diag(precision)).sum() - np.linalg.slogdet(precision)[1])
    assert gap > 0.5

    def raw(scales):
        return [unbounded_log_scale(math.log(scale)) for scale in scales]

    # The entries below the diagonal, in the order in which the posterior takes them.
    order = np.asarray(strictly_lower(jnp.arange(3.0), 3)).astype(int)
    below = np.empty(3)
    below[order[np.tril_indices(3, -1)]] = factor[np.tril_indices(3, -1)] * math.sqrt(3)
    exact = [
        (FullGaussianPosterior(3), jnp.asarray([*mean, *raw(np.diag(factor)), *below], jnp.float32)),
        linear_flow(mean, factor),
    ]
    independent = (DiagonalPosterior(3), jnp.asarray([*mean, *raw(np.diag(precision) ** -0.5)], jnp.float32))
    image, decoder = jnp.asarray(x, jnp.float32).reshape(3, 2, 1), Back(jnp.asarray(weight, jnp.float32))
    keys = jax.random.split(jax.random.key(6), 20_000)
    for posterior, outputs in (*exact, independent):
        model = VAE(Constant(posterior, outputs), decoder, GaussianLikelihood(sigma), 3, (3, 2, 1))
        draws = jax.vmap(lambda key, model=model: model.draw(model.encode(image), key=key))(
            jax.random.clone(keys)
        )
        weights = jax.vmap(lambda draw: draw.log_weight(draw.likelihood.log_prob(image)))(draws)
        weights, rates = np.asarray(weights, float), np.asarray(draws.rates, float)
        kl = 0.5 * (np.trace(covariance) + mean @ mean - 3 - np.linalg.slogdet(covariance)[1])
        if posterior is independent[0]:
            error = weights.std() / math.sqrt(len(weights))
            assert abs(weights.mean() - (log_p - gap)) < 4 * error
            continue
        # Every draw, alone, says what p(x) is.
        np.testing.assert_allclose(weights, log_p, rtol=3e-5)
        assert abs(rates.mean() - kl) <= 4 * rates.std() / math.sqrt(len(rates)) + 1e-4
        bounds = importance_weighted_bounds(model, image, jax.random.key(0), 8)
        np.testing.assert_allclose(bounds.importance_weighted, log_p, rtol=3e-5)


def test_a_flow_is_shown_by_what_becomes_of_its_bases_mean():
    mean = jnp.full((4, 4, 1), 0.5)
    config = Model(3, MLP(hidden=(8,)), posterior=InverseAutoregressiveFlow(hidden=(7,), context=2))
    model = randomised(build_vae(config, mean, key=jax.random.key(0)))
    x = jnp.linspace(0, 1, 16).reshape(4, 4, 1)
    q = model.encode(x)
    assert not hasattr(q, "mean")
    z = q.transform(q.base.mean)[0]
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(z).mean)
    assert model.in_precision("bfloat16").encoder.posterior.networks[0].layers[0].weight.dtype == jnp.bfloat16
    assert (
        model.in_precision("bfloat16").draw(model.encode(x), key=jax.random.key(0)).latents.dtype
        == jnp.float32
    )


def test_active_units_of_a_flow_are_counted_without_the_noise_of_their_draws():
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4, 1), dtype=np.uint8)
    config = Model(3, MLP(hidden=()), posterior=InverseAutoregressiveFlow(hidden=(7,), context=0))
    model = build_vae(config, jnp.full((4, 4, 1), 0.5), key=jax.random.key(0))
    weight = np.zeros((16, 6), np.float32)
    x = images.reshape(60, 16) / 255 > 0.5
    # Of the means' variances one is large, one a third of the noise's and yet active, one 0.
    kept = 1 / (1 + math.exp(-1.5))
    for unit, variance in enumerate((1.0, 0.03, 0.0)):
        weight[unit, unit] = math.sqrt(variance / x[:, unit].var()) / kept**2
    layer = lambda m: (m.encoder.mlp.layers[0].weight, m.encoder.mlp.layers[0].bias)  # noqa: E731
    bias = jnp.asarray([0.0] * 3 + [unbounded_log_scale(math.log(1 / kept**2))] * 3, jnp.float32)
    model = eqx.tree_at(layer, model, (jnp.asarray(weight), bias))
    data = dataclasses.replace(Data(), binarization="threshold")
    evaluator = Evaluator(Config(data=data), images, jax.devices()[:1])
    assert evaluator.summarise(evaluator.dispatch(model, 30), 30)["active_units"] == 2
    bounds = importance_weighted_bounds(model, jnp.full((4, 4, 1), 0.5), jax.random.key(0), 500)
    assert bounds.posterior_mean_variance is not None
    np.testing.assert_allclose(bounds.posterior_mean_variance, 1 / 500, rtol=0.3)
