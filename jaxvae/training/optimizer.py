"""How do gradients become new weights?"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from jaxvae.config import Config
from jaxvae.config import Optimizer as OptimizerConfig
from jaxvae.config.own_code import own_function
from jaxvae.errors import UserError


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
    """A method of updating weights, on gradients clipped by their global norm.

    Unlike an Optax transformation it is given the step and the norm. The learning rate is then a function of
    the step alone, even if an earlier update was skipped, and the norm is computed only once.
    """

    init: Callable[[PyTree], PyTree]
    """``init(weights) -> state``."""
    update: Callable[..., tuple[PyTree, PyTree]]
    """``update(grads, state, weights, step=, norm=) -> (updates, state)``."""


def build_optimizer(config: Config) -> Optimizer:
    """The optimizer of a run: the experiment's own, which is an Optax transformation for a learning rate of
    1, or the one that ``config.optimizer`` names."""
    settings, steps = config.optimizer, config.train.steps
    if (own := own_function(config.code, "optimizer")) is not None:
        transformation = own(config)
        if not isinstance(transformation, optax.GradientTransformation):
            raise UserError(
                f"optimizer in {config.code.file} must return an optax.GradientTransformation, not "
                f"{type(transformation).__name__}"
            )
        return from_optax(transformation, settings, steps)
    return adam(settings, steps) if settings.name == "adam" else from_optax(_optax(settings), settings, steps)


def _optax(config: OptimizerConfig) -> optax.GradientTransformation:
    """Optax's method of that name, for a learning rate of 1."""
    betas: Any = {"b1": config.beta1, "b2": config.beta2}
    if config.name == "adamw":
        return optax.adamw(1.0, **betas, eps=config.epsilon, weight_decay=config.weight_decay)
    if config.name == "adamax":
        return optax.adamax(1.0, **betas, eps=config.epsilon)
    if config.name == "lion":
        return optax.lion(1.0, **betas, weight_decay=config.weight_decay)
    if config.name == "muon":
        return optax.contrib.muon(
            1.0,
            eps=config.epsilon,
            weight_decay=config.weight_decay,
            adam_b1=config.beta1,
            adam_b2=config.beta2,
            adam_weight_decay=config.weight_decay,
        )
    return optax.sgd(1.0, momentum=config.momentum or None)


def _clipping(config: OptimizerConfig, norm: Float[Array, ""]) -> Float[Array, ""] | float:
    """By what gradients of this global norm are multiplied."""
    return 1.0 if config.clip_norm is None else jnp.minimum(1.0, config.clip_norm / norm)


def from_optax(
    transformation: optax.GradientTransformation, config: OptimizerConfig, steps: int
) -> Optimizer:
    """Optax's ``transformation``, made for a learning rate of 1: gradients are clipped before it, and what it
    gives is multiplied by the learning rate of the step."""
    schedule = learning_rate_schedule(config, steps)

    def update(
        grads: PyTree, state: PyTree, weights: PyTree, *, step: Int[Array, ""], norm: Float[Array, ""]
    ) -> tuple[PyTree, PyTree]:
        factor = _clipping(config, norm)
        grads = jax.tree.map(lambda grad: factor * grad, grads)
        # How types and shapes are promoted inside of it is Optax's affair, whatever JAX is told.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = transformation.update(grads, state, weights)
        rate = schedule(step)
        return jax.tree.map(lambda update: rate * update, updates), state

    return Optimizer(transformation.init, update)


def adam(config: OptimizerConfig, steps: int) -> Optimizer:
    """Adam (Kingma and Ba 2014, arXiv 1412.6980), equal to Optax's to rounding, and faster on a CPU.

    Update t is ``-a m / (sqrt(v) + e)`` with ``a = rate sqrt(1 - beta2^t) / (1 - beta1^t)`` and
    ``e = epsilon sqrt(1 - beta2^t)``. This needs one division a weight, Optax's form needs three. The
    state is Optax's.
    """
    schedule = learning_rate_schedule(config, steps)
    logs = [float(np.log(beta)) if beta else -np.inf for beta in (config.beta1, config.beta2)]

    def update(
        grads: PyTree, state: Any, weights: PyTree = None, *, step: Int[Array, ""], norm: Float[Array, ""]
    ) -> tuple[PyTree, optax.ScaleByAdamState]:
        # Clipping is one factor, fused into the pass over the weights; Optax's clipping is a separate pass.
        factor = _clipping(config, norm)
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
