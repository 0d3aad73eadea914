"""Everybody in the benchmark of rivals trains the same model: given the same, they lose the same."""

import dataclasses
import functools
import json
import os
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import rivals, tables
from benchmarks.rival import quiet
from benchmarks.rival.ours import make_setting
from benchmarks.rival.setting import RIVALS, Order, Unavailable
from jaxvae.config import MLP, Adam, Config, Conv, Model, Train
from jaxvae.models.noise import normal
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.order import indices
from jaxvae.training.parallel import compile_for, replicate
from jaxvae.training.state import initial_state
from jaxvae.training.step import as_rows, example_inputs, train_keys

BATCH, GIVEN, OWN, SEEDS = 16, 8, 48, 16
"""Every rival takes ``GIVEN`` steps on our batches and noise, ``OWN`` on its own, and ``GIVEN`` on ours; so
do we, with other seeds."""
MODELS = {
    "mlp": Model(latent_dim=3, architecture=MLP(hidden=(24,), activation="relu")),
    "conv": Model(latent_dim=3, architecture=Conv(channels=(4, 6), hidden=(16,), activation="gelu")),
}
BLOTS = np.kron(np.random.default_rng(0).integers(0, 2, (2, 4, 4, 1)), np.ones((2, 2, 1)))
IMAGES = (25 + 205 * BLOTS[np.random.default_rng(1).integers(0, 2, 60)]).astype(np.uint8)
"""Sixty images of 8 x 8 pixels, each of one of two patterns."""


@pytest.fixture(autouse=True)
def usual_jax():
    """The libraries do not hold themselves to the strictness of these tests."""
    with (
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.debug_key_reuse(False),
    ):
        yield


@functools.cache
def ours(model):
    """The setting, the losses of our own training, the batches and the noise in it, by step, and the mean of
    the last losses had the steps between been taken with each of ``SEEDS`` other seeds.

    Ours is without what the rivals leave out: warm-up, decay and clipping. It begins with pixels that are
    all as likely as not, so that there is something to learn from the first step.
    """
    optimizer = Adam(schedule="constant", warmup_steps=0, clip_norm=None)
    config = Config(model=MODELS[model], optimizer=optimizer, train=Train(batch_size=BATCH, log_every=1))
    devices, images = jax.devices()[:1], jnp.asarray(IMAGES)
    state = replicate(initial_state(config, jnp.full(IMAGES.shape[1:], 0.5)), devices)
    setting = make_setting(config, IMAGES, state.model)
    program = []

    def compiler(*arguments):
        # One for all seeds, which are only in its arguments.
        program[:] = program or [compile_for(*arguments)]
        return program[0]

    call = TrainCall(config, IMAGES, devices, state, 1, compiler)

    @jax.jit
    def inputs(step, rows):
        x, keys = example_inputs(
            config.data,
            train_keys(config),
            step,
            jnp.arange(BATCH),
            rows,
            as_rows(images)[rows],
            images.shape[1:],
        )
        noise = jax.vmap(lambda key: normal(key, (config.model.latent_dim,)))(keys)
        return x.reshape(BATCH, -1), noise

    def train(call, state, first, last):
        losses = []
        for step in range(first, last):
            state, report = call(state, step)
            losses.append(float(report.totals.loss))
        return state, losses

    given = []
    for step in range(2 * GIVEN + OWN):
        rows = indices(config.seed, step * BATCH, BATCH, len(IMAGES))
        given.append(inputs(jnp.int32(step), jnp.asarray(rows)))
    x, noise = (np.stack(parts) for parts in zip(*given, strict=True))
    branched, losses = train(call, state, 0, GIVEN)
    last = []
    for seed in range(SEEDS + 1):
        elsewhere = dataclasses.replace(config, seed=seed)
        other = TrainCall(elsewhere, IMAGES, devices, branched, 1, compiler)
        # A call takes its state's memory.
        state, between = train(other, jax.tree.map(jnp.copy, branched), GIVEN, GIVEN + OWN)
        after = train(call, state, GIVEN + OWN, 2 * GIVEN + OWN)[1]
        if seed == config.seed:
            losses += between + after
        else:
            last.append(np.mean(after))
    return setting, np.asarray(losses), x, noise, np.asarray(last)


def contender(name, setting):
    """The rival, or a skipped test where it cannot be."""
    try:
        return RIVALS[name].build(setting)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", RIVALS)
def test_all_train_the_same_model_in_the_same_way(name, model):
    if (package := RIVALS[name].package) is not None:
        pytest.importorskip(package)
    setting, losses, x, noise, last = ours(model)
    rival = contender(name, setting)
    # Given the same batches and noise, the same losses, each of weights that the steps before have moved.
    np.testing.assert_allclose(rival.losses(x[:GIVEN], noise[:GIVEN]), losses[:GIVEN], rtol=1e-5)
    # On batches and noise of its own, it learns as much in as many steps as we do with other seeds.
    for _ in range(OWN // rival.longest_call):
        rival.train(rival.longest_call)
    later = rival.losses(x[-GIVEN:], noise[-GIVEN:])
    assert np.mean(losses[-GIVEN:]) < 0.96 * np.mean(losses[:GIVEN])
    assert np.std(last) < 0.01 * np.mean(last)
    assert abs(np.mean(later) - np.mean(last)) < 4.5 * np.std(last, ddof=1)


@pytest.mark.slow
def test_an_epoch_visits_no_image_twice_and_the_next_in_another_order():
    setting, *_ = ours("mlp")
    order = Order(setting)
    # Calls need not end where epochs do.
    rows = np.concatenate([order.take(steps) for steps in (1, 2 * setting.epoch - 1)])
    epochs = rows.reshape(2, -1)
    for epoch in epochs:
        assert len(set(epoch)) == setting.epoch * BATCH
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_the_time_that_another_program_takes_is_seen():
    busy = "import time\nwhile time.process_time() < 0.5: pass"
    started, before, own = time.perf_counter(), quiet.cpu_seconds(), time.process_time()
    subprocess.run([sys.executable, "-c", busy], check=True)
    seconds, own = time.perf_counter() - started, time.process_time() - own
    everybody = quiet.cpu_seconds() - before
    share = quiet.others(everybody, own, seconds)
    assert share * seconds * (os.cpu_count() or 1) > 0.45
    assert quiet.others(everybody, everybody, seconds) == 0


@pytest.mark.slow
def test_the_benchmark_prints_the_ratio_of_speeds():
    options = "--models mlp --batch-sizes 64 --rivals jax-scan,jax-loop --repeats 3 --seconds 0.1 --json"
    command = [sys.executable, "-m", "benchmarks.rivals", *options.split()]
    # Without the strictness that these tests ask of JAX.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=tables.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["rival"] for row in rows] == ["jax-scan", "jax-loop"]
    for row in rows:
        assert 0 < row["ratio_min"] <= row["ratio_median"] <= row["ratio_max"]
        ratio = row["ours_examples_per_second"] / row["examples_per_second"]
        assert row["ratio_min"] <= ratio * 1.5
        assert ratio / 1.5 <= row["ratio_max"]
    assert tables.table(rows, rivals.COLUMNS).count("| jax-") == 2
