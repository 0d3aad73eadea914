import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import ELBO, MLP, Adam, Bernoulli, Config, Data, Gaussian, Model, Train
from jaxvae.models.objectives import ELBOObjective
from jaxvae.training.optimizer import usual_norm
from jaxvae.training.parallel import AXIS, map_over_devices, replicate, split_batch
from jaxvae.training.state import initial_state
from jaxvae.training.step import (
    as_rows,
    batch_loss,
    example_inputs,
    make_train_steps,
    train_keys,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)
MEAN = (IMAGES.mean(0) / 255).astype(np.float32)
ROWS = np.random.default_rng(1).integers(0, 50, (12, 16)).astype(np.int32)


def make_config(**sections):
    base = {
        "model": Model(latent_dim=3, architecture=MLP(hidden=(10,), activation="tanh")),
        "train": Train(steps=12, batch_size=16, log_every=100),
        "optimizer": Adam(learning_rate=0.01, warmup_steps=3),
    }
    return Config(**{**base, **sections})


@functools.cache
def compiled_steps(config, count):
    """Compiles once for each number of steps."""
    mapped = (False, True, True, False, False, False)
    devices = jax.devices()[:count]
    return map_over_devices(make_train_steps(config, AXIS), devices, mapped=mapped, donate=(0,))


def run(config, count=1, calls=((0, 12),), images=IMAGES):
    """Trains on ``count`` devices in calls of the given steps; returns the state and every report."""
    devices = jax.devices()[:count]
    state = replicate(initial_state(config, jnp.asarray(MEAN)), devices)
    keys, images = replicate((train_keys(config), images), devices)
    train_steps, reports = compiled_steps(config, count), []
    for first, last in calls:
        rows = split_batch(ROWS[first:last], count)
        state, report = train_steps(state, rows, np.zeros(count, bool), np.int32(first), keys, images)
        reports.append(jax.tree.map(np.asarray, report))
    return state, reports


def assert_same_bits(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


@pytest.mark.parametrize("binarization", ["dynamic", "none"])
def test_training_lowers_the_loss(binarization):
    gaussian = binarization == "none"
    model = Model(
        latent_dim=3, architecture=MLP(hidden=(10,)), likelihood=Gaussian() if gaussian else Bernoulli()
    )
    config = make_config(data=Data(binarization=binarization), model=model)
    # Sixteen images that repeat can be learned by heart.
    few = np.tile(np.where(IMAGES[:2] > 127, 255, 0).astype(np.uint8), (25, 1, 1, 1))
    _, reports = run(config, calls=[(0, 4), (4, 8), (8, 12)], images=few)
    totals = [float(report.totals.loss) for report in reports]
    assert totals[2] - totals[1] < totals[0]


def test_the_cut_into_calls_does_not_matter():
    config = make_config(optimizer=Adam(ema_decay=0.9))
    whole, reports = run(config)
    parts, part_reports = run(config, calls=[(0, 4), (4, 8), (8, 12)])
    assert_same_bits(whole, parts)
    assert_same_bits(reports[-1], part_reports[-1])
    assert int(whole.step) == 12


@functools.partial(jax.jit, static_argnums=0)
def inputs_of(data, keys, step, positions, indices, images):
    return example_inputs(data, keys, step, positions, indices, as_rows(images)[indices], images.shape[1:])


def test_a_step_is_the_gradient_of_the_mean_over_the_batch_then_adam():
    config = make_config(optimizer=Adam(learning_rate=0.01, warmup_steps=0, epsilon=1.0, clip_norm=None))
    state = initial_state(config, jnp.asarray(MEAN))
    positions = jnp.arange(16)
    x, keys = inputs_of(
        config.data, train_keys(config), state.step, positions, jnp.asarray(ROWS[0]), jnp.asarray(IMAGES)
    )
    elbo = ELBOObjective()
    grads = jax.jit(jax.grad(lambda m: batch_loss(m, x, keys, elbo, jnp.int32(0), "float32", AXIS)[0]))(
        state.model
    )
    after, _ = run(config, calls=[(0, 1)])
    expected = jax.tree.map(lambda w, g: w - 0.01 * g / (jnp.abs(g) + 1.0), state.model, grads)
    for ours, wanted in zip(jax.tree.leaves(after.model), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("count", [2, 8])
def test_gradient_scale_and_training_do_not_depend_on_the_number_of_devices(count):
    # Plain gradient descent in effect: epsilon dwarfs Adam's denominator, so a gradient that is summed
    # over devices instead of averaged would move the weights count times as far.
    config = make_config(
        optimizer=Adam(learning_rate=100.0, warmup_steps=0, epsilon=1e4, clip_norm=None, ema_decay=0.5)
    )
    one, reports = run(config)
    many, many_reports = run(config, count)
    start = initial_state(config, jnp.asarray(MEAN)).model
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), one.model, start)
    assert max(jax.tree.leaves(moved)) > 1e-3
    for ours, wanted in zip(jax.tree.leaves(many), jax.tree.leaves(one), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(many_reports[-1].totals.loss, reports[-1].totals.loss, rtol=1e-6)


@pytest.mark.parametrize("binarization", ["dynamic", "static"])
def test_a_shard_sees_the_same_examples_and_noise_as_the_whole_batch(binarization):
    data, keys = (
        Data(binarization=binarization),
        train_keys(make_config(data=Data(binarization=binarization))),
    )
    images, rows, step = jnp.asarray(IMAGES), jnp.asarray(ROWS[0]), jnp.int32(5)
    x, noise = inputs_of(data, keys, step, jnp.arange(16), rows, images)
    noise = jax.random.key_data(noise)
    for count in (2, 4, 8):
        local = 16 // count
        for device in range(count):
            part = slice(device * local, (device + 1) * local)
            xs, ns = inputs_of(data, keys, step, jnp.arange(16)[part], rows[part], images)
            np.testing.assert_array_equal(xs, x[part])
            np.testing.assert_array_equal(jax.random.key_data(ns), noise[part])


def test_dynamic_binarisation_changes_with_the_step_and_static_does_not():
    images, rows = jnp.asarray(IMAGES), jnp.asarray(ROWS[0])
    for data, changes in ((Data(binarization="dynamic"), True), (Data(binarization="static"), False)):
        keys = train_keys(make_config(data=data))
        first, second = (
            inputs_of(data, keys, jnp.int32(step), jnp.arange(16), rows, images) for step in (1, 2)
        )
        assert np.any(first[0] != second[0]) == changes
        assert np.any(jax.random.key_data(first[1]) != jax.random.key_data(second[1]))
        # A static draw belongs to the image, wherever in a batch it stands.
        if not changes:
            moved = inputs_of(data, keys, jnp.int32(1), jnp.arange(16) + 3, rows, images)
            np.testing.assert_array_equal(moved[0], first[0])


def test_totals_are_sums_until_they_are_emptied():
    config = make_config()
    devices = jax.devices()[:1]
    state = replicate(initial_state(config, jnp.asarray(MEAN)), devices)
    keys, images = replicate((train_keys(config), IMAGES), devices)
    mapped, no = (False, True, True, False, False, False), np.zeros(1, bool)

    def train_steps(log_every):
        logs = dataclasses.replace(config, train=dataclasses.replace(config.train, log_every=log_every))
        return map_over_devices(make_train_steps(logs, AXIS), devices, mapped=mapped)

    state, first = train_steps(4)(state, split_batch(ROWS[:4], 1), no, np.int32(0), keys, images)
    rows = split_batch(ROWS[4:8], 1)
    fresh, emptied = train_steps(4)(state, rows, no, np.int32(4), keys, images)
    kept, both = train_steps(8)(state, rows, no, np.int32(4), keys, images)
    assert_same_bits(fresh.model, kept.model)
    assert float(both.totals.steps) == 8
    assert float(emptied.totals.steps) == 4
    np.testing.assert_allclose(both.totals.loss, first.totals.loss + emptied.totals.loss, rtol=1e-5)


def test_the_rate_is_weighted_by_beta_as_it_warms_up():
    config = make_config(objective=ELBO(beta=3.0, beta_warmup_steps=4))
    _, reports = run(config, calls=[(step, step + 1) for step in range(6)])
    totals = [jax.tree.map(float, report.totals) for report in reports]
    before = (0.0, 0.0, 0.0)
    for step, now in enumerate(totals):
        rate, distortion, loss = (
            value - last for value, last in zip((now.rate, now.distortion, now.loss), before, strict=True)
        )
        beta = 3 * min(1, (step + 1) / 4)
        np.testing.assert_allclose(loss, distortion + beta * rate, rtol=1e-4)
        before = (now.rate, now.distortion, now.loss)


def test_bfloat16_computes_low_keeps_weights_high_and_trains_alike():
    config = make_config(model=Model(latent_dim=3, architecture=MLP(hidden=(10,), activation="tanh")))
    low = dataclasses.replace(config, train=dataclasses.replace(config.train, precision="bfloat16"))
    high_state, high = run(config)
    low_state, report = run(low)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(low_state.model)} == {"float32"}
    networks = low_state.model.in_precision("bfloat16")
    assert {leaf.dtype.name for leaf in jax.tree.leaves((networks.encoder, networks.decoder))} == {"bfloat16"}
    np.testing.assert_allclose(report[-1].totals.loss, high[-1].totals.loss, rtol=5e-3)
    with pytest.raises(AssertionError):
        assert_same_bits(high_state.model, low_state.model)


def step_5_times(monkeypatch, factor):
    """Multiplies the data of step 5, while a fixture lasts."""
    good = example_inputs

    def inputs(data, keys, step, positions, indices, pixels, shape):
        x, noise = good(data, keys, step, positions, indices, pixels, shape)
        return jnp.where(step == 5, factor * x, x), noise

    monkeypatch.setattr("jaxvae.training.step.example_inputs", inputs)
    compiled_steps.cache_clear()
    yield
    compiled_steps.cache_clear()


@pytest.fixture
def bad_step(monkeypatch):
    """Makes the data of step 5 not a number."""
    yield from step_5_times(monkeypatch, jnp.nan)


def test_a_step_that_is_not_finite_undoes_its_call_and_the_next_ones_pass_the_state_on(bad_step):
    config = make_config(optimizer=Adam(learning_rate=0.01, ema_decay=0.9))
    before, _ = run(config, calls=[(0, 4)])
    state, reports = run(config, calls=[(0, 4), (4, 8), (8, 12)])
    assert [int(report.failed) for report in reports[:2]] == [-1, 5]
    assert_same_bits(state, before)


def test_a_step_that_is_skipped_changes_nothing_but_the_count(bad_step):
    count = 4
    train = Train(steps=12, batch_size=16, log_every=100, non_finite="skip")
    config = make_config(train=train, optimizer=Adam(learning_rate=0.01, ema_decay=0.9))
    before, _ = run(config, count, calls=[(0, 4), (4, 5)])
    after, _ = run(config, count, calls=[(0, 4), (4, 5), (5, 6)])
    assert_same_bits(
        (after.model, after.average, after.opt_state), (before.model, before.average, before.opt_state)
    )
    assert int(after.step) == 6
    assert (float(after.totals.steps), float(after.totals.skipped)) == (5, 1)
    whole, _ = run(config, count, calls=[(0, 4), (4, 8), (8, 12)])
    assert (float(whole.totals.steps), float(whole.totals.skipped)) == (11, 1)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(whole))


@pytest.fixture
def steep_step(monkeypatch):
    """Makes the gradient of step 5 far larger."""
    yield from step_5_times(monkeypatch, 1000.0)


def test_a_step_with_a_far_larger_gradient_than_usual_is_left_out_and_counted(steep_step):
    config = make_config(optimizer=Adam(learning_rate=0.01, ema_decay=0.9, skip_norm=4.0, clip_norm=None))
    before, _ = run(config, 2, calls=[(0, 5)])
    after, _ = run(config, 2, calls=[(0, 5), (5, 6)])
    assert_same_bits(
        (after.model, after.average, after.opt_state), (before.model, before.average, before.opt_state)
    )
    assert (int(after.step), float(after.totals.steps), float(after.totals.skipped)) == (6, 5, 1)
    # It counts as 4 times the usual: u (4 u / u)^(1 - 6 / 15).
    np.testing.assert_allclose(after.usual_norm, float(before.usual_norm) * 4 ** (9 / 15), rtol=1e-5)
    whole, _ = run(config, 2, calls=[(0, 12)])
    assert (float(whole.totals.steps), float(whole.totals.skipped)) == (11, 1)
    several, _ = run(config, 2, calls=[(0, 5), (5, 6), (6, 12)])
    assert_same_bits(several, whole)


def test_the_usual_norm_is_a_running_geometric_mean():
    norms = np.array([3.0, 5.0, 0.2, 1e6, np.inf, np.nan, 4.0, 4.0])
    usual, wanted = jnp.float32(0), 0.0
    for step, norm in enumerate(norms):
        usual = usual_norm(usual, jnp.float32(norm), jnp.float32(step), 10.0)
        decay = min(0.99, (1 + step) / (10 + step))
        if step == 0:
            wanted = norm
        elif np.isfinite(norm):
            wanted = np.exp(decay * np.log(wanted) + (1 - decay) * np.log(min(norm, 10 * wanted)))
        np.testing.assert_allclose(usual, wanted, rtol=1e-5)
    late = usual_norm(jnp.float32(1), jnp.float32(2), jnp.float32(1e6), 10.0)
    np.testing.assert_allclose(late, 2**0.01, rtol=1e-5)


def test_in_a_fixed_order_every_number_of_devices_gives_the_same_bits():
    train = Train(steps=12, batch_size=16, reduction="fixed")
    config = make_config(train=train, optimizer=Adam(learning_rate=0.01, ema_decay=0.9))
    one, _ = run(config)
    for count in (2, 4, 8):
        assert_same_bits(run(config, count)[0], one)
    fast, _ = run(make_config(optimizer=config.optimizer))
    for ours, wanted in zip(jax.tree.leaves(one), jax.tree.leaves(fast), strict=True):
        np.testing.assert_allclose(ours, wanted, rtol=1e-4, atol=1e-6)


def test_one_device_that_asks_to_stop_is_heard_by_all():
    config, devices = make_config(), jax.devices()[:4]
    state = replicate(initial_state(config, jnp.asarray(MEAN)), devices)
    keys, images = replicate((train_keys(config), IMAGES), devices)
    mapped = (False, True, True, False, False, False)
    train_steps = map_over_devices(make_train_steps(config, AXIS), devices, mapped=mapped)
    for asked in ([False] * 4, [False, False, True, False]):
        _, report = train_steps(state, split_batch(ROWS[:2], 4), np.array(asked), np.int32(0), keys, images)
        assert bool(report.stop) == any(asked)
