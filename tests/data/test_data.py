import gzip
import hashlib
import os
import time

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data import load
from jaxvae.errors import UserError


def test_bundled_mnist_is_the_original():
    start = time.perf_counter()
    dataset = load.load(Data())
    assert time.perf_counter() - start < 5
    assert dataset.train.shape == (60_000, 28, 28, 1)
    assert dataset.test.shape == (10_000, 28, 28, 1)
    # A figure known of MNIST: the mean of its training pixels.
    assert abs(dataset.train.mean(dtype=np.float64) / 255 - 0.1306604762738429) < 1e-12


def test_all_four_files_ship_with_their_registered_digests():
    folder = load.Path(load.__file__).parent / "mnist"
    registered = {
        **load.MNIST_SHA256,
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
    np.testing.assert_allclose(load.pixel_mean(images, Data(binarization="dynamic")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(load.pixel_mean(images, Data(binarization="none")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(load.pixel_mean(images, Data(binarization="threshold")).ravel(), [0, 0.5, 1])
    np.testing.assert_allclose(load.pixel_mean(images[:1], Data(binarization="threshold")).ravel(), [0, 0, 1])
    plain = Data(binarization="none", horizontal_flips=True)
    np.testing.assert_allclose(load.pixel_mean(images, plain).ravel(), [0.5, 0.5, 0.5])
    lifted = Data(binarization="none", dequantization="uniform")
    expected = [0.5 / 256, 128 / 256, 255.5 / 256]
    np.testing.assert_allclose(load.pixel_mean(images, lifted).ravel(), expected, rtol=1e-6)


def test_an_unknown_data_set_is_named():
    with pytest.raises(UserError, match=r"mnits is no file or folder here.* did you mean mnist or"):
        load.load(Data(name="mnits"))


def test_a_damaged_file_is_named(tmp_path):
    damaged = tmp_path / "images.gz"
    damaged.write_bytes(gzip.compress(b"x"))
    with pytest.raises(UserError, match=r"images\.gz is damaged"):
        load._checked(damaged, "0" * 64)
    with pytest.raises(UserError, match=r"nothing\.gz cannot be read"):
        load._checked(tmp_path / "nothing.gz", "0" * 64)


def sources(tmp_path):
    """One of each kind, with the options that make a difference to it."""
    rng = np.random.default_rng(0)
    gray, rgba = rng.integers(0, 256, (20, 6, 5), np.uint8), rng.integers(0, 256, (20, 6, 5, 4), np.uint8)
    np.save(tmp_path / "gray.npy", gray)
    np.save(tmp_path / "rgba.npy", rgba)
    np.save(tmp_path / "deep.npy", gray.astype(np.uint16) * 257)
    np.savez(tmp_path / "both.npz", train=gray, test=gray)
    for part in ("train", "test"):
        (tmp_path / "parts" / part).mkdir(parents=True)
    (tmp_path / "one").mkdir()
    for number, image in enumerate(gray):
        for folder in ("one", "parts/train", "parts/test"):
            Image.fromarray(image).save(tmp_path / folder / f"{number}.png")
    files = {"background", "sixteen_bit", "unreadable"}
    return {
        "mnist": set(),
        tmp_path / "gray.npy": {"test_fraction"},
        tmp_path / "rgba.npy": {"test_fraction", "background"},
        tmp_path / "deep.npy": {"test_fraction", "sixteen_bit"},
        tmp_path / "both.npz": set(),
        tmp_path / "one": {"test_fraction", *files},
        tmp_path / "parts": files,
    }


SET = {"dir": "d", "test_fraction": 0.5, "background": "white", "sixteen_bit": "scale", "unreadable": "skip"}


def test_an_option_that_makes_no_difference_is_refused_and_any_other_is_taken(tmp_path):
    for name, uses in sources(tmp_path).items():
        for option, value in SET.items():
            deep = {"sixteen_bit": "scale"} if str(name).endswith("deep.npy") else {}
            config = Data(**{"name": str(name), **deep, option: value})
            if option in uses:
                load.load(config)
                continue
            with pytest.raises(UserError, match=rf"^--data\.{option} {value} is of no use with .*{name}"):
                load.load(config)


def test_only_what_imports_nothing_is_loaded_in_the_background():
    for config in (Data(image_size=14), Data(color="rgb"), Data(name="a_data_set")):
        load.begin_loading(config)
        assert config not in load._begun
    with pytest.raises(UserError, match=r"--data\.test_fraction 0\.2 is of no use with mnist"):
        load.begin_loading(Data(test_fraction=0.2))
    with pytest.raises(UserError, match=r"a\.npy: there is no such file or folder"):
        load.begin_loading(Data(name="a.npy"))
    load.begin_loading(Data())
    assert load.load(Data()).train.shape == (60_000, 28, 28, 1)
    assert not load._begun


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "is empty"),
        ("a\0b", r"a\\x00b cannot be read: embedded null"),
        ("x" * 5000, r"xxx\.\.\.xxx.* cannot be read: File name too long"),
        ("~of-nobody/a", "cannot be read: Could not determine home directory"),
        ("no/such\nfile.npy", r"no/such\\nfile\.npy: there is no such file or folder"),
        ("/dev/null", "is not a kind of file"),
    ],
)
def test_names_that_no_file_has(name, said):
    with pytest.raises(UserError, match=said):
        load.load(Data(name=name))


def test_a_name_that_is_no_file_but_waits_for_one_to_write(tmp_path):
    os.mkfifo(tmp_path / "a.npy")
    with pytest.raises(UserError, match=r"a\.npy cannot be read: not a regular file"):
        load.load(Data(name=str(tmp_path / "a.npy")))
