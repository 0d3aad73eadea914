"""What does one training step compute?

``train_step`` is a pure function of (state, keys, indices, pixels). ``train_steps`` runs many of them
in one compiled call.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Key, UInt8

from jaxvae.config import Config, Data
from jaxvae.config.fields import FIXED_PARTS
from jaxvae.models.build import build_objective
from jaxvae.models.objectives import AbstractObjective, Terms
from jaxvae.models.preprocessing import flip_half, preprocess
from jaxvae.models.vae import AbstractVAE
from jaxvae.training.keys import Stream, fold_in_each, stream
from jaxvae.training.optimizer import build_optimizer, learning_rate_schedule, update_average, usual_norm
from jaxvae.training.parallel import any_device, mean_in_order, mean_over_devices
from jaxvae.training.state import Totals, TrainState


class TrainKeys(NamedTuple):
    """The streams that training draws from."""

    posterior: Key[Array, ""]
    pixels: Key[Array, ""]
    """Binarisation or dequantisation."""
    flips: Key[Array, ""]


class CallReport(NamedTuple):
    """What a compiled call tells the host, beside the new state."""

    failed: Int[Array, ""]
    """The first step whose loss or gradient was not finite, or -1."""
    totals: Totals
    learning_rate: Float[Array, ""]
    """Of the call's last step."""
    stop: Bool[Array, ""]
    """Whether any process asked, when it made the call, that training stop."""


def train_keys(config: Config) -> TrainKeys:
    """The run's training streams."""
    pixels = Stream.STATIC_BINARIZATION if config.data.binarization == "static" else Stream.BINARIZATION
    if config.data.dequantization != "none":
        pixels = Stream.DEQUANTIZATION
    return TrainKeys(*(stream(config.seed, name) for name in (Stream.POSTERIOR, pixels, Stream.FLIPS)))


def as_rows(images: UInt8[Array, "example height width channel"]) -> UInt8[Array, "example pixel"]:
    """Each image's pixels as one row, from which batches are gathered.

    Done once a call, not in every step: a TPU keeps images and rows in different layouts, and would copy the
    whole training set. A CPU's loops want the one long axis too.
    """
    return images.reshape(len(images), -1)


def example_inputs(
    data: Data,
    keys: TrainKeys,
    step: Int[Array, ""],
    positions: Int[Array, " batch"],
    indices: Int[Array, " batch"],
    pixels: UInt8[Array, "batch pixel"],
    shape: tuple[int, ...],
) -> tuple[Float[Array, "batch height width channel"], Key[Array, " batch"]]:
    """The images of a (part of a) batch as the model sees them, and each one's noise key.

    ``pixels`` are the stored images, each of ``shape``, as rows (``as_rows``). ``positions`` are the
    examples' indices in the global batch, ``indices`` in the training set. Noise is a function of (seed,
    step, position), so it does not depend on how devices share the batch; a static binarisation is a
    function of (seed, index).
    """

    def each(key: Key[Array, ""]) -> Key[Array, " batch"]:
        return fold_in_each(jax.random.fold_in(key, step), positions)

    draws = fold_in_each(keys.pixels, indices) if data.binarization == "static" else each(keys.pixels)
    x = jax.vmap(preprocess, in_axes=(0, 0, None))(pixels.reshape(-1, *shape), draws, data)
    if data.horizontal_flips:
        x = jax.vmap(flip_half)(x, each(keys.flips))
    return x, each(keys.posterior)


def batch_loss(
    model: AbstractVAE,
    x: Float[Array, "batch height width channel"],
    keys: Key[Array, " batch"],
    objective: AbstractObjective,
    step: Int[Array, ""],
    precision: str,
    axis_name: str,
) -> tuple[Float[Array, ""], Terms]:
    """The objective's loss of a batch, or of a device's share of it, and the means of its terms over the
    images, in nats per image."""
    low = model.in_precision(precision).precomputed()
    terms = jax.vmap(lambda image, key: objective.example(low, image, key=key))(x, keys)
    return objective.batch(terms, step, axis_name), Terms(
        jnp.mean(terms.rates, 0), jnp.mean(terms.distortion)
    )


def check_loss(config: Config, model: AbstractVAE, image_shape: tuple[int, ...]) -> None:
    """Raises UserError, before anything is computed, if the objective cannot be had, or not of such a model,
    which may be only shapes."""
    objective, precision = build_objective(config), config.train.precision

    def loss(model, x, keys):
        return batch_loss(model, x, keys, objective, jnp.int32(0), precision, "device")[0]

    x = jax.ShapeDtypeStruct((1, 1, *image_shape), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (1, 1)))
    jax.eval_shape(jax.vmap(loss, (None, 0, 0), axis_name="device"), model, x, keys)


def make_train_step(config: Config, axis_name: str) -> Callable[..., tuple[TrainState, Bool[Array, ""]]]:
    """Builds ``train_step(state, indices, keys, pixels, shape) -> (state, finite)`` for one device's share
    of a batch.

    To be run under a mapped axis ``axis_name``: gradients and metrics are averaged over it, so every
    device ends with the same state. The gradient is that of the mean over the global batch. ``finite``
    says whether the loss and the gradient were; if not, the new state is worthless, or, under
    ``train.non_finite`` skip, the old one with the step counted as skipped. That it is too where the gradient
    is larger than ``optimizer.skip_norm`` allows.
    """
    optimizer = build_optimizer(config)
    objective, decay = build_objective(config), config.optimizer.ema_decay

    def train_step(state, indices, keys, pixels, shape):
        local = indices.shape[0]
        positions = jax.lax.axis_index(axis_name) * local + jnp.arange(local, dtype=jnp.int32)
        with jax.named_scope("inputs"):
            x, noise = example_inputs(config.data, keys, state.step, positions, indices, pixels, shape)
        gradient = eqx.filter_value_and_grad(batch_loss, has_aux=True)

        def means(images, keys):
            (loss, terms), grads = gradient(
                state.model, images, keys, objective, state.step, config.train.precision, axis_name
            )
            return grads, loss, terms

        if config.train.reduction == "fixed":
            # One part after the other: a matrix product's bits may depend on its size.
            parts = FIXED_PARTS // jax.lax.psum(1, axis_name)
            cut = jax.tree.map(lambda a: a.reshape(parts, -1, *a.shape[1:]), (x, noise))
            grads, loss, terms = mean_in_order(jax.lax.map(lambda part: means(*part), cut), axis_name)
        else:
            grads, loss, terms = mean_over_devices(means(x, noise), axis_name)
        with jax.named_scope("gradient_norm"):
            norm = optax.tree.norm(grads)
        finite = jnp.isfinite(norm) & jnp.isfinite(loss)
        with jax.named_scope("optimizer"):
            updates, opt_state = optimizer.update(
                grads,
                state.opt_state,
                eqx.filter(state.model, eqx.is_inexact_array),
                step=state.step,
                norm=norm,
            )
            model = eqx.apply_updates(state.model, updates)
        average = state.average
        if decay is not None:
            average = update_average(average, model, state.step.astype(jnp.float32), decay)
        totals = state.totals
        totals = Totals(
            totals.rate + terms.rate,
            totals.distortion + terms.distortion,
            totals.loss + loss,
            totals.steps + 1,
            totals.skipped,
        )
        new = TrainState(state.step + 1, model, average, opt_state, totals, state.usual_norm)
        return _unless_skipped(config, state, new, finite, norm), finite

    return train_step


def _unless_skipped(
    config: Config, state: TrainState, new: TrainState, finite: Bool[Array, ""], norm: Float[Array, ""]
) -> TrainState:
    """The new state, or the old one with the step counted as skipped."""
    skip_norm, skips_non_finite = config.optimizer.skip_norm, config.train.non_finite == "skip"
    if skip_norm is None and not skips_non_finite:
        return new
    is_taken = finite if skips_non_finite else jnp.bool(True)
    if state.usual_norm is not None and skip_norm is not None:
        too_large = (norm > skip_norm * state.usual_norm) & (state.usual_norm > 0)
        # One that is not finite is for ``train.non_finite`` to judge.
        is_taken &= ~too_large | ~finite
        usual = usual_norm(state.usual_norm, norm, state.step.astype(jnp.float32), skip_norm)
        state, new = (eqx.tree_at(lambda s: s.usual_norm, each, usual) for each in (state, new))
    totals = eqx.tree_at(lambda t: t.skipped, state.totals, state.totals.skipped + 1)
    return _choose(is_taken, new, eqx.tree_at(lambda s: (s.step, s.totals), state, (state.step + 1, totals)))


def make_train_steps(
    config: Config, axis_name: str, streamed: bool = False
) -> Callable[..., tuple[TrainState, CallReport]]:
    """Builds ``train_steps(state, indices, stop, first, keys, images) -> (state, report)``.

    ``images`` are all of the training set, or, ``streamed``, those that ``indices`` names, row by row.

    Runs one step for each row of ``indices``, the first of which is step ``first``. The number of rows is
    fixed when it is compiled: a loop of known length needs no word from the host between steps, which a
    GPU would have to wait for.

    Unless it skips them, a step that is not finite undoes the whole call: the state stays as it was
    before, and, not being at the step that the next call begins with, passes that one unchanged too.
    So the host may look at the report of a call after it has started another. A choice for every step
    instead would cost one step in twenty on a CPU.
    """
    train_step = make_train_step(config, axis_name)
    schedule = learning_rate_schedule(config.optimizer, config.train.steps)

    def train_steps(
        state: TrainState,
        indices: Int[Array, "step batch"],
        stop: Bool[Array, ""],
        first: Int[Array, ""],
        keys: TrainKeys,
        images: UInt8[Array, "... height width channel"],
    ) -> tuple[TrainState, CallReport]:
        shape = images.shape[-3:]
        # Before the loop: see ``as_rows``.
        chunk = images.reshape(*indices.shape, -1) if streamed else None
        rows = None if streamed else as_rows(images)
        fresh = first % config.train.log_every == 0
        totals = jax.tree.map(lambda total: jnp.where(fresh, jnp.float32(0), total), state.totals)

        def one_step(carry, row):
            before, failed = carry
            which, pixels = row
            if rows is not None:
                with jax.named_scope("inputs"):
                    pixels = rows[which]
            after, finite = train_step(before, which, keys, pixels, shape)
            return (after, jnp.where(finite | (failed >= 0), failed, before.step)), None

        started = eqx.tree_at(lambda s: s.totals, state, totals)
        (ended, failed), _ = jax.lax.scan(one_step, (started, jnp.int32(-1)), (indices, chunk))
        if config.train.non_finite == "stop":
            ended = _choose((failed < 0) & (state.step == first), ended, state)
        report = CallReport(failed, ended.totals, schedule(ended.step - 1), any_device(stop, axis_name))
        return ended, report

    return train_steps


def _choose(condition: Bool[Array, ""], first: TrainState, second: TrainState) -> TrainState:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), first, second)
