import dataclasses
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Adam, Data, Ladder, Model
from jaxvae.config.nested import to_dict
from jaxvae.errors import UserError
from jaxvae.models.preprocessing import preprocess
from jaxvae.profiling.profile import profile
from jaxvae.runs.fit import fit
from jaxvae.runs.folder import Workdir
from jaxvae.runs.replay import NonFiniteError, describe, replay
from jaxvae.system.atomic_files import write_json
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.state import initial_state


@pytest.mark.slow
def test_a_replayed_step_says_what_the_failed_run_said(tmp_path, small_config, monkeypatch):
    good = preprocess

    def bad(pixels, key, mode):
        x = good(pixels, key, mode)
        return jnp.where(pixels.astype(jnp.int32).sum() < 10_200, jnp.full_like(x, jnp.inf), x)

    monkeypatch.setattr("jaxvae.training.step.preprocess", bad)
    jax.clear_caches()  # of what other tests traced with the good ones
    with pytest.raises(NonFiniteError) as raised:
        fit(small_config, tmp_path / "run")
    said, step = str(raised.value), raised.value.step
    assert said.startswith(f"step {step}: not finite: ")
    assert "distortion" in said
    assert "log-scale of q(z|x): from" in said
    assert "(training image " in said
    again = replay(small_config, tmp_path / "run", step)
    assert said.startswith(again)
    if step:
        assert "every term is finite" in replay(small_config, tmp_path / "run", step - 1)
    jax.clear_caches()  # of what was traced with the bad images


def test_any_step_of_a_good_run_can_be_looked_at(tmp_path, small_config):
    fit(small_config, tmp_path / "run")
    said = replay(small_config, tmp_path / "run", 13)
    assert said.startswith("step 13: every term is finite")
    assert "finite for 16 of 16 images" in said
    for step in (-1, 24):
        with pytest.raises(UserError, match=f"--replay {step} is not a step of this run: use 0 to 23"):
            replay(small_config, tmp_path / "run", step)
    other = dataclasses.replace(small_config, optimizer=Adam(learning_rate=0.5))
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.001 there, 0\.5 here"):
        replay(other, tmp_path / "run", 13)
    with pytest.raises(UserError, match="holds no run"):
        replay(small_config, tmp_path / "none", 0)


@pytest.mark.slow
def test_of_a_hierarchy_the_level_is_named_where_it_begins(small_config):
    model = Model(latent_dim=1, architecture=Ladder(groups="4x1 7x2", channels=4, blocks=1))
    config = dataclasses.replace(small_config, model=model)
    images = np.random.default_rng(0).integers(0, 256, (16, 28, 28, 1), dtype=np.uint8)
    state, indices = initial_state(config, jnp.full((28, 28, 1), 0.5)), np.arange(4)

    def said_with(group, raw):
        """With this for the raw mean and log-scale of the group's q(z|x)."""
        biased = eqx.tree_at(lambda s: s.model.groups[group].posterior.biases[-1], state, jnp.float32(raw))
        seen = jax.device_get(diagnose(config, biased, jnp.asarray(indices), jnp.asarray(images[indices])))
        return describe(config, 0, seen, indices)

    # The groups, from above: levels 3, 2 and 1. What is below a level that is not a number is none either.
    said = said_with(1, [np.nan, 0.0])
    levels = [line.split() for line in said.splitlines() if line.startswith("    level")]
    assert [(line[1], line[-4]) for line in levels] == [("3", "4"), ("2", "0"), ("1", "0")]
    assert "not finite: rate, distortion, gradient" in said
    # 16 latents with log-scale 5 where p has 0: KL[N(m, e^10) || N(0, 1)] = (e^10 + m^2 - 1) / 2 - 5 each.
    said = said_with(0, [2.0, 1e3])
    assert "log-scale of q(z|x): from 0 to 5 (of levels " in said
    assert said.split("log-scale of q(z|x)")[1].split(" and ")[1].startswith("3)")
    expected = 16 * ((np.exp(10) + 3) / 2 - 5)
    found = re.search(r"level 3 +mean (\S+), largest (\S+) ", said)
    assert found is not None
    np.testing.assert_allclose([float(n) for n in found.groups()], expected, rtol=1e-4)


IMAGES = np.random.default_rng(0).integers(0, 2, (24, 6, 6), np.uint8) * 255


def with_images(config, steps=8, **data):
    train = dataclasses.replace(config.train, steps=steps)
    return dataclasses.replace(config, data=Data(**data), train=train)


@pytest.mark.slow
def test_a_run_goes_on_with_its_images_wherever_they_are_and_with_no_others(
    tmp_path, small_config, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    np.savez("a.npz", train=IMAGES[:16], test=IMAGES[16:])
    np.savez("other.npz", train=IMAGES[8:], test=IMAGES[:8])
    np.savez("wide.npz", train=IMAGES[:16, :5], test=IMAGES[16:, :5])
    fit(with_images(small_config, 4, name="a.npz"), run)
    (tmp_path / "moved").mkdir()
    (tmp_path / "a.npz").rename("moved/b.npz")
    # Another name, absolute, and fields that change nothing about these pixels.
    moved = with_images(small_config, name=str(tmp_path / "moved" / "b.npz"), color="gray")
    capsys.readouterr()
    assert fit(moved, run)["step"] == 8
    said = capsys.readouterr().out
    assert "from step 4" in said
    # A run that goes on is told what does not suit it, too.
    assert "Warning: --optimizer.warmup_steps 200 is longer than the run of --train.steps 8" in said
    assert replay(moved, run, 2).startswith("step 2: every term is finite")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    for wrong in ("other.npz", "wide.npz"):
        other = with_images(small_config, name=wrong)
        for call in (fit, profile, lambda config, path: replay(config, path, 2)):
            with pytest.raises(UserError) as raised:
                call(other, run)
            lines = str(raised.value).splitlines()
            assert lines[0].startswith(
                f"the images of {wrong} are not those that the run in {run} is trained on"
            )
            assert "their SHA-256 is " in lines[0]
            assert lines[1:] == [
                f"  data.name: {moved.data.name} there, {wrong} here",
                "  data.color: gray there, keep here",
            ]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_without_a_checkpoint_nothing_knows_the_images(tmp_path, small_config, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("a.npz", "b.npz"):
        np.savez(name, train=IMAGES[:16], test=IMAGES[16:])
    workdir = Workdir("run")
    workdir.path.mkdir()
    write_json(workdir.config, to_dict(with_images(small_config, name="a.npz")))
    other = with_images(small_config, 4, name="b.npz")
    for call in (profile, lambda config, path: replay(config, path, 2)):
        with pytest.raises(UserError, match=r"no checkpoint yet .*\n  data\.name: a\.npz there, b\.npz here"):
            call(other, "run")
    # Nothing is trained there: a run may begin anew, and says so.
    assert fit(other, "run")["step"] == 4
    assert (
        "has no checkpoint yet: it begins anew, with data.name b.npz, not a.npz." in capsys.readouterr().out
    )
