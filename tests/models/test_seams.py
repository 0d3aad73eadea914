"""What is asked of a model, a prior, a likelihood and an objective, against what they mean."""

import dataclasses
import importlib
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.config import ELBO, MLP, Adam, Code, Config, Data, Model, Train
from jaxvae.config import Gaussian as GaussianKind
from jaxvae.config.experiment_file import own_function, run_file
from jaxvae.errors import UserError
from jaxvae.models.build import StaticVAE, build_objective
from jaxvae.models.distributions import AbstractDistribution, Gaussian, StandardNormal
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.objectives import AbstractObjective, importance_weighted_bounds
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.rates import rate
from jaxvae.models.stock_modules import Frozen, StaticParts, partition
from jaxvae.models.vae import VAE
from jaxvae.training import step
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.parallel import AXIS, map_over_devices, replicate, split_batch
from jaxvae.training.state import initial_state, state_of

SHAPE = (3, 2, 1)
CENTER = np.array([0.5, -1.0])


class Shifted(AbstractDistribution):
    """N(center, I), which has no closed-form rate here."""

    center: jax.Array

    def sample(self, key):
        return self.center + jax.random.normal(key, self.center.shape)

    def log_prob(self, x):
        return StandardNormal(self.center.shape).log_prob(x - self.center)


class ShiftedPrior(AbstractPrior):
    center: jax.Array

    def __call__(self, encoder):
        return Shifted(self.center)


class Linear(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        mean = self.weight.T @ x.reshape(-1)
        return Gaussian(mean, jnp.full(2, -0.7))


class Back(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return (self.weight @ z).reshape(SHAPE)


@pytest.fixture
def model():
    weight = jnp.asarray(np.random.default_rng(0).normal(size=(6, 2)), jnp.float32)
    prior = ShiftedPrior(jnp.asarray(CENTER, jnp.float32))
    return VAE(Linear(weight), Back(weight), GaussianLikelihood(0.5), 2, SHAPE, prior)


def test_without_a_closed_form_the_rate_is_an_unbiased_estimate_of_the_kl():
    q, p = Gaussian(jnp.array([0.3, 1.0]), jnp.array([-0.5, 0.2])), Shifted(jnp.asarray(CENTER, jnp.float32))
    z = jax.vmap(q.sample)(jax.random.split(jax.random.key(0), 100_000))
    each = np.asarray(jax.vmap(lambda z: rate(q, p, q.log_prob(z), p.log_prob(z)))(z))
    scale = np.exp([-0.5, 0.2])
    exact = 0.5 * np.sum((np.array([0.3, 1.0]) - CENTER) ** 2 + scale**2 - 1 - 2 * np.log(scale))
    assert abs(each.mean() - exact) < 4 * each.std() / np.sqrt(len(each))


def test_bounds_under_another_prior_are_their_definition(model):
    x, key, count = jnp.linspace(0, 1, 6).reshape(SHAPE), jax.random.key(3), 5
    ours = jax.jit(importance_weighted_bounds)(model, x, key, count)
    q, weight = model.encode(x), np.asarray(model.decoder.weight, float)
    mean, scale = np.asarray(q.mean, float), np.exp(-0.7)
    weights, rates, likelihoods = [], [], []
    for k in range(count):
        z = np.asarray(q.sample(jax.random.fold_in(key, k)), float)
        log_q = stats.norm.logpdf(z, mean, scale).sum()
        log_p = stats.norm.logpdf(z, CENTER, 1).sum()
        likelihoods.append(stats.norm.logpdf(np.asarray(x, float).ravel(), weight @ z, 0.5).sum())
        rates.append(log_q - log_p)
        weights.append(likelihoods[-1] + log_p - log_q)
    assert np.std(rates) > 0.1
    np.testing.assert_allclose(
        ours.importance_weighted, np.logaddexp.reduce(weights) - np.log(count), rtol=1e-5
    )
    np.testing.assert_allclose(ours.terms.rates, [np.mean(rates)], rtol=1e-4)
    np.testing.assert_allclose(ours.terms.distortion, -np.mean(likelihoods), rtol=1e-5)
    np.testing.assert_allclose(ours.posterior_mean, mean, rtol=1e-5)


def test_new_images_come_from_the_models_own_prior_at_a_temperature(model):
    keys = jax.random.split(jax.random.key(1), 20_000)
    weight = np.asarray(model.decoder.weight, float)
    for temperature in (1.0, 0.5):
        made = jax.vmap(lambda key, t=temperature: model.generate(key=key, temperature=t).mean)(
            jax.random.clone(keys)
        )
        z = np.asarray(made, float).reshape(-1, 6) @ np.linalg.pinv(weight).T
        np.testing.assert_allclose(z.mean(0), temperature * CENTER, atol=0.03)
        np.testing.assert_allclose(z.std(0), temperature, rtol=0.03)


def test_what_is_frozen_gets_no_gradient_and_the_rest_does(model):
    frozen = VAE(Frozen(model.encoder), model.decoder, model.likelihood, 2, SHAPE, model.prior)

    def loss(model):
        draw = model.draw(model.encode(jnp.full(SHAPE, 0.3)), key=jax.random.key(0))
        return draw.likelihood.log_prob(jnp.full(SHAPE, 0.3)) - jnp.sum(draw.rates)

    grads: Any = jax.jit(jax.grad(loss))(frozen)
    assert not np.any(grads.encoder.module.weight)
    assert np.all(np.asarray(grads.decoder.weight) != 0)


def made(sign):
    return {"f": (lambda h: jnp.tanh(h)) if sign > 0 else (lambda h: -jnp.tanh(h)), "n": 3, "w": jnp.ones(2)}


def test_static_parts_made_again_are_equal_and_others_are_not():
    first, again, other = (partition(made(sign))[1] for sign in (1, 1, -1))
    assert first == again
    assert hash(first) == hash(again)
    assert first != other
    assert partition(made(1) | {"n": 4})[1] != first
    assert isinstance(first, StaticParts)


def test_a_model_with_leaves_that_are_no_arrays_is_one_with_arrays_alone(model):
    class Stock(VAE):
        factor: float

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.factor = 2.0

        def reconstruct(self, x):
            return self.factor * super().reconstruct(x)

    stock = Stock(model.encoder, model.decoder, model.likelihood, 2, SHAPE, model.prior)
    arrays, rest = partition(stock)
    assert rest is not None
    held = StaticVAE(arrays, rest)
    assert all(eqx.is_array(leaf) for leaf in jax.tree.leaves(held))
    x = jnp.full(SHAPE, 0.25)
    np.testing.assert_array_equal(held.reconstruct(x), 2 * model.reconstruct(x))
    np.testing.assert_array_equal(held.encode(x).mean, model.encode(x).mean)
    assert held.support == "real"
    assert held.latent_dim == 2
    assert held.in_precision("bfloat16").encoder.weight.dtype == jnp.bfloat16
    assert held.summary() == {"sigma": pytest.approx(0.5)}


class FreeBits(AbstractObjective):
    """The rate's mean over the whole batch counts from half a nat on: no mean over examples."""

    is_mean = False

    def example(self, model, x, *, key):
        draw = model.draw(model.encode(x), key=key)
        return step.Terms(draw.rates, -draw.likelihood.log_prob(x))

    def batch(self, terms, step, axis_name):
        mean = jax.lax.pmean(jnp.mean(terms.rate), axis_name)
        return jnp.mean(terms.distortion) + jnp.maximum(mean, 0.5)


IMAGES = np.random.default_rng(1).integers(0, 256, (32, 4, 4, 1), dtype=np.uint8)
CONFIG = Config(
    data=Data(binarization="none"),
    model=Model(latent_dim=2, architecture=MLP(hidden=(6,)), likelihood=GaussianKind()),
    optimizer=Adam(warmup_steps=0),
    train=Train(steps=4, batch_size=16),
)


def test_an_objective_may_ask_all_devices_and_is_refused_where_the_batch_is_cut(monkeypatch):
    def own(code, hook):
        return (lambda config: FreeBits()) if hook == "objective" else None

    monkeypatch.setattr("jaxvae.models.build.own_function", own)
    monkeypatch.setattr("jaxvae.training.step.build_objective", lambda config: FreeBits())
    ends = []
    for count in (1, 4):
        devices = jax.devices()[:count]
        state = replicate(state_of(CONFIG, _start()), devices)
        keys, images = replicate((step.train_keys(CONFIG), IMAGES), devices)
        rows = split_batch(np.arange(64, dtype=np.int32).reshape(4, 16) % 32, count)
        steps = step.make_train_steps(CONFIG, AXIS)
        mapped = map_over_devices(steps, devices, mapped=(False, True, True, False, False, False))
        ends.append(mapped(state, rows, np.zeros(count, bool), np.int32(0), keys, images)[0])
    for one, four in zip(*map(jax.tree.leaves, ends), strict=True):
        np.testing.assert_allclose(one, four, rtol=1e-4, atol=1e-5)
    # A mean over each device's share alone would be another loss, and gradient.
    fixed = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, reduction="fixed"))
    with pytest.raises(UserError, match=r"--train.reduction fixed cannot work: FreeBits of None is no mean"):
        build_objective(fixed)


def _start():
    return initial_state(CONFIG, jnp.full((4, 4, 1), 0.5)).model


def test_a_diagnosis_weighs_the_rate_as_its_step_does():
    config = dataclasses.replace(CONFIG, objective=ELBO(beta=3.0, beta_warmup_steps=10))
    state = eqx.tree_at(lambda s: s.step, state_of(config, _start()), jnp.int32(4))
    seen = diagnose(config, state, jnp.arange(16), jnp.asarray(IMAGES[:16]))
    expected = np.mean(np.asarray(seen.distortion, float) + 1.5 * np.asarray(seen.rate, float))
    np.testing.assert_allclose(seen.loss, expected, rtol=1e-5)


def test_modules_beside_two_experiments_are_their_own(tmp_path):
    found = {}
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "beside.py").write_text(f"NAME = {name!r}")
        (tmp_path / name / "mine.py").write_text("import beside\ndef build(*_, **__): return beside.NAME\n")
        _, digest = run_file(tmp_path / name / "mine.py")
        found[name] = Code(str(tmp_path / name / "mine.py"), digest)
    for name, code in found.items():
        build = own_function(code, "build")
        assert build is not None
        assert build() == name
        assert own_function(code, "objective") is None
    assert own_function(Code(), "build") is None


def test_what_is_beside_an_experiment_is_neither_a_library_below_it_nor_what_is_imported_already(
    tmp_path, monkeypatch
):
    """As where a project has its virtual environment, and a notebook has imported the project's modules."""
    library = tmp_path / "env" / "site-packages"
    library.mkdir(parents=True)
    monkeypatch.syspath_prepend(library)
    (library / "below.py").write_text("SIZE = 1")
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "inner.py").write_text("NAME = 'first'")
    mine = tmp_path / "mine.py"
    mine.write_text("import below\nfrom package import inner\ndef build(*_, **__): return inner.NAME\n")
    _, digest = run_file(mine)
    assert sys.modules["below"].SIZE == 1
    assert "package" not in sys.modules
    (library / "below.py").write_text("SIZE = 22")
    monkeypatch.syspath_prepend(tmp_path)
    imported = importlib.import_module("package.inner")
    try:
        assert run_file(mine)[1] == digest
        assert sys.modules["package.inner"] is imported
        (tmp_path / "package" / "inner.py").write_text("NAME = 'second'")
        names, other = run_file(mine)
        assert other != digest
        assert names["build"]() == "second"
        assert imported.NAME == "first"
    finally:
        for name in ("below", "package", "package.inner"):
            sys.modules.pop(name, None)


def test_code_that_was_accepted_once_is_refused_again_without_that_word(tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("def build(*_, **__): return 1\n")
    _, digest = run_file(mine)
    mine.write_text("def build(*_, **__): return 2\n")
    accepted = own_function(Code(str(mine), digest, accept_changed=True), "build")
    assert accepted is not None
    assert accepted() == 2
    assert own_function(Code(str(mine), digest, accept_changed=True), "build") is accepted
    with pytest.raises(UserError, match="has changed since the run was begun"):
        own_function(Code(str(mine), digest), "build")
