from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxvae.config import Optimizer
from jaxvae.training.optimizer import build_optimizer, learning_rate_schedule, update_average


@pytest.mark.parametrize(("steps", "warmup"), [(1000, 100), (50, 200), (10, 0)])
def test_the_schedule_is_its_formula(steps, warmup):
    schedule = learning_rate_schedule(Optimizer(learning_rate=0.5, warmup_steps=warmup), steps)
    t = np.arange(steps + 1)
    expected = 0.5 * np.minimum(1, (t + 1) / max(warmup, 1)) * (1 + np.cos(np.pi * t / steps)) / 2
    np.testing.assert_allclose([schedule(int(step)) for step in t], expected, rtol=1e-5, atol=1e-8)
    assert schedule(0) > 0


def test_a_constant_schedule_stays():
    config = Optimizer(learning_rate=0.5, warmup_steps=2, schedule="constant")
    schedule = learning_rate_schedule(config, 10)
    np.testing.assert_allclose([schedule(t) for t in (0, 1, 9, 100)], [0.25, 0.5, 0.5, 0.5])


def test_one_step_is_adam_on_the_clipped_gradient():
    config = Optimizer(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=1.0, epsilon=0.5)
    optimizer = build_optimizer(config, 10)
    weights, grads = {"w": jnp.array([1.0, 2.0])}, {"w": jnp.array([30.0, 40.0])}
    step, norm = jnp.int32(0), optax.tree.norm(grads)
    updates: Any = optimizer.update(grads, optimizer.init(weights), step=step, norm=norm)[0]
    clipped = np.array([0.6, 0.8])
    # After one step Adam's bias-corrected moments are the gradient and its square.
    np.testing.assert_allclose(updates["w"], -0.1 * clipped / (clipped + 0.5), rtol=1e-5)


def test_many_steps_are_adam_in_float64():
    config = Optimizer(learning_rate=0.1, warmup_steps=0, schedule="constant", clip_norm=None, epsilon=0.03)
    optimizer, rng = build_optimizer(config, 10), np.random.default_rng(0)
    state: Any = optimizer.init({"w": jnp.zeros(5)})
    mean = square = np.zeros(5)
    for t in range(1, 40):
        grad = rng.normal(size=5).astype(np.float32)
        updates, state = optimizer.update(
            {"w": jnp.asarray(grad)}, state, step=jnp.int32(7), norm=jnp.ones(())
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
    config = Optimizer(learning_rate=1.0, warmup_steps=0, clip_norm=None, beta1=0.0, epsilon=1e-30)
    optimizer = build_optimizer(config, 10)
    grads = {"w": jnp.array([3.0])}
    for step in (0, 5, 9):
        updates: Any = optimizer.update(
            grads, optimizer.init(grads), step=jnp.int32(step), norm=optax.tree.norm(grads)
        )[0]
        np.testing.assert_allclose(updates["w"], -learning_rate_schedule(config, 10)(step), rtol=1e-5)
