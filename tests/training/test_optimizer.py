import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.config import SGD, Adam, Adamax, AdamW, Config, Lion, Muon, Optimizer, Train
from jaxvae.runs.checkpoint_manifest import verify
from jaxvae.runs.fit import fit
from jaxvae.training.optimizer import build_optimizer, learning_rate_schedule, update_average


def built(settings: Optimizer, steps: int) -> Any:
    return build_optimizer(Config(optimizer=settings, train=Train(steps=steps)))


@pytest.mark.parametrize(("steps", "warmup"), [(1000, 100), (50, 200), (10, 0)])
def test_the_schedule_is_its_formula(steps, warmup):
    schedule = learning_rate_schedule(Adam(learning_rate=0.5, warmup_steps=warmup), steps)
    t = np.arange(steps + 1)
    expected = 0.5 * np.minimum(1, (t + 1) / max(warmup, 1)) * (1 + np.cos(np.pi * t / steps)) / 2
    np.testing.assert_allclose([schedule(int(step)) for step in t], expected, rtol=1e-5, atol=1e-8)
    assert schedule(0) > 0


def test_a_constant_schedule_stays():
    config = Adam(learning_rate=0.5, warmup_steps=2, schedule="constant")
    schedule = learning_rate_schedule(config, 10)
    np.testing.assert_allclose([schedule(t) for t in (0, 1, 9, 100)], [0.25, 0.5, 0.5, 0.5])


@pytest.mark.parametrize("unit", [1, 3])
def test_stages_are_those_of_burda_et_al(unit):
    schedule = learning_rate_schedule(
        Adam(learning_rate=1e-3, warmup_steps=0, schedule="stages"), 3280 * unit
    )
    expected = np.concatenate([np.full(unit * 3**i, 1e-3 * 10 ** (-i / 7)) for i in range(8)])
    found = jax.vmap(schedule)(jnp.arange(len(expected)))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_stages_of_a_short_run_only_fall():
    rates = [
        float(learning_rate_schedule(Adam(learning_rate=1.0, warmup_steps=0, schedule="stages"), 10)(step))
        for step in range(10)
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == pytest.approx(0.1)


def test_one_step_is_adam_on_the_clipped_gradient():
    config = Adam(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=1.0, epsilon=0.5)
    optimizer = built(config, 10)
    weights, grads = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([30.0, 40.0])}
    step, norm = jnp.int32(0), optax.tree.norm(grads)
    updates: Any = optimizer.update(grads, optimizer.init(weights), weights, step=step, norm=norm)[0]
    clipped = np.array([0.6, 0.8])
    # After one step Adam's bias-corrected moments are the gradient and its square.
    np.testing.assert_allclose(updates["w"], -0.1 * clipped / (clipped + 0.5), rtol=1e-5)


def test_many_steps_are_adam_in_float64():
    config = Adam(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=None, epsilon=0.03)
    optimizer, rng = built(config, 10), np.random.default_rng(0)
    state: Any = optimizer.init({"w": jnp.zeros(5)})
    mean = square = np.zeros(5)
    for t in range(1, 40):
        grad = rng.normal(size=5).astype(np.float32)
        updates, state = optimizer.update(
            {"w": jnp.asarray(grad)}, state, state.mu, step=jnp.int32(7), norm=jnp.ones(())
        )
        mean = config.beta1 * mean + (1 - config.beta1) * grad.astype(float)
        square = config.beta2 * square + (1 - config.beta2) * grad.astype(float) ** 2
        unbiased = mean / (1 - config.beta1**t), square / (1 - config.beta2**t)
        expected = -0.1 * unbiased[0] / (np.sqrt(unbiased[1]) + config.epsilon)
        np.testing.assert_allclose(updates["w"], expected, rtol=1e-5, atol=1e-8)


def test_the_average_is_its_formula():
    average, weights = jnp.array([0.0]), jnp.array([1.0])
    expected = 0.0
    for t in range(200):
        average = update_average(average, weights, jnp.float32(t), 0.95)
        expected += (1 - min(0.95, (1 + t) / (10 + t))) * (1 - expected)
        np.testing.assert_allclose(average, [expected], rtol=1e-5)
    same = update_average(weights, weights, jnp.float32(0), 0.5)
    np.testing.assert_array_equal(jax.tree.leaves(same)[0], weights)


def test_the_learning_rate_is_that_of_the_step_however_many_updates_were_made():
    config = Adam(learning_rate=1.0, warmup_steps=0, clip_norm=None, beta1=0.0, epsilon=1e-30)
    optimizer = built(config, 10)
    grads = {"w": jnp.array([3.0])}
    for step in (0, 5, 9):
        updates: Any = optimizer.update(
            grads, optimizer.init(grads), grads, step=jnp.int32(step), norm=optax.tree.norm(grads)
        )[0]
        np.testing.assert_allclose(updates["w"], -learning_rate_schedule(config, 10)(step), rtol=1e-5)


def adamw(g, w, m, v, t, c):
    m, v = c.beta1 * m + (1 - c.beta1) * g, c.beta2 * v + (1 - c.beta2) * g**2
    mean, square = m / (1 - c.beta1**t), v / (1 - c.beta2**t)
    return mean / (np.sqrt(square) + c.epsilon) + c.weight_decay * w, m, v


def adamax(g, w, m, v, t, c):
    # Kingma and Ba 2014, section 7.1; Optax adds epsilon to the magnitude before the maximum.
    m, v = c.beta1 * m + (1 - c.beta1) * g, np.maximum(np.abs(g) + c.epsilon, c.beta2 * v)
    return m / (1 - c.beta1**t) / v, m, v


def sgd(g, w, m, v, t, c):
    m = c.momentum * m + g
    return m, m, v


def lion(g, w, m, v, t, c):
    # Chen et al. 2023, arXiv 2302.06675, algorithm 2.
    direction = np.sign(c.beta1 * m + (1 - c.beta1) * g) + c.weight_decay * w
    return direction, c.beta2 * m + (1 - c.beta2) * g, v


COMMON: Any = {"learning_rate": 0.1, "warmup_steps": 3, "clip_norm": 2.0}
METHODS = {
    "adamw": (adamw, AdamW(weight_decay=0.1, epsilon=0.03, **COMMON)),
    "adamax": (adamax, Adamax(epsilon=1e-3, **COMMON)),
    "sgd": (sgd, SGD(momentum=0.8, **COMMON)),
    "lion": (lion, Lion(weight_decay=0.2, beta2=0.99, **COMMON)),
}


@pytest.mark.parametrize("name", METHODS)
def test_each_method_is_its_formula_in_float64_at_every_step_of_the_schedule(name):
    formula, settings = METHODS[name]
    config = Config(optimizer=settings, train=Train(steps=20))
    optimizer, schedule = build_optimizer(config), learning_rate_schedule(settings, 20)
    weights: Any = {"w": jnp.asarray(np.linspace(-1, 1, 5), jnp.float32)}
    state, rng = optimizer.init(weights), np.random.default_rng(0)
    w, m, v = np.linspace(-1, 1, 5), np.zeros(5), np.zeros(5)
    for t in range(20):
        grads = {"w": jnp.asarray(rng.normal(size=5), jnp.float32)}
        norm = optax.tree.norm(grads)
        updates, state = optimizer.update(grads, state, weights, step=jnp.int32(t), norm=norm)
        weights = optax.apply_updates(weights, updates)
        g = np.asarray(grads["w"], float)
        direction, m, v = formula(g * min(1, 2 / np.linalg.norm(g)), w, m, v, t + 1, settings)
        w = w - float(schedule(t)) * direction
        np.testing.assert_allclose(weights["w"], w, rtol=1e-4, atol=1e-6)


def test_muon_moves_a_matrix_by_an_orthogonal_one_and_a_vector_by_adam():
    settings = Muon(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=None)
    optimizer = build_optimizer(Config(optimizer=settings))
    grads: Any = {
        "w": jnp.asarray(np.random.default_rng(0).normal(size=(5, 5)), jnp.float32),
        "b": jnp.arange(1.0, 4),
    }
    weights = jax.tree.map(jnp.zeros_like, grads)
    norm = optax.tree.norm(grads)
    updates, _ = optimizer.update(grads, optimizer.init(weights), weights, step=jnp.int32(0), norm=norm)
    singular = np.linalg.svd(np.asarray(updates["w"], float) / 0.1, compute_uv=False)
    # Five Newton-Schulz steps come close to one (Jordan et al. 2024).
    assert np.all((singular > 0.6) & (singular < 1.3))
    left, _, right = np.linalg.svd(np.asarray(grads["w"], float), full_matrices=False)
    assert np.sum((left @ right) * -np.asarray(updates["w"])) > 0.8 * 0.1 * 5
    # Adam with Nesterov momentum: whatever the size of the gradient.
    np.testing.assert_allclose(updates["b"], updates["b"][0], rtol=1e-4)
    assert -0.2 < updates["b"][0] < -0.09


def test_ours_is_optaxs_adam_to_rounding():
    settings = Adam(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=None)
    ours, theirs = (
        build_optimizer(Config(optimizer=settings)),
        optax.adam(0.1, settings.beta1, settings.beta2),
    )
    weights: Any = {"w": jnp.zeros(5)}
    states, rng = [ours.init(weights), theirs.init(weights)], np.random.default_rng(0)
    for t in range(30):
        grads = {"w": jnp.asarray(rng.normal(size=5), jnp.float32)}
        mine: Any
        mine, states[0] = ours.update(grads, states[0], weights, step=jnp.int32(t), norm=jnp.ones(()))
        with jax.numpy_dtype_promotion("standard"):
            updates: Any
            updates, states[1] = theirs.update(grads, states[1])
        np.testing.assert_allclose(mine["w"], updates["w"], rtol=2e-5)


@pytest.mark.slow
def test_a_run_with_muon_goes_on_to_the_same_bits(tmp_path, small_config):
    settings = Muon(schedule="constant", weight_decay=0.01, learning_rate=0.01)
    config = dataclasses.replace(small_config, optimizer=settings)
    half = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=12))
    fit(config, tmp_path / "whole")
    fit(half, tmp_path / "parts")
    fit(config, tmp_path / "parts")
    states = [verify(tmp_path / name / "checkpoints/24", 24).state for name in ("whole", "parts")]
    assert states[0] == states[1]
