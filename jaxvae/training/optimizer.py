"""How do gradients become new weights?"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxvae.config import Optimizer as OptimizerConfig


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> Callable[[Any], Float[Array, ""]]:
    """Learning rate of step t (the first is 0) in a run of ``steps``.

    ``peak * min(1, (t + 1) / warmup_steps) * (1 + cos(pi t / steps)) / 2``, or without the last factor
    if the schedule is constant. Because it is a product, any ``steps`` and any warm-up can be combined.
    """
    if config.schedule == "cosine":
        decay = optax.cosine_decay_schedule(config.learning_rate, steps)
    else:
        decay = optax.constant_schedule(config.learning_rate)

    def schedule(step: Any) -> Float[Array, ""]:
        t = jnp.asarray(step, jnp.float32)
        return jnp.minimum(1.0, (t + 1) / max(1, config.warmup_steps)) * decay(t)

    return schedule


class Optimizer(NamedTuple):
    """Adam (Kingma and Ba 2014, arXiv 1412.6980) on gradients clipped by their global norm.

    Unlike an Optax transformation it is given the step and the norm. The learning rate is then a function of
    the step alone, even if an earlier update was skipped, and the norm is computed only once.
    """

    init: Callable[[PyTree], PyTree]
    """``init(weights) -> state``."""
    update: Callable[..., tuple[PyTree, PyTree]]
    """``update(grads, state, step=, norm=) -> (updates, state)``."""


def build_optimizer(config: OptimizerConfig, steps: int) -> Optimizer:
    """The optimizer of a run of ``steps``.

    Update t is ``-a m / (sqrt(v) + e)`` with ``a = rate sqrt(1 - beta2^t) / (1 - beta1^t)`` and
    ``e = epsilon sqrt(1 - beta2^t)``. This needs one division a weight, Optax's form needs three. The
    state is Optax's.
    """
    schedule = learning_rate_schedule(config, steps)
    logs = [float(np.log(beta)) if beta else -np.inf for beta in (config.beta1, config.beta2)]

    def update(
        grads: PyTree, state: optax.ScaleByAdamState, *, step: Int[Array, ""], norm: Float[Array, ""]
    ) -> tuple[PyTree, optax.ScaleByAdamState]:
        # Clipping is one factor, fused into the pass over the weights; Optax's clipping is a separate pass.
        factor = 1.0 if config.clip_norm is None else jnp.minimum(1.0, config.clip_norm / norm)
        count = jnp.asarray(state.count) + 1
        # 1 - decay^count, computed with expm1 to stay accurate when the decay is near 1.
        unbias1, unbias2 = (-jnp.expm1(count.astype(jnp.float32) * log) for log in logs)
        root = jnp.sqrt(unbias2)
        rate, epsilon = schedule(step) * root / unbias1, config.epsilon * root

        def moment(decay: float, power: int) -> Callable[[Array, Array], Array]:
            return lambda average, grad: decay * average + (1 - decay) * (factor * grad) ** power

        mean = jax.tree.map(moment(config.beta1, 1), state.mu, grads)
        square = jax.tree.map(moment(config.beta2, 2), state.nu, grads)
        updates = jax.tree.map(lambda m, v: -rate * m / (jnp.sqrt(v) + epsilon), mean, square)
        return updates, optax.ScaleByAdamState(count, mean, square)

    return Optimizer(optax.scale_by_adam().init, update)


def update_average(average: PyTree, weights: PyTree, step: Float[Array, ""], decay: float) -> PyTree:
    """Exponential moving average of the weights after step t: ``a + (1 - d_t)(w - a)``.

    ``d_t = min(decay, (1 + t) / (10 + t))``: at the beginning it forgets the initial weights quickly. Arrays
    that are not floating-point are copied from ``weights``.
    """
    rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))

    def one(a: Array, w: Array) -> Array:
        return a + rate * (w - a) if jnp.issubdtype(w.dtype, jnp.inexact) else w

    return jax.tree.map(one, average, weights)
