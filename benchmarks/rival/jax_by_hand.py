"""How fast is the same step written by hand, in nothing but JAX?

No library, no metrics, no clipping, no check: what the framework alone can do.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.rival.jax_networks import Networks
from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Order, Setting, Weights


class State(NamedTuple):
    """What goes from step to step."""

    step: jax.Array
    weights: tuple[Weights, Weights]
    first_moment: tuple[Weights, Weights]
    second_moment: tuple[Weights, Weights]


class Scan:
    """Many steps in one compiled ``lax.scan``."""

    def __init__(self, setting: Setting):
        self.longest_call = setting.epoch
        self._setting, self._networks, self._order = setting, Networks(setting), Order(setting)
        self._images = jnp.asarray(setting.images.reshape(len(setting.images), -1))
        weights = jax.tree.map(jnp.array, (setting.encoder, setting.decoder))
        zeros = jax.tree.map(jnp.zeros_like, weights)
        self._state = State(jnp.zeros((), jnp.int32), weights, zeros, jax.tree.map(jnp.copy, zeros))
        self._train = jax.jit(self._steps, donate_argnums=0)
        self._given = jax.jit(lambda state, x, noise: jax.lax.scan(self._scanned, state, (x, noise)))

    def train(self, steps: int) -> None:
        """In one call."""
        self._state = self._train(self._state, self._images, self._order.take(steps))

    def wait(self) -> None:
        """Returns when the device is done."""
        jax.block_until_ready(self._state)

    def losses(self, x, noise) -> list[float]:
        """Of given batches and noise."""
        self._state, losses = self._given(self._state, x, noise)
        return [float(loss) for loss in losses]

    def _steps(self, state, images, rows):
        def take(state, row):
            return self._update(state, *self._draw(state.step, images, row))[0], None

        return jax.lax.scan(take, state, rows)[0]

    def _scanned(self, state, given):
        return self._update(state, *given)

    def _draw(self, step, images, row):
        key_x, key_z = jax.random.split(jax.random.fold_in(jax.random.key(0), step))
        x = jax.random.bernoulli(key_x, images[row].astype(jnp.float32) / 255).astype(jnp.float32)
        return x, jax.random.normal(key_z, (len(row), self._setting.model.latent_dim))

    def _loss(self, weights, x, noise):
        mean, log_scale = self._networks.encode(weights[0], x)
        logits = self._networks.decode(weights[1], mean + jnp.exp(log_scale) * noise)
        distortion = jnp.sum(jax.nn.softplus(logits) - x * logits)
        rate = 0.5 * jnp.sum(mean**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale)
        return (distortion + rate) / len(x)

    def _update(self, state: State, x, noise):
        loss, gradients = jax.value_and_grad(self._loss)(state.weights, x, noise)
        t = (state.step + 1).astype(jnp.float32)
        first = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.first_moment, gradients)
        second = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g**2, state.second_moment, gradients)
        unbias1, unbias2 = 1 / (1 - BETA1**t), 1 / (1 - BETA2**t)
        weights = jax.tree.map(
            lambda w, m, v: w - LEARNING_RATE * unbias1 * m / (jnp.sqrt(unbias2 * v) + EPSILON),
            state.weights,
            first,
            second,
        )
        return State(state.step + 1, weights, first, second), loss


class Loop(Scan):
    """One compiled step, called from a loop in Python: on a CPU, JAX's convolutions are several times slower
    inside ``lax.scan`` (JAX issue 12868)."""

    def __init__(self, setting: Setting):
        super().__init__(setting)
        self._train_one = jax.jit(self._one, donate_argnums=0)
        self._rows = jnp.empty((0, setting.batch_size), jnp.int32)
        self._taken = 0

    def train(self, steps: int) -> None:
        """One call after the other."""
        for _ in range(steps):
            if self._taken % self._setting.epoch == 0:
                self._rows = jnp.asarray(self._order.take(self._setting.epoch))
            self._state = self._train_one(self._state, self._images, self._rows)
            self._taken += 1

    def _one(self, state, images, rows):
        row = rows[state.step % len(rows)]
        return self._update(state, *self._draw(state.step, images, row))[0]
