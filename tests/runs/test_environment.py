"""What JAX is told by the environment may change how arrays are made, but not what a run computes."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.config import ELBO, MLP, Adam, Config, Conv, Data, Gaussian, Model, Train
from jaxvae.errors import UserError
from jaxvae.runs.evaluation import Evaluator
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.fused_steps import call_indices, map_train_steps
from jaxvae.training.parallel import devices_for
from jaxvae.training.state import state_shapes
from jaxvae.training.step import train_keys

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 8, 8, 1), dtype=np.uint8)

RUN = """
import json, sys
from pathlib import Path
import jax, numpy as np
from jaxvae import load_model
from jaxvae.runs import checkpoint_manifest as manifest
from jaxvae.config import MLP, Config, Data, Eval, Model, Train
from jaxvae.data.load import load
from jaxvae.runs.fit import fit
from jaxvae.runs.run import untrained_state

folder = Path(sys.argv[1])
config = Config(
    data=Data(name=str(folder / "images.npz")),
    model=Model(latent_dim=3, architecture=MLP(hidden=(8,))),
    train=Train(steps=8, batch_size=8, log_every=4, eval_every=4, checkpoint_every=4, devices=1),
    eval=Eval(importance_samples=3, interim_importance_samples=3, grid=2),
)
test = fit(config, folder / "run")["test"]
model = load_model(folder / "run")
image = load(config.data).test[0] / 255
arrays = {
    "mean": model.encode(image).mean,
    "reconstruction": model.reconstruct(image),
    "sample": model.sample(jax.random.key(0, impl="threefry2x32")),
    "draw": model.encode(image).sample(jax.random.key(0, impl="threefry2x32")),
    "density": model.decode(np.zeros(3)).log_prob((image > 0.5).astype(float)),
}
print(json.dumps({
    "first": manifest.digest_arrays(jax.device_get(untrained_state(config, load(config.data).train))),
    "last": json.loads((folder / "run/checkpoints/8/digest.json").read_bytes().split(b"\\n", 1)[1])["state"],
    "test": test,
    **{name: [str(value.dtype), np.asarray(value).tobytes().hex()] for name, value in arrays.items()},
}))
"""


def train(folder: Path, **environment: str) -> dict:
    """Trains, or continues, the run in the folder in a process of its own; says what it came to."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    command = [sys.executable, "-c", RUN, str(folder)]
    done = subprocess.run(
        command, env={**plain, "JAX_PLATFORMS": "cpu", **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_run_goes_on_to_the_same_bits_whatever_jax_is_told(tmp_path):
    np.savez(tmp_path / "images.npz", train=IMAGES, test=IMAGES[:9])
    whole = train(tmp_path)
    shutil.rmtree(tmp_path / "run/checkpoints/8")
    told = {
        "JAX_ENABLE_X64": "1",
        "JAX_DEFAULT_PRNG_IMPL": "rbg",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "JAX_NUMPY_RANK_PROMOTION": "raise",
        "JAX_DEBUG_KEY_REUSE": "1",
        "JAX_DEBUG_NANS": "1",
        "JAX_LEGACY_PRNG_KEY": "error",
    }
    assert train(tmp_path, **told) == whole


@pytest.fixture
def x64():
    """64-bit types wherever nothing else is said."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize(
    "config",
    [
        Config(
            model=Model(latent_dim=3, architecture=MLP(hidden=(8,))),
            optimizer=Adam(ema_decay=0.9),
            objective=ELBO(beta=2.0, beta_warmup_steps=5),
        ),
        Config(
            model=Model(latent_dim=3, architecture=Conv(hidden=(8,), activation="gelu")),
            data=Data(binarization="static"),
            train=Train(reduction="fixed", non_finite="skip"),
            optimizer=Adam(skip_norm=3.0),
        ),
        Config(
            model=Model(latent_dim=3, architecture=MLP(hidden=(8,)), likelihood=Gaussian(learn_sigma=True)),
            data=Data(binarization="none", dequantization="uniform", horizontal_flips=True),
            optimizer=Adam(schedule="constant", clip_norm=None, beta1=0.0),
            train=Train(precision="bfloat16"),
        ),
    ],
)
def test_no_program_computes_in_64_bits(x64, config):
    devices, image = jax.devices()[:2], IMAGES.shape[1:]
    state, keys = state_shapes(config, image), jax.eval_shape(lambda: train_keys(config))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(state)} == {"float32", "int32"}
    rows = call_indices(config, len(IMAGES), 0, 3, 2)
    evaluator = Evaluator(config, IMAGES, devices)
    scored = state.model, *evaluator._score_arguments(evaluator._pieces[0], 3), evaluator._images
    programs = [
        jax.make_jaxpr(map_train_steps(config, devices))(
            state, rows, np.zeros(2, bool), np.int32(0), keys, IMAGES
        ),
        jax.make_jaxpr(evaluator.map_scores(devices))(*scored),
        jax.make_jaxpr(evaluator._draw_pictures)(state.model, IMAGES[:4], evaluator._keys),
        jax.make_jaxpr(lambda *rest: diagnose(config, *rest))(state, rows[0, 0, :8], IMAGES[:8]),
    ]
    for program in programs:
        assert "f32[" in str(program)
        assert "f64[" not in str(program)


def test_a_run_of_which_a_setting_would_change_the_draws_is_refused():
    with (
        jax.threefry_partitionable(False),
        pytest.raises(
            UserError, match=r"JAX_THREEFRY_PARTITIONABLE is False, which draws other .*: unset it"
        ),
    ):
        devices_for(Train())
    jax.config.update("jax_random_seed_offset", 5)
    try:
        with pytest.raises(UserError, match=r"JAX_RANDOM_SEED_OFFSET is 5, which draws other .*: unset it"):
            devices_for(Train())
    finally:
        jax.config.update("jax_random_seed_offset", 0)
    devices_for(Train())


def test_a_run_that_may_compile_nothing_is_refused():
    with jax.disable_jit(), pytest.raises(UserError, match=r"JAX_DISABLE_JIT is set, .*: unset it"):
        devices_for(Train())
