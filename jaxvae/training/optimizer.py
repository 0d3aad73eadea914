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
from jaxvae.config.experiment_file import own_function
from jaxvae.errors import UserError


def learning_rate_schedule(config: OptimizerConfig, steps: int) -> Callable[[Any], Float[Array, ""]]:
    """Learning rate of step t (the first is 0) in a run of ``steps``.

    ``peak * min(1, (t + 1) / warmup_steps) * (1 + cos(pi t / steps)) / 2``; the last factor is 1 if the
    schedule is constant, and in stage i of ``stages``, 0 to 7, ``10^(-i/7)`` (Burda et al. 2015, arXiv
    1509.00519, section 5): stage i lasts ``3^i / 3280`` of the steps. Because it is a product, any ``steps``
    and any warm-up can be combined.
    """
    decay: Callable[[Any], Any] = optax.constant_schedule(config.learning_rate)
    if config.schedule == "cosine":
        decay = optax.cosine_decay_schedule(config.learning_rate, steps)
    elif config.schedule == "stages":
        # Stage i ends before step (3^(i + 1) - 1) / 2 of 3280; of a short run, at the next whole step.
        ends = [-(-steps * ((3 ** (i + 1) - 1) // 2) // 3280) for i in range(7)]
        rates = np.float32(config.learning_rate * 10.0 ** (-np.arange(8) / 7))

        def decay_in_stages(step: Any) -> Float[Array, ""]:
            return jnp.asarray(rates)[jnp.sum(step >= jnp.asarray(ends, jnp.float32))]

        decay = decay_in_stages

    def schedule(step: Any) -> Float[Array, ""]:
        t = jnp.asarray(step, jnp.float32)
        return jnp.minimum(1.0, (t + 1) / max(1, config.warmup_steps)) * decay(t)

    return schedule


class Optimizer(NamedTuple):
    """How weights are updated, on gradients clipped by their global norm.

    Unlike an Optax transformation it is given the step and the norm. The learning rate is then a function of
    the step alone, even if an earlier update was skipped, and the norm is computed only once.
    """

    init: Callable[[PyTree], PyTree]
    """``init(weights) -> state``."""
    update: Callable[..., tuple[PyTree, PyTree]]
    """``update(grads, state, weights, step=, norm=) -> (updates, state)``."""


class Method(NamedTuple):
    """A method of updating weights that is given the clipping and the learning rate as two factors, so that
    it can fuse them into its one pass over the weights."""

    init: Callable[[PyTree], PyTree]
    """``init(weights) -> state``."""
    update: Callable[..., tuple[PyTree, PyTree]]
    """``update(grads, state, weights, clipping=, rate=) -> (updates, state)``."""


def build_optimizer(config: Config) -> Optimizer:
    """The optimizer of a run: the experiment's own, which is an Optax transformation for a learning rate of
    1, or the one that ``config.optimizer`` names."""
    settings = config.optimizer
    if (own := own_function(config.code, "optimizer")) is not None:
        made, maker = own(config), f"optimizer in {config.code.file}"
    else:
        made = settings.implementation()(**settings.arguments())
        maker = f"{type(settings).__name__}.builds"
    if not isinstance(made, optax.GradientTransformation | Method):
        raise UserError(f"{maker} must return an optax.GradientTransformation, not {type(made).__name__}")
    method = made if isinstance(made, Method) else from_optax(made)
    schedule = learning_rate_schedule(settings, config.train.steps)

    def update(
        grads: PyTree, state: PyTree, weights: PyTree, *, step: Int[Array, ""], norm: Float[Array, ""]
    ) -> tuple[PyTree, PyTree]:
        clipping = 1.0 if settings.clip_norm is None else jnp.minimum(1.0, settings.clip_norm / norm)
        return method.update(grads, state, weights, clipping=clipping, rate=schedule(step))

    return Optimizer(method.init, update)


def from_optax(transformation: optax.GradientTransformation) -> Method:
    """Optax's ``transformation``, made for a learning rate of 1: gradients are clipped before it, and what it
    gives is multiplied by the learning rate of the step."""

    def update(
        grads: PyTree,
        state: PyTree,
        weights: PyTree,
        *,
        clipping: Float[Array, ""] | float,
        rate: Float[Array, ""],
    ) -> tuple[PyTree, PyTree]:
        grads = jax.tree.map(lambda grad: clipping * grad, grads)
        # How types and shapes are promoted inside of it is Optax's affair, whatever JAX is told.
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, state = transformation.update(grads, state, weights)
        return jax.tree.map(lambda update: rate * update, updates), state

    return Method(transformation.init, update)


def adamw(beta1: float, beta2: float, epsilon: float, weight_decay: float) -> optax.GradientTransformation:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2017, arXiv 1711.05101)."""
    return optax.adamw(1.0, b1=beta1, b2=beta2, eps=epsilon, weight_decay=weight_decay)


def adamax(beta1: float, beta2: float, epsilon: float) -> optax.GradientTransformation:
    """Adam with the infinity norm (Kingma and Ba 2014, arXiv 1412.6980, section 7.1)."""
    return optax.adamax(1.0, b1=beta1, b2=beta2, eps=epsilon)


def sgd(momentum: float) -> optax.GradientTransformation:
    """Gradient descent; with momentum on the running sum of gradients."""
    return optax.sgd(1.0, momentum=momentum or None)


def lion(beta1: float, beta2: float, weight_decay: float) -> optax.GradientTransformation:
    """Evolved sign momentum (Chen et al. 2023, arXiv 2302.06675)."""
    return optax.lion(1.0, b1=beta1, b2=beta2, weight_decay=weight_decay)


def muon(beta1: float, beta2: float, epsilon: float, weight_decay: float) -> optax.GradientTransformation:
    """Matrices by orthogonalised momentum (Jordan et al. 2024), other weights by Adam."""
    return optax.contrib.muon(
        1.0,
        eps=epsilon,
        weight_decay=weight_decay,
        adam_b1=beta1,
        adam_b2=beta2,
        adam_weight_decay=weight_decay,
    )


def adam(beta1: float, beta2: float, epsilon: float) -> Method:
    """Adam (Kingma and Ba 2014, arXiv 1412.6980), equal to Optax's to rounding. With Optax's a step of the
    ``mnist`` experiment takes 1.008 of the time on two CPU cores (median of 20 pairs, 0.98 to 1.04): this one
    stays because runs that were begun with it go on to the bit.

    Update t is ``-a m / (sqrt(v) + e)`` with ``a = rate sqrt(1 - beta2^t) / (1 - beta1^t)`` and
    ``e = epsilon sqrt(1 - beta2^t)``. This needs one division a weight, Optax's form needs three. The
    state is Optax's.
    """
    logs = [float(np.log(beta)) if beta else -np.inf for beta in (beta1, beta2)]

    def update(
        grads: PyTree,
        state: Any,
        weights: PyTree = None,
        *,
        clipping: Float[Array, ""] | float,
        rate: Float[Array, ""],
    ) -> tuple[PyTree, optax.ScaleByAdamState]:
        count = jnp.asarray(state.count) + 1
        # 1 - decay^count, computed with expm1 to stay accurate when the decay is near 1.
        unbias1, unbias2 = (-jnp.expm1(count.astype(jnp.float32) * log) for log in logs)
        root = jnp.sqrt(unbias2)
        scale, least = rate * root / unbias1, epsilon * root

        def moment(decay: float, power: int) -> Callable[[Array, Array], Array]:
            # Clipping is one factor, fused into the pass over the weights; Optax's is a separate pass.
            return lambda average, grad: decay * average + (1 - decay) * (clipping * grad) ** power

        mean = jax.tree.map(moment(beta1, 1), state.mu, grads)
        square = jax.tree.map(moment(beta2, 2), state.nu, grads)
        updates = jax.tree.map(lambda m, v: -scale * m / (jnp.sqrt(v) + least), mean, square)
        return updates, optax.ScaleByAdamState(count, mean, square)

    return Method(optax.scale_by_adam().init, update)


def usual_norm(
    usual: Float[Array, ""], norm: Float[Array, ""], step: Float[Array, ""], most: float
) -> Float[Array, ""]:
    """Running geometric mean of the gradient's norm after step t: ``u (min(n, most u) / u)^(1 - d_t)``, with
    ``d_t = min(0.99, (1 + t) / (10 + t))``; the first norm itself where ``u`` is 0.

    How many times as large a norm is does not depend on the objective's unit. One that is too large counts as
    ``most u``, so that where gradients stay larger the mean follows them, and steps are taken again. One that
    is not finite does not count.
    """
    rate = 1 - jnp.minimum(0.99, (1 + step) / (10 + step))
    capped = jnp.clip(norm, jnp.finfo(jnp.float32).tiny, most * usual)
    following = jnp.where(usual == 0, norm, usual * (capped / usual) ** rate)
    return jnp.where(jnp.isfinite(norm), following, usual)


def update_average(average: PyTree, weights: PyTree, step: Float[Array, ""], decay: float) -> PyTree:
    """Exponential moving average of the weights after step t: ``a + (1 - d_t)(w - a)``.

    ``d_t = min(decay, (1 + t) / (10 + t))``: at the beginning it forgets the initial weights quickly. Arrays
    that are not floating-point are copied from ``weights``.
    """
    rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))

    def one(a: Array, w: Array) -> Array:
        return a + rate * (w - a) if jnp.issubdtype(w.dtype, jnp.inexact) else w

    return jax.tree.map(one, average, weights)
