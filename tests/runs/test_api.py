"""Training from Python: on arrays, as from a shell, and back."""

import subprocess
import sys

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae.config import MLP, Config, Data, Eval, Model, Train
from jaxvae.errors import UserError
from jaxvae.runs.checkpoint_manifest import verify

IMAGES = np.random.default_rng(0).integers(0, 2, (60, 6, 5), np.uint8) * 255
FIELDS = {
    "model": Model(latent_dim=2, architecture=MLP(hidden=(8,))),
    "optimizer": {"schedule": "constant"},
    "train": {"batch_size": 16, "log_every": 2, "eval_every": 4, "checkpoint_every": 2, "devices": 1},
    "eval": Eval(importance_samples=2, interim_importance_samples=1, grid=2),
}


def with_steps(steps):
    return {**FIELDS, "train": {**FIELDS["train"], "steps": steps}}


def test_arrays_train_and_what_comes_back_is_the_run(tmp_path):
    trained = jaxvae.train(IMAGES, tmp_path / "run", **with_steps(8))
    assert [line["step"] for line in trained.history if line["split"] == "train"] == [2, 4, 6, 8]
    assert trained.summary["data"]["train"] == 54
    assert trained.summary["data"]["source"] == "arrays in memory"
    written = trained.run.summary()
    assert written is not None
    assert written["test"] == trained.summary["test"]
    x = IMAGES[0][..., None] / 255
    loaded, early = jaxvae.load_model(tmp_path / "run"), trained.run.model(4)
    np.testing.assert_array_equal(trained.model.reconstruct(x), loaded.reconstruct(x))
    assert np.any(np.asarray(early.reconstruct(x)) != np.asarray(loaded.reconstruct(x)))
    assert trained.run.steps() == [4, 6, 8]
    assert loaded.sample(jax.random.key(0)).shape == (6, 5, 1)
    with pytest.raises(UserError, match=r"has no checkpoint of step 5; it has 4, 6, 8"):
        trained.run.model(5)
    with pytest.raises(UserError, match=r"were arrays in memory: give them again"):
        trained.run.dataset()


def test_fields_have_dotted_names_too_and_a_logger_is_told(tmp_path):
    class Steps(jaxvae.Logger):
        def __init__(self):
            self.seen = []

        def scalars(self, step, split, values):
            self.seen.append((step, split))

        def images(self, step, name, grid, columns):
            pass

        def close(self):
            self.seen.append("closed")

    steps = Steps()
    run = jaxvae.train(
        IMAGES, tmp_path / "run", loggers=[steps], **FIELDS, **{"train.steps": 2, "seed": 3}
    ).run
    assert (run.config.train.steps, run.config.train.batch_size, run.config.seed) == (2, 16, 3)
    assert steps.seen == [(2, "train"), (2, "test"), "closed"]


def test_the_same_call_continues_to_the_bits_of_one_that_never_stopped(tmp_path):
    pair = (IMAGES[:50], IMAGES[50:])
    jaxvae.train(pair, tmp_path / "whole", **with_steps(8))
    jaxvae.train(pair, tmp_path / "parts", **with_steps(4))
    jaxvae.train([pair[0][..., None] / 255, pair[1] / 255], tmp_path / "parts", **with_steps(8))
    states = [verify(tmp_path / name / "checkpoints/8", 8).state for name in ("whole", "parts")]
    assert states[0] == states[1]
    with pytest.raises(UserError, match="SHA-256"):
        jaxvae.train(255 - IMAGES, tmp_path / "parts", **with_steps(8))


def test_a_configuration_trains_on_the_images_that_it_names(tmp_path):
    np.savez(tmp_path / "images.npz", train=IMAGES[:50], test=IMAGES[50:])
    config = Config(data=Data(name=str(tmp_path / "images.npz")), train=Train(steps=10))
    run = jaxvae.train(config, tmp_path / "run", **with_steps(4)).run
    assert run.config.train.steps == 4
    np.testing.assert_array_equal(run.dataset().test[..., 0], IMAGES[50:])
    np.savez(tmp_path / "images.npz", train=IMAGES[10:], test=IMAGES[:10])
    with pytest.raises(UserError, match="are not those that the run in"):
        run.dataset()


@pytest.mark.parametrize(
    ("images", "fields", "said"),
    [
        (np.zeros((3, 8, 8, 40), np.uint8), {}, r"channels before the examples: numpy\.moveaxis\(x, 0, -1\)"),
        (np.zeros((40, 64), np.uint8), {}, r"x\.reshape\(-1, 8, 8\) if they are flattened"),
        (np.full((40, 8, 8), 7.5), {}, "images"),
        (IMAGES, {"model": {"latent": 3}}, "model.latent is no field of model: did you mean latent_dim"),
        (IMAGES, {"trian": {}}, "trian is no field of the configuration: did you mean train"),
        (IMAGES, {"train": 3}, r"train 3 cannot work: it must be Train\(\.\.\.\)"),
        ("mnist", {}, r"images has the shape \(\)"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_written(tmp_path, images, fields, said):
    with pytest.raises(UserError, match=said):
        jaxvae.train(images, tmp_path / "run", **fields)
    assert not (tmp_path / "run").exists()


def test_importing_the_package_imports_neither_jax_nor_numpy():
    code = (
        "import sys, jaxvae; assert set(jaxvae.__all__) <= set(dir(jaxvae)); jaxvae.Config(); "
        "sys.exit(bool({'jax', 'numpy', 'equinox'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
