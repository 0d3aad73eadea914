"""Every kind of source trains from the command line, for some hundred steps, and learns."""

import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvae.commands.train import main
from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.runs.checkpoint_manifest import verify
from tests.data.prepared import prepare

ROOT = Path(__file__).parents[2]
SHORT = (
    "--train.steps 300 --train.batch_size 32 --train.log_every 100 --train.eval_every 300 "
    "--train.checkpoint_every 300 --train.devices 1 --model.architecture.hidden 64 --model.latent_dim 8 "
    "--objective.beta_warmup_steps 0 --eval.importance_samples 4"
).split()
MNIST = load(Data())
TRAIN, TEST = MNIST.train[:1000, ..., 0], MNIST.test[:200, ..., 0]


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Runs the command in an empty folder; returns the summary and a digest of the last state."""
    monkeypatch.chdir(tmp_path)

    def run(name, *more, config="mnist"):
        code = main(ROOT / "configs", ["--config", config, *SHORT, "--data.name", name, *more])
        said = capsys.readouterr()
        assert code == 0, said.err
        assert "Images: " in said.out
        folder = tmp_path / "runs" / config
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["step"] == 300
        assert (folder / "images" / "samples-300.png").stat().st_size > 0
        return summary, verify(folder / "checkpoints" / "300", 300).state

    return run


def pixels_alone(images, test):
    """NLL of the test images under the best model of independent binary pixels, in nats."""
    p = np.clip(images.mean(0) / 255, 1e-3, 1 - 1e-3)
    x = test / 255
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2)).mean()


def write_npz(folder):
    np.savez(folder / "images.npz", train=TRAIN, test=TEST)
    return "images.npz"


def write_npy(folder):
    (folder / "arrays").mkdir()
    np.save(folder / "arrays" / "train.npy", TRAIN)
    np.save(folder / "arrays" / "test.npy", TEST)
    return "arrays"


def write_idx(folder):
    (folder / "idx").mkdir()
    for name, images in (("train", TRAIN), ("t10k", TEST)):
        head = b"\0\0\x08\3" + b"".join(n.to_bytes(4, "big") for n in images.shape)
        path = folder / "idx" / f"{name}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(head + images.tobytes()))
    return "./idx"


def write_pictures(folder):
    for split, images in (("train", TRAIN), ("test", TEST)):
        (folder / "photos" / split).mkdir(parents=True)
        for number, image in enumerate(images):
            Image.fromarray(image).save(folder / "photos" / split / f"{number:05}.png")
    return str(folder / "photos")


@pytest.fixture(scope="module")
def trained():
    return {}


@pytest.mark.parametrize("write", [write_npz, write_npy, write_idx, write_pictures])
def test_arrays_idx_files_and_folders_of_pictures_train_to_the_same_bits(tmp_path, train, trained, write):
    summary, state = train(write(tmp_path))
    assert summary["test"]["nll"] < 0.9 * pixels_alone(TRAIN, TEST)
    assert (summary["data"]["train"], summary["data"]["test"]) == (1000, 200)
    trained[write] = (state, summary["data"]["sha256"], summary["test"])
    assert trained[write] == next(iter(trained.values()))


def test_a_prepared_set_of_tfds(tmp_path, train):
    splits = {"train": list(TRAIN[..., None]), "test": list(TEST[..., None])}
    prepare(tmp_path / "sets", splits, name="digits", version="2.1.0")
    summary, _ = train("digits:2.1.0", "--data.dir", "sets", "--data.placement", "stream")
    assert summary["test"]["nll"] < 0.9 * pixels_alone(TRAIN, TEST)
    assert summary["data"]["source"] == "digits/2.1.0 in sets"


@pytest.mark.slow
def test_a_folder_of_photographs_of_many_sizes(tmp_path, train):
    """RGB, JPEG, no test set: the shipped experiment for any images."""
    random = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(200):
        height, width = random.integers(20, 40, 2)
        low, high = random.integers(0, 256, (2, 3))
        ramp = np.linspace(0, 1, width)[None, :, None] * np.ones((height, 1, 1))
        picture = np.round(low + ramp * (high - low)).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / "photos" / f"{number}.jpg")
    flags = "--data.image_size 16 --data.horizontal_flips True --model.architecture.channels 8".split()
    summary, _ = train("photos", *flags, config="images")
    assert summary["data"]["image_shape"] == [16, 16, 3]
    assert (summary["data"]["train"], summary["data"]["test"]) == (180, 20)
    assert summary["data"]["horizontal_flips"]
    test, dimensions = summary["test"], 16 * 16 * 3
    # Probabilities of levels.
    assert math.isclose(test["bits_per_dim"], test["nll"] / dimensions / math.log(2), rel_tol=1e-9)
    photos = load(Data(name=str(tmp_path / "photos"), image_size=16))
    sigma = np.std(photos.train / 256 - (photos.train / 256).mean(0))
    pixels_alone = math.log2(sigma) + math.log2(2 * math.pi * math.e) / 2 + 8
    assert 1 < test["bits_per_dim"] < pixels_alone - 0.2
