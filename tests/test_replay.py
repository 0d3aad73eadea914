import dataclasses

import jax
import jax.numpy as jnp
import pytest

from jaxvae.config import Optimizer
from jaxvae.errors import UserError
from jaxvae.fit import fit
from jaxvae.preprocessing import preprocess
from jaxvae.replay import NonFiniteError, replay


def test_a_replayed_step_says_what_the_failed_run_said(tmp_path, small_config, monkeypatch):
    good = preprocess

    def bad(pixels, key, mode):
        x = good(pixels, key, mode)
        return jnp.where(pixels.astype(jnp.int32).sum() < 10_200, jnp.full_like(x, jnp.inf), x)

    monkeypatch.setattr("jaxvae.step.preprocess", bad)
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
    other = dataclasses.replace(small_config, optimizer=Optimizer(learning_rate=0.5))
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.001 there, 0\.5 here"):
        replay(other, tmp_path / "run", 13)
    with pytest.raises(UserError, match="holds no run"):
        replay(small_config, tmp_path / "none", 0)
