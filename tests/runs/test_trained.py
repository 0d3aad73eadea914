import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.data.load import Data, load
from jaxvae.errors import UserError
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit
from jaxvae.training.compilation import Compiler


def test_a_loaded_model_scores_what_its_run_reported(tmp_path, small_config):
    summary = fit(small_config, tmp_path / "run")
    model = jaxvae.load_model(tmp_path / "run")
    evaluator = Evaluator(small_config, load(small_config.data).test, jax.devices()[:1])
    with Compiler() as compiler:
        # As the run did: JAX's own compilation may round otherwise.
        evaluator.prepare(model, compiler)
        assert evaluator.summarise(evaluator.dispatch(model, 4), 4) == summary["test"]
    images = jax.vmap(model.sample)(jax.random.split(jax.random.key(0), 3))
    assert images.shape == (3, 28, 28, 1)
    assert np.all((images >= 0) & (images <= 1))
    assert model.encode(jnp.zeros((28, 28, 1))).mean.shape == (3,)


def test_a_model_is_loaded_without_its_images(tmp_path, small_config):
    digits = load(Data())
    np.savez(tmp_path / "a.npz", train=digits.train[:100], test=digits.test[:50])
    data = dataclasses.replace(small_config.data, name=str(tmp_path / "a.npz"))
    fit(dataclasses.replace(small_config, data=data), tmp_path / "run")
    (tmp_path / "a.npz").unlink()
    assert jaxvae.load_model(tmp_path / "run").sample(jax.random.key(0)).shape == (28, 28, 1)


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(UserError, match="nothing holds no run with a checkpoint"):
        jaxvae.load_model(tmp_path / "nothing")
