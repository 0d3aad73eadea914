"""Priors beyond N(0, I), against SciPy and automatic differentiation; and each kind, trained."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.config import (
    MLP,
    Adam,
    Config,
    CouplingFlow,
    Data,
    FullGaussian,
    GaussianMixture,
    InverseAutoregressiveFlow,
    Model,
    Train,
    VampPrior,
)
from jaxvae.config.validation import validate
from jaxvae.errors import UserError
from jaxvae.models import noise
from jaxvae.models.build import build_objective, build_vae
from jaxvae.models.distributions import Gaussian as GaussianDistribution
from jaxvae.models.objectives import importance_weighted_bounds
from jaxvae.models.priors.coupling import CouplingFlowPrior
from jaxvae.models.priors.mixture import GaussianMixturePrior, Mixture
from jaxvae.models.priors.vamp import VampPrior as VampPriorModule
from jaxvae.runs.fit import fit
from jaxvae.runs.run import Run
from jaxvae.training import step
from jaxvae.training.parallel import AXIS, map_over_devices, replicate, split_batch
from jaxvae.training.state import initial_state, state_of
from tests.models.test_posteriors import HUGE, normal_of_scipy, randomised

SHAPE = (4, 4, 1)


def no_encoder(x):
    raise AssertionError("this prior needs no encoder")


def mixture(components=4, latent_dim=2, seed=0):
    """A mixture prior with weights, scales and means of all sizes, and its parameters in float64."""
    prior = randomised(GaussianMixturePrior(latent_dim, components, key=jax.random.key(0)), seed, scale=1.0)
    logits = np.asarray(prior.logits, float)
    log_scales = 8 * np.tanh(np.asarray(prior.raw_log_scales, float) / 8)
    return prior, special.softmax(logits), np.asarray(prior.means, float), np.exp(log_scales)


def coupling(latent_dim, layers=3, hidden=(8,), seed=0):
    prior = CouplingFlowPrior(latent_dim, layers, hidden, key=jax.random.key(0))
    return randomised(prior, seed)(no_encoder)


def draws(sample, count=20_000):
    return np.asarray(jax.jit(jax.vmap(sample))(jax.random.split(jax.random.key(1), count)), float)


def test_categories_are_drawn_with_their_probabilities():
    logits = jnp.array([0.5, -200.0, 2.0, -1.0, 1.0, -jnp.inf])
    drawn = draws(lambda key: noise.categorical(key, logits)).astype(int)
    expected = special.softmax(np.asarray(logits, float)) * len(drawn)
    counts = np.bincount(drawn, minlength=6)
    assert counts[1] == counts[5] == 0
    assert stats.chisquare(counts[expected > 1], expected[expected > 1]).pvalue > 1e-3
    assert not np.any(draws(lambda key: noise.categorical(key, jnp.zeros(1)), 100))


@pytest.mark.parametrize("components", [1, 4])
def test_a_mixture_has_the_density_of_scipy(components):
    prior, weights, means, scales = mixture(components)
    p = prior(no_encoder)
    for z in np.random.default_rng(1).normal(0, 2, (20, 2)):
        each = np.log(weights) + stats.norm.logpdf(z, means, scales).sum(1)
        np.testing.assert_allclose(
            p.log_prob(jnp.asarray(z, jnp.float32)), special.logsumexp(each), rtol=1e-4, atol=1e-4
        )
    far = jnp.array([1e4, -1e4])
    each = np.log(weights) + stats.norm.logpdf(np.asarray(far, float), means, scales).sum(1)
    np.testing.assert_allclose(p.log_prob(far), special.logsumexp(each), rtol=1e-4)
    assert np.all(np.isfinite(jax.grad(p.log_prob)(far)))


@pytest.mark.parametrize("log_scale", [0.0, -4.0])
def test_a_mixtures_gradients_are_those_of_float64(log_scale):
    rng = np.random.default_rng(0)
    means = rng.normal(size=(5, 3)) * 2
    log_scales = rng.normal(size=(5, 3)) * 0.3 + log_scale
    x = means[rng.integers(0, 5, 40)] + rng.normal(size=(40, 3)) * np.exp(log_scale)

    def total(means, log_scales, logits, x):
        return jnp.sum(jax.vmap(Mixture(GaussianDistribution(means, log_scales), logits).log_prob)(x))

    given = (jnp.float32(means), jnp.float32(log_scales), jnp.arange(5, dtype=jnp.float32), jnp.float32(x))
    ours = jax.grad(total, argnums=(0, 1, 2, 3))(*given)
    means, log_scales, logits, x = (np.asarray(one, np.float64) for one in given)
    standardised = (x[:, None] - means) * np.exp(-log_scales)
    each = -0.5 * (standardised**2).sum(-1) - log_scales.sum(-1) + logits
    shares = np.exp(each - each.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    slopes = shares[..., None] * standardised * np.exp(-log_scales)
    wanted = (
        slopes.sum(0),
        (shares[..., None] * (standardised**2 - 1)).sum(0),
        shares.sum(0) - 40 * np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum(),
        -slopes.sum(1),
    )
    for found, right in zip(ours, wanted, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=2e-5 * np.abs(right).max())


def test_a_mixtures_curvature_is_that_of_its_formula():
    rng = np.random.default_rng(0)
    means, log_scales, x = (jnp.float32(rng.normal(size=shape)) for shape in ((3, 2), (3, 2), (2,)))

    def slope(density, given):
        return jnp.sum(jax.grad(lambda x: density(given, x))(x) ** 2)

    def ours(given, x):
        return Mixture(GaussianDistribution(*given), jnp.arange(3, dtype=jnp.float32)).log_prob(x)

    def formula(given, x):
        each = -0.5 * ((x[None] - given[0]) ** 2 * jnp.exp(-2 * given[1]) + 2 * given[1]).sum(-1)
        weighted = each + jax.nn.log_softmax(jnp.arange(3, dtype=jnp.float32)) - jnp.log(2 * jnp.pi)
        return jax.nn.logsumexp(weighted)

    found, wanted = (jax.grad(slope, argnums=1)(one, (means, log_scales)) for one in (ours, formula))
    for mine, right in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, right, rtol=1e-3, atol=1e-4)
    for bad in (jnp.zeros(3), jnp.zeros(())):
        with pytest.raises(ValueError, match="takes an array of shape"):
            ours((means, log_scales), bad)


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_draws_of_a_mixture_have_its_density_with_scales_times_the_temperature(temperature):
    prior, weights, means, scales = mixture()
    p = prior(no_encoder)
    z = draws(p.sample if temperature == 1 else lambda key: p.tempered_sample(key, temperature))
    for axis in (0, 1):

        def cdf(v, axis=axis):
            return stats.norm.cdf(v[:, None], means[:, axis], temperature * scales[:, axis]) @ weights

        assert stats.kstest(z[:, axis], cdf).pvalue > 1e-3
    # A component, not a value of each axis, is drawn.
    mean = weights @ means
    covariance = (weights[:, None] * (means - mean)).T @ (means - mean)
    np.testing.assert_allclose(np.cov(z.T)[0, 1], covariance[0, 1], atol=0.05)


@pytest.mark.parametrize(("latent_dim", "layers", "hidden"), [(2, 1, ()), (4, 3, (8,)), (5, 4, (8, 6))])
def test_a_coupling_flow_is_inverted_and_its_determinant_is_that_of_its_derivative(
    latent_dim, layers, hidden
):
    p = coupling(latent_dim, layers, hidden)
    start = jnp.linspace(-1, 1, latent_dim)
    z, log_determinant = p.transform(start)
    jacobian = np.asarray(jax.jacfwd(lambda z: p.transform(z)[0])(start), float)
    np.testing.assert_allclose(log_determinant, np.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-5)
    back, again = p.invert(z)
    np.testing.assert_allclose(back, start, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(again, log_determinant, rtol=1e-4, atol=1e-5)
    base = stats.norm.logpdf(np.asarray(start, float)).sum()
    np.testing.assert_allclose(p.log_prob(z), base - np.linalg.slogdet(jacobian)[1], rtol=1e-4, atol=1e-4)
    value, log_p = p.sample_and_log_prob(jax.random.key(3))
    np.testing.assert_array_equal(value, p.sample(jax.random.key(3)))
    np.testing.assert_allclose(p.log_prob(value), log_p, rtol=1e-4, atol=1e-4)
    if layers > 1:
        assert np.all(np.any(jacobian - np.diag(np.diag(jacobian)) != 0, axis=1))


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_coupling_flow_integrates_to_one_and_its_draws_have_its_density(temperature):
    p = coupling(2, seed=2)
    grid = np.linspace(-10, 10, 1001, dtype=np.float32)
    cell = (grid[1] - grid[0]) ** 2

    def density(a, b):
        # At a temperature the base's scale is that.
        start, log_determinant = p.invert(jnp.stack([a, b]))
        base = -0.5 * jnp.sum((start / temperature) ** 2 + math.log(2 * math.pi * temperature**2))
        return jnp.exp(p.log_prob(jnp.stack([a, b])) if temperature == 1 else base - log_determinant)

    table = np.asarray(jax.jit(jax.vmap(jax.vmap(density, (None, 0)), (0, None)))(grid, grid), float)
    assert abs(table.sum() * cell - 1) < 2e-3
    z = draws(p.sample if temperature == 1 else lambda key: p.tempered_sample(key, temperature))
    for axis in (0, 1):
        marginal = np.cumsum(table.sum(1 - axis)) * cell
        pvalue = stats.kstest(z[:, axis], lambda v, cdf=marginal: np.interp(v, grid + 0.01, cdf)).pvalue
        assert pvalue > 1e-3


def test_a_coupling_flow_starts_as_the_standard_normal_and_needs_two_latents():
    p = CouplingFlowPrior(5, 4, (8,), key=jax.random.key(0))(no_encoder)
    z = jnp.linspace(-2, 2, 5)
    np.testing.assert_allclose(p.log_prob(z), stats.norm.logpdf(np.linspace(-2, 2, 5)).sum(), rtol=1e-6)
    slopes = jax.grad(lambda p: p.log_prob(z))(p)
    assert all(np.any(network.layers[-1].weight) for network in slopes.networks)
    with pytest.raises(UserError, match=r"--model.prior coupling cannot work with --model.latent_dim 1"):
        CouplingFlowPrior(1, 4, (8,), key=jax.random.key(0))


@pytest.mark.parametrize("raw", [-HUGE, -1e9, -30.0, 30.0, 1e9, HUGE])
def test_no_finite_weight_makes_values_or_gradients_that_are_not_finite(raw):
    def of_mixture(raw):
        prior = GaussianMixturePrior(2, 3, key=jax.random.key(0))
        where = lambda p: (p.raw_log_scales, p.logits)  # noqa: E731
        scales = jnp.full((3, 2), 1.0).at[0].set(raw)
        prior = eqx.tree_at(where, prior, (scales, jnp.zeros(3).at[1].set(raw)))
        return prior(no_encoder).log_prob(jnp.array([5.0, -3.0]))

    def of_coupling(raw):
        prior = CouplingFlowPrior(4, 3, (), key=jax.random.key(0))
        bias = [jnp.concatenate([jnp.ones(2), jnp.full(2, raw)])] * 3
        prior = eqx.tree_at(lambda p: [n.layers[0].bias for n in p.networks], prior, bias)
        value, log_p = prior(no_encoder).sample_and_log_prob(jax.random.key(0))
        return prior(no_encoder).log_prob(jnp.array([5.0, -3.0, 1.0, 0.0])) + log_p + jnp.sum(value)

    for function in (of_mixture, of_coupling):
        value, slope = jax.value_and_grad(function)(jnp.asarray(raw, jnp.float32))
        assert np.isfinite(value)
        assert np.isfinite(slope)


COMPONENTS = 11
KINDS = {
    "full": Model(3, MLP(hidden=(9,)), posterior=FullGaussian()),
    "iaf": Model(3, MLP(hidden=(9,)), posterior=InverseAutoregressiveFlow(hidden=(7,), context=2)),
    "mixture": Model(3, MLP(hidden=(9,)), prior=GaussianMixture(COMPONENTS)),
    "vamp": Model(3, MLP(hidden=(9,)), prior=VampPrior(COMPONENTS)),
    "full_vamp": Model(3, MLP(hidden=(9,)), posterior=FullGaussian(), prior=VampPrior(COMPONENTS)),
    "coupling": Model(3, MLP(hidden=(9,)), prior=CouplingFlow(3, (7,))),
}
IMAGES = np.random.default_rng(1).integers(0, 256, (32, *SHAPE), dtype=np.uint8)


def untrained(name):
    mean = jnp.asarray(IMAGES.mean(0) / 255, jnp.float32)
    return build_vae(KINDS[name], mean, key=jax.random.key(0))


@pytest.mark.parametrize("name", ["vamp", "full_vamp"])
def test_a_vamp_prior_is_the_mixture_of_the_posteriors_of_its_images(name):
    model = randomised(untrained(name))
    images = special.expit(np.asarray(model.prior.raw, float))
    each = [model.encoder(jnp.asarray(u, jnp.float32)) for u in images]
    z = np.array([0.3, -0.7, 0.1])
    densities = []
    for q in each:
        if name == "vamp":
            scale = np.exp(np.asarray(q.log_scale, float))
            densities.append(stats.norm.logpdf(z, np.asarray(q.mean, float), scale).sum())
        else:
            factor = np.asarray(q.factor, float)
            exact = normal_of_scipy(np.asarray(q.mean, float), factor @ factor.T)
            densities.append(exact.logpdf(z))
    p = model.prior(model.encoder)
    expected = special.logsumexp(densities) - math.log(COMPONENTS)
    np.testing.assert_allclose(p.log_prob(jnp.asarray(z, jnp.float32)), expected, rtol=1e-4)
    # At first they are noise around the training images' mean.
    start = special.logit(np.clip(IMAGES.mean(0) / 255, 0.05, 0.95))
    vae: Any = untrained(name)
    prior = vae.prior
    assert isinstance(prior, VampPriorModule)
    spread = np.asarray(prior.raw, float) - start
    assert stats.kstest(spread.ravel(), "norm").pvalue > 1e-3


def equations(jaxpr, inside=()):
    """All equations of a program and of those in it, with the names of what they are in."""
    for equation in jaxpr.eqns:
        yield equation, inside
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")
        ):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner, (*inside, equation.primitive.name))


def encoded_rows(jaxpr, width=9):
    """Of the products that give hidden units of the encoder: how many rows each has, and where it is."""
    return [
        (equation.outvars[0].aval.size // width, inside)
        for equation, inside in equations(jaxpr)
        if equation.primitive.name == "dot_general"
        and any(v.aval.size == 16 * width for v in equation.invars)
        and equation.outvars[0].aval.size % width == 0
        and equation.outvars[0].aval.size != 16 * width
    ]


def test_the_components_of_a_vamp_prior_are_computed_once_a_step_and_not_in_loops_over_draws():
    model, batch = untrained("vamp"), 7
    x, keys = jnp.full((batch, *SHAPE), 0.5), jax.random.split(jax.random.key(0), batch)
    objective = build_objective(Config(model=KINDS["vamp"]))

    def loss(model):
        return step.batch_loss(model, x, keys, objective, jnp.int32(0), "float32", "device")[0]

    found = [rows for rows, _ in encoded_rows(jax.make_jaxpr(loss)(model).jaxpr)]
    assert found.count(COMPONENTS) == 1
    assert max(found) <= 2 * batch  # the decoder's last product has as many weights as the encoder's first

    def bounds(model, samples):
        each = jax.vmap(importance_weighted_bounds, in_axes=(None, 0, 0, None))
        return each(model, x, jax.random.clone(keys), samples)

    found = encoded_rows(jax.make_jaxpr(bounds)(model, 5).jaxpr)
    assert [inside for rows, inside in found if rows == COMPONENTS] == [()]
    assert max(rows for rows, _ in found) <= 2 * batch


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_trains_to_the_same_on_one_device_and_on_four(name):
    config = Config(
        data=Data(binarization="dynamic"),
        model=KINDS[name],
        optimizer=Adam(warmup_steps=0, learning_rate=0.01),
        train=Train(steps=8, batch_size=16),
    )
    start = initial_state(config, jnp.asarray(IMAGES.mean(0) / 255, jnp.float32)).model
    ends = []
    for count in (1, 4):
        devices = jax.devices()[:count]
        state = replicate(state_of(config, start), devices)
        keys, images = replicate((step.train_keys(config), IMAGES), devices)
        rows = split_batch(np.arange(128, dtype=np.int32).reshape(8, 16) % 32, count)
        steps = step.make_train_steps(config, AXIS)
        mapped = map_over_devices(steps, devices, mapped=(False, True, True, False, False, False))
        ends.append(mapped(state, rows, np.zeros(count, bool), np.int32(0), keys, images))
    (one, first), (four, second) = ends
    assert int(first.failed) == int(second.failed) == -1
    np.testing.assert_allclose(one.totals.loss, four.totals.loss, rtol=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (one.model, four.model)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
    # Every weight of the new part has moved.
    part = (lambda m: m.encoder.posterior) if name in ("full", "iaf") else (lambda m: m.prior)
    for before, after in zip(*(jax.tree.leaves(part(m)) for m in (start, one.model)), strict=True):
        assert np.any(before != np.asarray(after))


@pytest.mark.slow
def test_a_run_with_a_flow_and_a_vamp_prior_goes_on_to_the_bit(tmp_path, small_config):
    for number, model in enumerate((KINDS["full_vamp"], KINDS["iaf"])):
        method = Adam(schedule="constant", warmup_steps=0)
        config = dataclasses.replace(small_config, model=model, optimizer=method)
        whole, parts = tmp_path / f"whole{number}", tmp_path / f"parts{number}"
        summary = fit(config, whole)
        fit(dataclasses.replace(config, train=dataclasses.replace(config.train, steps=8)), parts)
        fit(config, parts)
        for a, b in zip(*(jax.tree.leaves(Run(run).model()) for run in (whole, parts)), strict=True):
            np.testing.assert_array_equal(a, b)
        assert np.isfinite(summary["test"]["nll"])
        assert summary["test"]["active_units"] is not None


def test_a_vamp_prior_of_flows_is_refused_with_what_would_fit():
    model = Model(prior=VampPrior(), posterior=InverseAutoregressiveFlow())
    with pytest.raises(
        UserError, match=r"--model.prior vamp .* iaf .*: choose --model.posterior diagonal or full"
    ):
        validate(Config(model=model))
    validate(Config(model=Model(prior=VampPrior(), posterior=FullGaussian())))
    validate(Config(model=Model(prior=CouplingFlow(), posterior=InverseAutoregressiveFlow())))


def test_new_images_come_from_the_models_own_mixture():
    model = randomised(untrained("mixture"))
    p = model.prior(model.encoder)
    assert isinstance(p, Mixture)
    key = jax.random.key(3)
    np.testing.assert_array_equal(
        model.sample(jax.random.clone(key)), model.decode(p.sample(jax.random.clone(key))).mean
    )
    np.testing.assert_array_equal(
        model.generate(key=jax.random.clone(key), temperature=0.5).mean,
        model.decode(p.tempered_sample(jax.random.clone(key), 0.5)).mean,
    )
