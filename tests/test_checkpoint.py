import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.checkpoint import Checkpoints, snapshot
from jaxvae.config import Config, Model, Optimizer
from jaxvae.parallel import replicate
from jaxvae.state import initial_state

CONFIG = Config(model=Model(latent_dim=2, hidden=(5,)), optimizer=Optimizer(ema_decay=0.9))


def make_state(seed):
    mean = jnp.full((4, 4, 1), 0.1 * (seed + 1), jnp.float32)
    return replicate(initial_state(CONFIG, mean), jax.devices()[:1])


def assert_equal(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


def test_what_is_restored_is_what_was_saved_on_any_devices(tmp_path):
    checkpoints = Checkpoints(tmp_path / "c", kept=2)
    saved = make_state(1)
    checkpoints.save(5, saved)
    checkpoints.close()
    again = Checkpoints(tmp_path / "c", kept=2)
    assert again.latest == 5
    for count in (1, 4):
        devices = jax.devices()[:count]
        restored = again.restore(5, make_state(0), devices)
        assert_equal(restored, saved)
        assert all(len(leaf.sharding.device_set) == count for leaf in jax.tree.leaves(restored))
    again.close()


def test_only_the_newest_are_kept_and_no_step_is_written_twice(tmp_path):
    checkpoints = Checkpoints(tmp_path, kept=2)
    for step in (1, 2, 3):
        checkpoints.save(step, make_state(step))
    checkpoints.save(3, make_state(7))
    checkpoints.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
    again = Checkpoints(tmp_path, kept=2)
    assert_equal(again.restore(3, make_state(0), jax.devices()[:1]), make_state(3))
    again.close()


def test_an_empty_folder_has_no_latest(tmp_path):
    checkpoints = Checkpoints(tmp_path, kept=1)
    assert checkpoints.latest is None
    checkpoints.close()


def test_a_snapshot_outlives_its_original():
    state = make_state(2)
    values = jax.tree.map(np.asarray, state)
    copy = snapshot(state)
    jax.tree.map(lambda leaf: leaf.delete(), state)
    assert_equal(copy, values)
