"""Programs that an earlier process compiled: the same bits, and found only where they belong."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from jaxvae.training.compilation import Compiler, identify
from jaxvae.training.compiled_programs import Cache

ROOT = Path(__file__).parents[2]
DEVICES = jax.devices()[:1]
COMMAND = """
import json, sys
from pathlib import Path
import jax
from jaxvae.commands.train import main

compiled = []
heard = lambda event, seconds, fun_name="", **_: compiled.append((event, fun_name))
jax.monitoring.register_event_duration_secs_listener(heard)
code = main(Path("configs"), sys.argv[1:])
print(json.dumps([name for event, name in compiled if event == "/jax/core/compile/backend_compile_duration"]))
sys.exit(code)
"""
FLAGS = (
    "--config mnist --model.architecture.hidden 16 --model.latent_dim 4 --train.devices 1 "
    "--train.batch_size 16 --train.steps 40 --train.log_every 10 --train.eval_every 20 "
    "--train.checkpoint_every 20 --eval.importance_samples 4 --eval.interim_importance_samples 1"
).split()


@pytest.fixture(autouse=True)
def no_cache_of_jax():
    """JAX is told nothing about its own cache."""
    before = jax.config.jax_compilation_cache_dir  # pyright: ignore[reportAttributeAccessIssue]
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", before)
    compilation_cache.reset_cache()


def train(run, cache):
    """The command in a process of its own; what it compiled, by name."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, *FLAGS, "--workdir", str(run)],
        cwd=ROOT,
        env={**os.environ, "JAXVAE_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def outcome(run):
    """The bits of the last state, the metrics without what depends on the clock, and the pictures."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    manifest = (run / "checkpoints" / "40" / "digest.json").read_text().split("\n", 1)[1]
    return (
        json.loads(manifest)["state"],
        [{k: v for k, v in line.items() if k not in ("seconds", "examples_per_second")} for line in lines],
        {path.name: path.read_bytes() for path in (run / "images").iterdir()},
    )


def test_a_run_with_the_programs_of_another_process_ends_with_the_bits_of_one_that_compiled_its_own(tmp_path):
    compiled = {name: train(tmp_path / name, tmp_path / "cache") for name in ("cold", "warm")}
    if identify(jax.jit(jnp.sin).lower(1.0), DEVICES) is None:
        assert compiled["warm"] == compiled["cold"]
        assert not (tmp_path / "cache").exists()
    else:
        # The first state, the steps, the scores and the pictures come from the cache.
        assert len(compiled["warm"]) == len(compiled["cold"]) - 4
    assert outcome(tmp_path / "cold") == outcome(tmp_path / "warm")


def lowered(constant=1.0):
    return jax.jit(lambda x: x + constant).lower(jnp.zeros(3))


def test_a_program_is_known_by_itself_its_devices_and_what_a_compiler_heeds(monkeypatch):
    name = identify(lowered(), DEVICES)
    if name is None:
        pytest.skip("programs are not kept here")
    assert identify(lowered(), DEVICES) == name
    assert identify(lowered(2.0), DEVICES) != name
    assert identify(lowered(), jax.devices()[1:2]) != name
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3, 4}, raising=False)
    assert identify(lowered(), DEVICES) != name
    monkeypatch.undo()
    monkeypatch.setenv("XLA_FLAGS", os.environ["XLA_FLAGS"] + " --xla_cpu_enable_fast_math=true")
    assert identify(lowered(), DEVICES) != name
    monkeypatch.undo()
    assert identify(lowered(), DEVICES) == name
    monkeypatch.setattr("jaxvae.training.compilation._processor", lambda: "another")
    assert identify(lowered(), DEVICES) not in (name, None)
    monkeypatch.setattr("jaxvae.training.compilation._processor", lambda: None)
    assert identify(lowered(), DEVICES) is None


@pytest.mark.parametrize("junk", [b"", b"junk", b"\x80\x04N."])
def test_what_cannot_be_loaded_is_compiled_and_kept_anew(tmp_path, junk):
    name = identify(lowered(), DEVICES)
    if name is None:
        pytest.skip("programs are not kept here")
    cache = Cache(tmp_path)
    cache.write(name, junk)
    function = jax.jit(lambda x: x + 1.0)
    with Compiler(cache) as compiler:
        program = compiler(function, DEVICES, jnp.zeros(3))
    np.testing.assert_array_equal(program(jnp.ones(3)), 2 * np.ones(3))
    kept = cache.read(name)
    assert kept is not None
    assert len(kept) > 1000


@pytest.mark.parametrize(
    ("setting", "value"),
    [("jax_compilation_cache_dir", "mine"), ("jax_enable_compilation_cache", False)],
)
def test_what_the_user_told_jax_about_its_own_cache_goes_for_this_one(tmp_path, setting, value):
    before = getattr(jax.config, setting)
    jax.config.update(setting, str(tmp_path / value) if value else value)
    try:
        with Compiler(Cache(tmp_path / "ours")) as compiler:
            compiler(jax.jit(lambda x: x + 3.0), DEVICES, jnp.zeros(3))
    finally:
        jax.config.update(setting, before)
        compilation_cache.reset_cache()
    assert not (tmp_path / "ours").exists()


def test_what_is_begun_first_is_ended_first_and_nothing_more_after_an_error():
    ended, begun, gate = [], threading.Event(), threading.Event()

    def fail(compiler):
        with compiler:
            compiler.begin(ended.append, "first")
            compiler.begin(lambda: (begun.set(), gate.wait()))
            compiler.begin(ended.append, "last")
            assert begun.wait(60)
            # What is under way ends before the error goes on: so that it can, once there is nothing to lose.
            threading.Timer(0.1, gate.set).start()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail(Compiler())
    assert gate.is_set()
    assert ended == ["first"]
    with Compiler() as compiler:
        for number in range(9):
            compiler.begin(ended.append, number)
    assert ended == ["first", *range(9)]
