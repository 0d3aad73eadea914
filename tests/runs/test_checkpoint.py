import logging
import shutil
import sys
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxvae.config import MLP, Adam, Config, Model
from jaxvae.errors import RunError, UserError
from jaxvae.runs import checkpoint_manifest as manifest
from jaxvae.runs.checkpoint import Checkpoints, WriteError
from jaxvae.system.third_party_output import quiet
from jaxvae.training.parallel import replicate
from jaxvae.training.state import initial_state

CONFIG = Config(model=Model(latent_dim=2, architecture=MLP(hidden=(5,))), optimizer=Adam(ema_decay=0.9))


def make_state(seed, config=CONFIG, count=1):
    mean = jnp.full((4, 4, 1), 0.1 * (seed + 1), jnp.float32)
    return replicate(initial_state(config, mean), jax.devices()[:count])


def save(folder, *steps, kept=9, state=make_state):
    folder.mkdir(exist_ok=True)
    checkpoints = Checkpoints(folder, kept)
    for step in steps:
        checkpoints.save(step, state(step), {"data": "x", "seconds": {"train": step / 2}})
    checkpoints.wait()
    checkpoints.close()
    return Checkpoints(folder, kept)


def assert_equal(a, b):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        assert np.asarray(x).tobytes() == np.asarray(y).tobytes()


@pytest.mark.parametrize("count", [1, 4])
def test_what_is_read_is_what_was_saved(tmp_path, count):
    checkpoints = save(tmp_path / "c", 5, state=lambda step: make_state(step, count=count))
    read = checkpoints.read(make_state(0))
    assert read is not None
    assert_equal(read.state, make_state(5))
    assert read.manifest.record == {"data": "x", "seconds": {"train": 2.5}}
    assert (read.manifest.step, read.damaged) == (5, {})


class EarlierEncoder(eqx.Module):
    mlp: eqx.Module


class EarlierVAE(eqx.Module):
    """A model of a version that had no module for its prior, nor one for its posterior."""

    encoder: EarlierEncoder
    decoder: eqx.Module
    likelihood: eqx.Module


def test_a_checkpoint_of_a_model_without_parts_that_have_no_arrays_is_read(tmp_path):
    def earlier(step):
        vae: Any = make_state(step).model
        return {"model": EarlierVAE(EarlierEncoder(vae.encoder.mlp), vae.decoder, vae.likelihood)}

    checkpoints = save(tmp_path / "c", 5, state=earlier)
    like = {"model": make_state(0).model}
    assert jax.tree.structure(like) != jax.tree.structure(earlier(0))
    read = checkpoints.read(like)
    assert read is not None
    assert jax.tree.structure(read.state) == jax.tree.structure(like)
    assert_equal(read.state, {"model": make_state(5).model})


def test_orbax_alone_can_read_it_too(tmp_path):
    save(tmp_path / "c", 5, 6)
    manager = ocp.CheckpointManager(tmp_path / "c")
    assert manager.latest_step() == 6
    assert manager.all_steps() == [5, 6]
    path = tmp_path / "c" / "6" / "default"
    restored = ocp.StandardCheckpointer().restore(path, jax.device_get(make_state(0)))
    assert_equal(restored, make_state(6))


def test_only_the_newest_are_kept(tmp_path):
    save(tmp_path / "c", 1, 2, 3, kept=2)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["2", "3"]


def test_where_nothing_was_saved_there_is_nothing_to_read(tmp_path):
    assert Checkpoints(tmp_path / "no", kept=1).read(make_state(0)) is None
    assert not (tmp_path / "no").exists()


def test_every_byte_of_the_manifest_counts(tmp_path):
    save(tmp_path / "c", 1, 2)
    path = tmp_path / "c" / "2" / manifest.NAME
    content = path.read_bytes()
    for offset in range(0, len(content), 7):
        path.write_bytes(content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1 :])
        with pytest.raises(manifest.DamagedError, match=r"digest\.json has other contents"):
            manifest.verify(tmp_path / "c" / "2", 2)
    path.write_bytes(content)
    assert manifest.verify(tmp_path / "c" / "2", 2).step == 2
    (tmp_path / "c" / "2").rename(tmp_path / "c" / "7")
    with pytest.raises(manifest.DamagedError, match="it is the checkpoint of step 2"):
        manifest.verify(tmp_path / "c" / "7", 7)


def test_a_damaged_one_is_passed_over_set_aside_and_replaced(tmp_path):
    checkpoints = save(tmp_path / "c", 1, 2, 3)
    victim = next((tmp_path / "c" / "3" / "default" / "ocdbt.process_0" / "d").iterdir())
    victim.write_bytes(victim.read_bytes()[:-1])
    read = checkpoints.read(make_state(0))
    assert read is not None
    assert read.manifest.step == 2
    assert_equal(read.state, make_state(2))
    assert victim.name in read.damaged[3]
    assert "bytes, not" in read.damaged[3]
    (tmp_path / "c" / "9.partial").mkdir()
    checkpoints.clean(read.damaged)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["1", "2", "3.damaged"]
    again = save(tmp_path / "c", 3)
    assert sorted(path.name for path in (tmp_path / "c").iterdir()) == ["1", "2", "3"]
    assert again.read(make_state(0)).manifest.step == 3  # type: ignore[union-attr]


def test_if_all_are_damaged_it_says_how_and_touches_nothing(tmp_path):
    checkpoints = save(tmp_path / "c", 1, 2)
    (tmp_path / "c" / "1" / "default" / "_METADATA").unlink()
    (tmp_path / "c" / "2" / manifest.NAME).unlink()
    with pytest.raises(RunError) as raised:
        checkpoints.read(make_state(0))
    assert "step 1: default/_METADATA is missing" in str(raised.value)
    assert "step 2: digest.json cannot be read (No such file or directory)" in str(raised.value)
    assert checkpoints.steps() == [1, 2]


@pytest.mark.parametrize(
    ("like", "said"),
    [
        (
            Config(model=Model(latent_dim=3, architecture=MLP(hidden=(5,))), optimizer=CONFIG.optimizer),
            r"float32\[\d+.*there and",
        ),
        (Config(model=CONFIG.model), r"average\..* is float32\[.*\] there and nothing here"),
    ],
)
def test_another_shape_is_refused_with_the_arrays_path(tmp_path, like, said):
    checkpoints = save(tmp_path / "c", 1)
    with pytest.raises(UserError, match=said):
        checkpoints.read(make_state(0, like))


def test_another_type_is_refused_where_orbax_would_cast(tmp_path):
    checkpoints = save(tmp_path / "c", 1)
    low = jax.tree.map(lambda x: x.astype(jnp.bfloat16) if x.dtype == jnp.float32 else x, make_state(0))
    with pytest.raises(UserError, match=r"is float32\[.*\] there and bfloat16\[.*\] here"):
        checkpoints.read(low)


def test_a_state_that_is_not_finite_is_never_saved(tmp_path):
    (tmp_path / "c").mkdir()
    checkpoints = Checkpoints(tmp_path / "c", 3)
    bad = jax.tree.map(
        lambda x: x + jnp.asarray(jnp.nan, x.dtype) if x.dtype == jnp.float32 else x, make_state(1)
    )
    checkpoints.save(4, bad, {})
    with pytest.raises(
        WriteError, match=r"state after step 4 is not finite and was not saved: see (model|average)\."
    ):
        checkpoints.wait()
    checkpoints.close()
    assert list((tmp_path / "c").iterdir()) == []


def test_a_failed_write_names_the_folder_and_the_bytes_and_keeps_the_rest(tmp_path):
    checkpoints = save(tmp_path / "c", 1)
    shutil.move(tmp_path / "c", tmp_path / "away")
    checkpoints = Checkpoints(tmp_path / "c", 3)
    checkpoints.save(2, make_state(2), {})
    with pytest.raises(
        WriteError, match=r"step 2 could not be saved in .*/c: No such file .* bytes\); .* gone"
    ):
        checkpoints.wait()
    shutil.move(tmp_path / "away", tmp_path / "c")
    checkpoints.save(2, make_state(2), {})
    checkpoints.wait()
    checkpoints.close()
    assert checkpoints.steps() == [1, 2]


def test_what_is_no_checkpoint_is_left_alone(tmp_path):
    others = ["2", "1000", "notes.partial", "7.partial.zip", "\u00b2", "03", "x.old.partial", "4.damaged/a"]
    for name in others:
        (tmp_path / "c" / name).mkdir(parents=True)
        (tmp_path / "c" / name / "mine").write_text("mine")
    (tmp_path / "c" / "5.partial").write_text("a file")
    checkpoints = save(tmp_path / "c", 1, 3, 4, kept=1)
    for name in ("9.partial", "9.old.partial", "9.damaged.old.partial"):
        (tmp_path / "c" / name / "default").mkdir(parents=True)
    assert checkpoints.steps() == [4]
    checkpoints.clean({})
    left = {path.name for path in (tmp_path / "c").iterdir()}
    # That one had the name under which the damaged checkpoint of step 4 is kept until there is a good one.
    others.remove("4.damaged/a")
    assert left == {"4", "5.partial", *others}
    assert all((tmp_path / "c" / name / "mine").read_text() == "mine" for name in others)


def test_what_libraries_say_is_heard_again_after_a_failed_write(tmp_path):
    before = sys.unraisablehook, logging.getLogger("absl").level
    (tmp_path / "c" / "2" / "mine").mkdir(parents=True)
    checkpoints, other = Checkpoints(tmp_path / "c", 3), Checkpoints(tmp_path / "c", 3)
    for saves in (checkpoints, other, checkpoints):
        saves.save(2, make_state(2), {})
        with pytest.raises(WriteError, match="step 2 could not be saved"):
            saves.wait()
        assert logging.getLogger("absl").level == before[1]
    checkpoints.close()
    # As long as one may have threads that end badly.
    assert sys.unraisablehook is not before[0]
    other.close()
    other.close()
    with quiet():
        assert sys.unraisablehook is not before[0]
    assert (sys.unraisablehook, logging.getLogger("absl").level) == before
    with pytest.raises(RunError):
        broken(tmp_path / "d").read(make_state(0))
    assert (sys.unraisablehook, logging.getLogger("absl").level) == before


def broken(folder):
    checkpoints = save(folder, 1)
    (folder / "1" / "default" / "_METADATA").unlink()
    return checkpoints
