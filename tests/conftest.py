"""JAX as strict as it can be, eight CPU devices, and every shape in a signature enforced."""

import atexit
import importlib
import os
import shutil
import signal
import tempfile
from pathlib import Path
from typing import Any

# Also for the processes that tests start.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_DEBUG_KEY_REUSE"] = "true"
# Under nohup, processes that tests start would ignore it, as they should, and not end by it.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
# Processes that tests start, and those that share the tests, find each other's programs, and nothing in the
# developer's own cache. Who runs the tests again and again (``benchmarks.mutants``) may keep the programs.
if "JAXVAE_TEST_CACHES" not in os.environ:
    os.environ["JAXVAE_TEST_CACHES"] = tempfile.mkdtemp(prefix="jaxvae-")
    atexit.register(shutil.rmtree, os.environ["JAXVAE_TEST_CACHES"], ignore_errors=True)
CACHES = os.environ["JAXVAE_TEST_CACHES"]
os.environ["JAXVAE_CACHE_DIR"] = f"{CACHES}/started"

import jaxtyping

# Not what an experiment is made of: wrong values there are for the program to find, as for any user.
importlib.import_module("jaxvae.config")
jaxtyping.install_import_hook("jaxvae", "beartype.beartype")

import jax
import numpy as np
import pytest

from jaxvae.config import MLP, Bernoulli, Config, Conv, Data, Eval, Likelihood, Model, Train
from jaxvae.data.load import load
from jaxvae.models.build import build_vae
from jaxvae.models.vae import VAE

jax.config.update("jax_default_matmul_precision", "highest")
# And a test finds what earlier ones have compiled, which takes most of their time.
jax.config.update("jax_compilation_cache_dir", f"{CACHES}/here")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


LONGEST_FIRST = (
    "faults",
    "streaming",
    "fit",
    "step",
    "any_images",
    "cli",
    "ppca",
    "time_to_nll",
    "compiler",
    "extension",
)
"""Files of tests that take most of the time: whoever shares the tests gets these first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders the files, and leaves the order within each."""
    order = {f"test_{name}.py": number for number, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


@pytest.fixture(scope="session")
def digits() -> str:
    """The first images of MNIST, 2,000 to train and 500 to test, as a file of one's own."""
    path = Path(CACHES) / "digits.npz"
    if not path.exists():
        mnist = load(Data())
        partial = path.with_name(f"{os.getpid()}.npz")
        np.savez(partial, train=mnist.train[:2000], test=mnist.test[:500])
        partial.rename(path)
    return str(path)


@pytest.fixture
def small_config(digits: str) -> Config:
    """A run of seconds on real digits: 24 steps, 4 a call, on one device."""
    return Config(
        data=Data(name=digits),
        model=Model(latent_dim=3, architecture=MLP(hidden=(16,))),
        train=Train(
            steps=24,
            batch_size=16,
            log_every=4,
            eval_every=8,
            checkpoint_every=4,
            steps_per_call=4,
            devices=1,
        ),
        eval=Eval(importance_samples=4, interim_importance_samples=2, grid=4),
    )


@pytest.fixture
def make_vae():
    """Builds an untrained model for 784 pixels, or others, around a given mean image."""

    def make(
        seed: int = 0,
        shape: tuple[int, int, int] = (28, 28, 1),
        latent_dim: int = 40,
        likelihood: Likelihood | None = None,
        **network,
    ) -> VAE:
        model = Model(
            latent_dim, (Conv if "channels" in network else MLP)(**network), likelihood or Bernoulli()
        )
        mean = jax.numpy.asarray(np.random.default_rng(seed).uniform(0, 1, shape), jax.numpy.float32)
        made: Any = build_vae(model, mean, key=jax.random.key(seed))
        return made

    return make
