import gzip
import hashlib
import time

import numpy as np
import pytest

from jaxvae import data
from jaxvae.config import Data, UserError


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
    np.testing.assert_allclose(data.pixel_mean(images, "dynamic").ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images, "none").ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images, "threshold").ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(data.pixel_mean(images[:1], "threshold").ravel(), [0, 0, 1])


def test_an_unknown_data_set_is_named():
    with pytest.raises(UserError, match="mnits is not a data set here: use mnist"):
        data.load(Data(name="mnits"))


def test_a_damaged_file_is_named(tmp_path):
    damaged = tmp_path / "images.gz"
    damaged.write_bytes(gzip.compress(b"x"))
    with pytest.raises(UserError, match=r"images\.gz is damaged"):
        data._checked(damaged, "0" * 64)
    with pytest.raises(UserError, match=r"nothing\.gz cannot be read"):
        data._checked(tmp_path / "nothing.gz", "0" * 64)


def test_idx_is_decoded_and_anything_else_refused():
    content = b"\0\0\x08\x02" + (2).to_bytes(4, "big") + (3).to_bytes(4, "big") + bytes(range(6))
    np.testing.assert_array_equal(data.decode_idx(content), np.arange(6).reshape(2, 3))
    with pytest.raises(ValueError, match="not an IDX file"):
        data.decode_idx(b"PNG....")
    with pytest.raises(ValueError, match=r"shape \(2, 3\) has 18 bytes, not 17"):
        data.decode_idx(content[:-1])
