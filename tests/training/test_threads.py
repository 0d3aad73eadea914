"""Nothing is imported in a thread beside others, where one import can break another.

While Grain is imported, ``builtins.__import__`` is another function: a thread that comes by any ``import``
then gets a stand-in for the module, which fails much later and elsewhere.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from jaxvae.config import Data
from jaxvae.data.load import _begun, begin_loading, load

ROOT = Path(__file__).parents[2]
WATCHED = """
import builtins, json, sys, threading, types
from pathlib import Path

loads, replaced = [], []

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is not threading.main_thread():
            loads.append((threading.current_thread().name, name))

class Watched(types.ModuleType):
    def __setattr__(self, name, value):
        if name == "__import__":
            replaced.append(sorted(thread.name for thread in threading.enumerate()))
        super().__setattr__(name, value)

sys.meta_path.insert(0, Watch())
builtins.__class__ = Watched
from jaxvae.commands.train import main

code = main(Path("configs"), sys.argv[1:])
loads = [load for load in loads if load[1] in sys.modules]  # others only asked whether it is there
known = sorted({"grain", "orbax", "PIL"} & sys.modules.keys())
print(json.dumps({"code": code, "loads": loads, "replaced": replaced, "known": known}))
"""
FLAGS = (
    "--config mnist --model.architecture.hidden 16 --model.latent_dim 4 --train.devices 1 "
    "--train.batch_size 16 --train.steps 40 --train.log_every 10 --train.eval_every 20 "
    "--train.checkpoint_every 20 --eval.importance_samples 1 --eval.interim_importance_samples 1"
).split()


def watch(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *FLAGS, "--workdir", str(folder / "run"), *arguments],
        cwd=ROOT,
        env={**os.environ, "JAXVAE_CACHE_DIR": str(folder / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check(seen, *known):
    assert seen["code"] == 0
    assert seen["loads"] == []
    assert set(known) <= set(seen["known"])
    for threads in seen["replaced"]:
        # That which waits for signals imports nothing.
        assert set(threads) <= {"MainThread", "signals"}, threads


@pytest.mark.slow
def test_a_resident_run_that_is_continued_streaming(tmp_path):
    # Whose programs are compiled and kept, and then in part found.
    check(watch(tmp_path, "--data.placement", "resident"), "orbax")
    streamed = watch(tmp_path, "--data.placement", "stream", "--train.steps", "60")
    check(streamed, "orbax", "grain")
    # The watch sees what it should: Grain does replace it.
    assert streamed["replaced"]


@pytest.mark.parametrize("data", [Data(image_size=14), Data(color="rgb"), Data(name="cats")])
def test_what_needs_an_import_is_not_loaded_in_the_background(data):
    begin_loading(data)
    assert data not in _begun
    begin_loading(Data())
    assert Data() in _begun
    assert load(Data()).train.shape == (60_000, 28, 28, 1)
