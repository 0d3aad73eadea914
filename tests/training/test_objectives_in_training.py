"""What the objectives do to a step: the weight of the rate, free bits over all devices, refusals."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import ELBO, IWAE, MLP, PIWAE, Adam, Config, Data, Model, Objective, Train
from jaxvae.config import Gaussian as GaussianKind
from jaxvae.errors import UserError
from jaxvae.models.build import build_objective
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.objectives import ELBOObjective
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.vae import VAE
from jaxvae.training import step
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.parallel import AXIS, map_over_devices, replicate, split_batch
from jaxvae.training.state import initial_state, state_of

IMAGES = np.random.default_rng(1).integers(0, 256, (32, 4, 4, 1), dtype=np.uint8)
CONFIG = Config(
    data=Data(binarization="none"),
    model=Model(latent_dim=3, architecture=MLP(hidden=(6,)), likelihood=GaussianKind()),
    optimizer=Adam(warmup_steps=0),
    train=Train(steps=4, batch_size=16),
)


def trained(config, count):
    """The state after four steps on so many devices, as lists of arrays, and the sums of what is reported."""
    devices = jax.devices()[:count]
    start = initial_state(config, jnp.full((4, 4, 1), 0.5)).model
    state = replicate(state_of(config, start), devices)
    keys, images = replicate((step.train_keys(config), IMAGES), devices)
    rows = split_batch(np.arange(64, dtype=np.int32).reshape(4, 16) % 32, count)
    steps = step.make_train_steps(config, AXIS)
    mapped = map_over_devices(steps, devices, mapped=(False, True, True, False, False, False))
    ended = mapped(state, rows, np.zeros(count, bool), np.int32(0), keys, images)[0]
    return [np.asarray(leaf) for leaf in jax.tree.leaves(ended.model)], jax.device_get(ended.totals)


def test_the_weight_rises_in_cycles_and_stays():
    weight = functools.partial(ELBOObjective.weight, ELBOObjective(2.0, 20, "cyclical", 2, 0.5))
    found = [float(weight(jnp.int32(t))) for t in range(25)]
    cycle = [0.4, 0.8, 1.2, 1.6, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0]
    np.testing.assert_allclose(found, [*cycle, *cycle, *[2.0] * 5], rtol=1e-6)
    # As Fu et al. 2019 write it, for step t from 1: tau = mod(t - 1, ceil(T / M)) / (T / M), rising to R.
    whole = ELBOObjective(1.0, 1000, "cyclical", 4, 1.0)
    for t in (1, 100, 250, 251, 700, 1000):
        tau = ((t - 1) % 250) / 250
        assert abs(float(whole.weight(jnp.int32(t - 1))) - tau) <= 1 / 250 + 1e-6
    # One cycle that rises throughout is linear; cycles of no whole number of steps are rounded up.
    one, linear = ELBOObjective(1.5, 7, "cyclical", 1, 1.0), ELBOObjective(1.5, 7)
    for t in range(9):
        np.testing.assert_allclose(one.weight(jnp.int32(t)), linear.weight(jnp.int32(t)), rtol=1e-6)
    uneven = ELBOObjective(1.0, 7, "cyclical", 2, 1.0)
    found = [float(uneven.weight(jnp.int32(t))) for t in range(9)]
    np.testing.assert_allclose(found, [0.25, 0.5, 0.75, 1, 0.25, 0.5, 0.75, 1, 1], rtol=1e-6)


@pytest.mark.parametrize(
    "objective",
    [
        ELBO(free_bits=0.2),
        pytest.param(IWAE(samples=3, gradient="dreg", at_once=2), marks=pytest.mark.slow),
        pytest.param(PIWAE(groups=2, samples=2), marks=pytest.mark.slow),
    ],
    ids=lambda objective: f"{objective.kind} {objective.arguments()}",
)
def test_training_is_the_same_on_one_device_and_on_four(objective: Objective):
    config = dataclasses.replace(CONFIG, objective=objective)
    (one, sums), (four, others) = trained(config, 1), trained(config, 4)
    for a, b in zip(one, four, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-5)
    for name in ("rate", "distortion", "loss"):
        np.testing.assert_allclose(getattr(sums, name), getattr(others, name), rtol=1e-5)
    assert sums.rate > 0.1
    # What a replay says is what the step did.
    start = initial_state(config, jnp.full((4, 4, 1), 0.5)).model
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=1))
    seen = diagnose(config, state_of(config, start), jnp.arange(16), jnp.asarray(IMAGES[:16]))
    assert np.isfinite(seen.gradient_norm)
    assert np.isfinite(seen.loss)


@pytest.mark.slow
def test_in_a_fixed_order_devices_train_to_the_same_bits():
    train = dataclasses.replace(CONFIG.train, reduction="fixed")
    config = dataclasses.replace(CONFIG, objective=IWAE(samples=2, gradient="dreg"), train=train)
    for a, b in zip(trained(config, 1)[0], trained(config, 4)[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_free_bits_are_of_the_batchs_mean_and_the_reported_rate_is_the_rate():
    ends = {}
    for free in (0.0, 1e-6, 50.0):
        config = dataclasses.replace(CONFIG, objective=ELBO(free_bits=free))
        ends[free] = trained(config, 4)
    (_, plain), (_, little), (_, much) = ends.values()
    np.testing.assert_allclose(plain.loss, little.loss, rtol=1e-6)
    # Each of three latents costs 50 nats in each of four steps, and no gradient presses any rate down.
    np.testing.assert_allclose(much.loss, much.distortion + 4 * 3 * 50, rtol=1e-6)
    assert much.rate > plain.rate


def test_free_bits_are_refused_where_the_batch_is_cut():
    train = dataclasses.replace(CONFIG.train, reduction="fixed")
    config = dataclasses.replace(CONFIG, objective=ELBO(free_bits=0.25), train=train)
    with pytest.raises(
        UserError,
        match=r"--train.reduction fixed cannot work: --objective elbo --objective.free_bits 0.25 is no mean",
    ):
        build_objective(config)
    build_objective(dataclasses.replace(config, objective=ELBO()))


class Student(AbstractDistribution):
    """Independent Student's t with 3 degrees of freedom, of which the package knows no closed form."""

    latents: int = eqx.field(static=True)

    def log_prob(self, x):
        return jnp.sum(-2 * jnp.log1p(jnp.asarray(x) ** 2 / 3))


class Heavy(AbstractPrior):
    def __call__(self, encoder):
        return Student(3)


@pytest.mark.slow
def test_free_bits_per_latent_are_refused_where_a_latents_rate_has_no_closed_form():
    model = initial_state(CONFIG, jnp.full((4, 4, 1), 0.5)).model
    assert isinstance(model, VAE)
    other = VAE(model.encoder, model.decoder, model.likelihood, 3, (4, 4, 1), Heavy())
    x, keys = jnp.full((2, 4, 4, 1), 0.3), jax.random.split(jax.random.key(0), 2)

    def loss(model, objective):
        mapped = jax.vmap(
            lambda x, keys: step.batch_loss(model, x, keys, objective, jnp.int32(0), "float32", "device")[0],
            axis_name="device",
        )
        return mapped(x[None], jax.random.clone(keys)[None])

    loss(model, ELBOObjective(free_bits=0.1))
    loss(other, ELBOObjective(free_bits=0.1, free_bits_per="level"))
    with pytest.raises(
        UserError, match=r"--objective.free_bits 0.1 per latent cannot work: .* choose --objective"
    ):
        loss(other, ELBOObjective(free_bits=0.1))


def test_what_a_model_cannot_do_is_refused_before_anything_is_computed():
    config = dataclasses.replace(CONFIG, objective=IWAE(gradient="dreg"))
    model = initial_state(config, jnp.full((4, 4, 1), 0.5)).model
    assert isinstance(model, VAE)
    step.check_loss(config, model, (4, 4, 1))

    class Mine(VAE):
        def draw(self, encoded, *, key):
            return super().draw(encoded, key=key)

    mine: Any = Mine
    other = mine(model.encoder, model.decoder, model.likelihood, 3, (4, 4, 1), model.prior)
    with pytest.raises(UserError, match="Mine does not say how its gradients are kept"):
        step.check_loss(config, other, (4, 4, 1))
    step.check_loss(CONFIG, other, (4, 4, 1))


@pytest.mark.slow
@pytest.mark.parametrize("objective", [ELBO(free_bits=0.1), PIWAE(groups=2, samples=2)])
def test_networks_may_compute_in_bfloat16(objective: Objective):
    train = dataclasses.replace(CONFIG.train, precision="bfloat16")
    config = dataclasses.replace(CONFIG, objective=objective, train=train)
    low, high = trained(config, 1)[1], trained(dataclasses.replace(config, train=CONFIG.train), 1)[1]
    np.testing.assert_allclose(low.loss, high.loss, rtol=0.02)
    assert low.loss != high.loss
