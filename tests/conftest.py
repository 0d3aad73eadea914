"""JAX as strict as it can be, eight CPU devices, and every shape in a signature enforced."""

import atexit
import importlib
import os
import shutil
import tempfile

# Also for the processes that tests start.
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
os.environ["JAX_NUMPY_DTYPE_PROMOTION"] = "strict"
os.environ["JAX_DEBUG_KEY_REUSE"] = "true"
# Processes that tests start find each other's programs, and nothing in the developer's own cache.
# Whoever runs the tests again and again (``benchmarks.mutants``) may keep the programs.
CACHES = os.environ.get("JAXVAE_TEST_CACHES") or tempfile.mkdtemp(prefix="jaxvae-")
if "JAXVAE_TEST_CACHES" not in os.environ:
    atexit.register(shutil.rmtree, CACHES, ignore_errors=True)
os.environ["JAXVAE_CACHE_DIR"] = f"{CACHES}/started"

import jaxtyping

# Not what an experiment is made of: wrong values there are for the program to find, as for any user.
importlib.import_module("jaxvae.config")
jaxtyping.install_import_hook("jaxvae", "beartype.beartype")

import jax
import numpy as np
import pytest

from jaxvae.config import Config, Eval, Model, Train
from jaxvae.vae import VAE, build_vae

jax.config.update("jax_default_matmul_precision", "highest")
# And a test finds what earlier ones have compiled, which takes most of their time.
jax.config.update("jax_compilation_cache_dir", f"{CACHES}/here")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@pytest.fixture
def small_config() -> Config:
    """A run of seconds on the real data: 24 steps, 4 a call, on one device."""
    return Config(
        model=Model(latent_dim=3, hidden=(16,)),
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

    def make(seed: int = 0, shape: tuple[int, int, int] = (28, 28, 1), **model) -> VAE:
        mean = jax.numpy.asarray(np.random.default_rng(seed).uniform(0, 1, shape), jax.numpy.float32)
        return build_vae(Model(**model), mean, key=jax.random.key(seed))

    return make
