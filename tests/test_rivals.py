"""Everybody in the benchmark of rivals trains the same model: given the same, they lose the same."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.rival.ours import make_setting
from benchmarks.rival.setting import RIVALS, Unavailable
from jaxvae.call import TrainCall
from jaxvae.config import Config, Model, Optimizer, Train
from jaxvae.data import pixel_mean
from jaxvae.order import indices
from jaxvae.parallel import replicate
from jaxvae.state import initial_state
from jaxvae.step import example_inputs, train_keys

BATCH, GIVEN, OWN = 16, 8, 48
"""Every rival takes ``GIVEN`` steps on our batches and noise, ``OWN`` on its own, and ``GIVEN`` on ours."""
MODELS = {
    "mlp": Model(latent_dim=3, hidden=(24,), activation="relu"),
    "conv": Model(architecture="conv", channels=(4, 6), hidden=(16,), latent_dim=3, activation="gelu"),
}
IMAGES = np.kron(np.random.default_rng(0).integers(0, 2, (60, 4, 4, 1)), np.ones((2, 2, 1)))
IMAGES = (IMAGES * 200 + 20).astype(np.uint8)
"""Sixty images of 8 x 8 pixels, bright and dark blots: something to learn."""


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
    """The setting, the losses of our own training, and the batches and the noise in it, by step.

    Ours is without what the rivals leave out: warm-up, decay and clipping.
    """
    optimizer = Optimizer(schedule="constant", warmup_steps=0, clip_norm=None)
    config = Config(model=MODELS[model], optimizer=optimizer, train=Train(batch_size=BATCH, log_every=1))
    devices, images = jax.devices()[:1], jnp.asarray(IMAGES)
    state = replicate(initial_state(config, jnp.asarray(pixel_mean(IMAGES, "dynamic"))), devices)
    call = TrainCall(config, IMAGES, devices, state, 1)

    @jax.jit
    def inputs(step, rows):
        x, keys = example_inputs(config.data, train_keys(config), step, jnp.arange(BATCH), rows, images)
        noise = jax.vmap(lambda key: jax.random.normal(key, (config.model.latent_dim,)))(keys)
        return x.reshape(BATCH, -1), noise

    losses, given = [], []
    for step in range(2 * GIVEN + OWN):
        rows = indices(config.seed, step * BATCH, BATCH, len(IMAGES))
        given.append(inputs(jnp.int32(step), jnp.asarray(rows)))
        state, report = call(state, step)
        losses.append(float(report.totals.loss))
    x, noise = (np.stack(parts) for parts in zip(*given, strict=True))
    return make_setting(config, IMAGES), np.asarray(losses), x, noise


def contender(name, setting):
    """The rival, or a skipped test where it cannot be."""
    if RIVALS[name].package is not None:
        pytest.importorskip(RIVALS[name].package)
    try:
        return RIVALS[name].build(setting)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", RIVALS)
def test_all_train_the_same_model_in_the_same_way(name, model):
    setting, losses, x, noise = ours(model)
    rival = contender(name, setting)
    # Given the same batches and noise, the same losses.
    np.testing.assert_allclose(rival.losses(x[:GIVEN], noise[:GIVEN]), losses[:GIVEN], rtol=1e-5)
    # On its own, it learns as much.
    for _ in range(OWN // rival.longest_call):
        rival.train(rival.longest_call)
    rival.wait()
    later = rival.losses(x[-GIVEN:], noise[-GIVEN:])
    print(name, model, losses, np.mean(losses[:GIVEN]), np.mean(losses[-GIVEN:]), np.mean(later))
