import gzip
import hashlib
import time

import numpy as np
import pytest

from jaxvae import data
from jaxvae.config import Data
from jaxvae.errors import UserError


def test_bundled_mnist_is_the_original():
    start = time.perf_counter()
    dataset = data.load(Data())
    assert time.perf_counter() - start < 5
    assert dataset.train.shape == (60_000, 28, 28, 1)
    assert dataset.test.shape == (10_000, 28, 28, 1)
    # A figure known of MNIST: the mean of its training pixels.
    assert abs(dataset.train.mean(dtype=np.float64) / 255 - 0.1306604762738429) < 1e-12


def test_all_four_files_ship_with_their_registered_digests():
    folder = data.Path(data.__file__).parent / "mnist"
    registered = {
        **data.MNIST_SHA256,
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
    for name, digest in registered.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert (
        "CC" in (folder / "README.md").read_text() or "Creative Commons" in (folder / "README.md").read_text()
    )


def test_pixel_mean_is_the_mean_of_what_the_model_sees():
    images = np.array([[0, 127, 255], [0, 128, 255]], np.uint8).reshape(2, 1, 3, 1)
    np.testing.assert_allclose(data.pixel_mean(images, Data(binarization="dynamic")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images, Data(binarization="none")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images, Data(binarization="threshold")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images[:1], Data(binarization="threshold")).ravel(), [0, 0, 1])
    plain = Data(binarization="none", horizontal_flips=True)
    np.testing.assert_allclose(data.pixel_mean(images, plain).ravel(), [0.5, 0.5, 0.5])
    lifted = Data(binarization="none", dequantization="uniform")
    expected = [0.5 / 256, 128 / 256, 255.5 / 256]
    np.testing.assert_allclose(data.pixel_mean(images, lifted).ravel(), expected, rtol=1e-6)


def test_an_unknown_data_set_is_named():
    with pytest.raises(UserError, match=r"mnits is no file or folder here.* did you mean mnist or"):
        data.load(Data(name="mnits"))


def test_a_damaged_file_is_named(tmp_path):
    damaged = tmp_path / "images.gz"
    damaged.write_bytes(gzip.compress(b"x"))
    with pytest.raises(UserError, match=r"images\.gz is damaged"):
        data._checked(damaged, "0" * 64)
    with pytest.raises(UserError, match=r"nothing\.gz cannot be read"):
        data._checked(tmp_path / "nothing.gz", "0" * 64)
