"""A module of another library, put into a model, trains, is saved and is looked at as our own are."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import MLP, Adam, Config, Model, Train
from jaxvae.models.distributions import Gaussian, bounded_log_scale
from jaxvae.models.stock_modules import adopt
from jaxvae.models.vae import VAE
from jaxvae.runs.checkpoint import Checkpoints, snapshot
from jaxvae.runs.evaluation import Evaluator
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.parallel import AXIS, map_over_devices, replicate, split_batch
from jaxvae.training.state import initial_state, state_of
from jaxvae.training.step import make_train_steps, train_keys

IMAGES = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1), dtype=np.uint8)
CONFIG = Config(
    model=Model(latent_dim=3, architecture=MLP(hidden=(8,))),
    optimizer=Adam(learning_rate=0.01, warmup_steps=0, ema_decay=0.9),
    train=Train(steps=4, batch_size=16),
)


class StockEncoder(eqx.Module):
    """Leaves that are a function, a number, whole numbers in an array, and an array of NumPy's."""

    mlp: eqx.nn.MLP
    factor: float
    version: jax.Array
    offset: np.ndarray

    def __call__(self, x):
        mean, raw = jnp.split(self.mlp(self.factor * x.reshape(-1) + self.offset), 2)
        return Gaussian(mean, bounded_log_scale(raw))


@pytest.fixture
def model() -> VAE:
    ours = initial_state(CONFIG, jnp.asarray(IMAGES.mean(0) / 255, jnp.float32)).model
    keys = jax.random.split(jax.random.key(0))
    encoder = StockEncoder(
        eqx.nn.MLP(64, 6, 8, 1, activation=jax.nn.gelu, key=keys[0]),
        2.0,
        jnp.int32(7),
        np.zeros(64, np.float32),
    )
    decoder = eqx.nn.Sequential(
        [eqx.nn.MLP(3, 64, 8, 1, key=keys[1]), eqx.nn.Lambda(lambda h: h.reshape(8, 8, 1))]
    )
    return dataclasses.replace(ours, encoder=encoder, decoder=decoder)


def test_only_arrays_are_leaves_and_the_function_is_the_same(model):
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(model))
    stock = eqx.nn.MLP(64, 6, 8, 1, activation=jax.nn.gelu, key=jax.random.key(3))
    x = jnp.linspace(0, 1, 64)
    np.testing.assert_array_equal(adopt(stock)(x), stock(x))
    assert adopt(jnp.tanh)(x).dtype == jnp.float32  # no array in it at all
    ours = initial_state(CONFIG, jnp.zeros((8, 8, 1))).model
    assert adopt(ours.encoder) is ours.encoder


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_it_trains(model, precision):
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, precision=precision))
    devices = jax.devices()[:2]
    start = state_of(config, model)
    keys, images = replicate((train_keys(config), IMAGES), devices)
    train_steps = map_over_devices(
        make_train_steps(config, AXIS), devices, mapped=(False, True, True, False, False, False)
    )
    rows = split_batch(np.tile(np.arange(16, dtype=np.int32), (4, 1)), 2)
    after, report = train_steps(replicate(start, devices), rows, np.zeros(2, bool), np.int32(0), keys, images)
    assert int(report.failed) == -1
    assert jax.tree.structure(after) == jax.tree.structure(start)
    moved = jax.tree.map(lambda a, b: bool(np.any(a != b)), after.model, model)
    assert moved.encoder.arrays.mlp.layers[0].weight
    assert moved.encoder.arrays.offset
    assert moved.decoder.arrays[0].layers[1].bias
    for kept in (after.model, after.average):
        np.testing.assert_array_equal(kept.encoder.arrays.version, 7)
        assert kept.encoder.arrays.version.dtype == jnp.int32


def test_it_is_saved_read_scored_drawn_and_diagnosed(model, tmp_path):
    state = state_of(CONFIG, model)
    checkpoints = Checkpoints(tmp_path, kept=1)
    checkpoints.save(1, snapshot(state), {})
    checkpoints.wait()
    restored = checkpoints.read(jax.eval_shape(lambda: state))
    assert restored is not None
    assert jax.tree.structure(restored.state) == jax.tree.structure(state)
    jax.tree.map(np.testing.assert_array_equal, restored.state, state)
    checkpoints.close()
    back = replicate(restored.state, jax.devices()[:1])
    evaluator = Evaluator(CONFIG, IMAGES, jax.devices()[:1])
    assert np.isfinite(evaluator.summarise(evaluator.dispatch(back.evaluation_model, 2), 2)["nll"])
    assert evaluator.pictures(back.evaluation_model)[0].shape == (100, 8, 8, 1)
    seen = diagnose(CONFIG, state, jnp.arange(16), jnp.asarray(IMAGES))
    assert np.isfinite(seen.gradient_norm)
    assert float(seen.gradients.encoder.arrays.mlp.layers[0].weight) > 0


def test_only_numbers_that_can_be_rounded_are_cast(model):
    low = model.in_precision("bfloat16")
    assert low.encoder.arrays.mlp.layers[0].weight.dtype == jnp.bfloat16
    assert low.encoder.arrays.version.dtype == jnp.int32
    posterior, exact = (m.encode(jnp.full((8, 8, 1), 0.3)) for m in (low, model))
    assert posterior.mean.dtype == posterior.log_scale.dtype == jnp.float32
    np.testing.assert_array_equal(posterior.mean, posterior.mean.astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(posterior.mean, exact.mean, atol=0.05)
