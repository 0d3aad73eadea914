"""Arrays as other programs store them: taken for the one thing they can be, or refused with what to type."""

import gzip
import io
import re
import zipfile
from typing import Any

import numpy as np
import pytest

from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.data.sources import arrays
from jaxvae.errors import UserError
from tests.data.test_files import GRAY, RGB, idx, same_images

BINARY = (GRAY > 127).astype(np.uint8)
RNG = np.random.default_rng(1)


def read(tmp_path, array, test=None, **more):
    if test is None:
        np.save(tmp_path / "a.npy", array)
        return load(Data(name=str(tmp_path / "a.npy"), **more))
    np.savez(tmp_path / "a.npz", train=array, test=test)
    return load(Data(name=str(tmp_path / "a.npz"), **more))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_levels_over_255_are_those_levels(tmp_path, dtype):
    """However they were computed: in double or single precision, by a division or a product."""
    single = np.float32(1 / 255)
    for fractions in (GRAY / 255, GRAY.astype("f4") / np.float32(255), GRAY * single):
        dataset = read(tmp_path, fractions.astype(dtype))
        assert same_images(dataset, GRAY)
        assert dataset.remarks == "Numbers k / 255 read as k."
    # And every level for itself.
    levels = np.arange(256).reshape(256, 1, 1)
    assert same_images(read(tmp_path, (levels / 255).astype(dtype)), levels.astype(np.uint8))


@pytest.mark.parametrize("dtype", ["f2", "f8", "u1", "i1", ">u2", "i8"])
def test_whole_numbers_are_levels_whatever_their_type(tmp_path, dtype):
    images = GRAY // 2
    dataset = read(tmp_path, images.astype(dtype))
    assert same_images(dataset, images)
    assert dataset.remarks == ""


@pytest.mark.parametrize("dtype", ["u1", "i4", "f4", "?"])
@pytest.mark.parametrize("has_test", [False, True])
def test_nothing_but_0_and_1_is_black_and_white(tmp_path, dtype, has_test):
    images = BINARY.astype(dtype)
    parts = (images[:15], images[15:]) if has_test else (images,)
    dataset = read(tmp_path, *parts)
    assert same_images(dataset, BINARY * np.uint8(255))
    assert ("0 and 1 read as black and white" in dataset.remarks.lower()) == (dtype != "?")


def test_all_black_stays_black_and_one_brighter_pixel_makes_levels(tmp_path):
    assert read(tmp_path, np.zeros_like(GRAY)).train.max() == 0
    last = BINARY.copy()
    last[-1, -1, -1] = 2
    assert same_images(read(tmp_path, last), last)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (
            RNG.random((20, 6, 5)),
            r"numbers from 0\.\d+ to 0\.\d+ of type float64, .*: numpy\.round\(255 \* x\)",
        ),
        (RNG.random((20, 6, 5)).astype("f2"), r"of type float16, .*: numpy\.round\(255 \* x\)"),
        (((GRAY // 2 + 127.4) / 255).astype("f2"), r"of type float16, .*: numpy\.round\(255 \* x\)"),
        (GRAY / 256, r"numpy\.round\(255 \* x\)"),
        (GRAY / 127.5 - 1, r"numpy\.round\(127\.5 \* \(x \+ 1\)\)"),
        (GRAY * 0.99, r"not 8-bit levels exactly: numpy\.round\(x\)\.astype"),
        ((GRAY - 128.0) / 55, r"numpy\.round\(255 \* \(x - x\.min\(\)\)"),
        (np.where(GRAY[-1, -1, -1] == GRAY, np.nan, 0), "numbers that are not finite"),
        (np.where(GRAY[-1, -1, -1] == GRAY, np.inf, 0), "numbers that are not finite"),
        (GRAY.astype(complex), "numbers of type complex128"),
        (GRAY.astype("M8[s]"), r"numbers of type datetime64\[s\]"),
        (np.zeros((20, 6, 5), [("a", "u1")]), r"numbers of type \[\('a', 'u1'\)\]"),
        (GRAY.view(np.int8), r"from -128 to 127: pixels are from 0 to 255; x\.view\('uint8'\)"),
        (GRAY.astype(np.uint16) * 257, "from 0 to 65535: .*--data.sixteen_bit scale makes 8 bits of 16"),
        (GRAY.astype(np.int32) * 2**10, "from 0 to 261120: pixels are from 0 to 255$"),
    ],
)
def test_numbers_that_are_no_levels(tmp_path, array, said):
    with pytest.raises(UserError, match=said):
        read(tmp_path, array)


def test_the_expression_to_type_is_right(tmp_path):
    for array in (RNG.random((20, 6, 5)), GRAY / 127.5 - 1, GRAY * 0.99):
        with pytest.raises(UserError) as raised:
            read(tmp_path, array)
        typed = re.search(r"(numpy\.round.*?\.astype\('uint8'\))", str(raised.value))
        assert typed
        made = eval(typed[1], {"numpy": np, "x": array})
        assert same_images(read(tmp_path, made), made)


def test_every_number_counts_however_many_there_are(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "BLOCK_BYTES", 100)
    fractions = GRAY / 255
    fractions[-1, -1, -1] = 0.5001
    with pytest.raises(UserError, match="not 8-bit levels exactly"):
        read(tmp_path, fractions)
    large = GRAY.astype(np.int64)
    large[-1, -1, -1] = 256
    with pytest.raises(UserError, match="from 0 to 256"):
        read(tmp_path, large)


@pytest.mark.parametrize(("train", "test"), [(BINARY, GRAY), (GRAY, BINARY), (GRAY / 255, GRAY)])
def test_sets_of_different_ranges_are_refused(tmp_path, train, test):
    with pytest.raises(
        UserError, match=r"must have one range, but .*\[train\] from 0 to \d+, .* from 0 to \d+"
    ):
        read(tmp_path, train, test)


def test_16_bits_are_scaled_when_asked(tmp_path):
    deep = RNG.integers(0, 2**16, (20, 6, 5)).astype(np.uint16)
    dataset = read(tmp_path, deep, sixteen_bit="scale")
    assert same_images(dataset, np.round(deep / 257).astype(np.uint8))
    assert dataset.remarks == "Numbers of 16 bits scaled to 8."
    with pytest.raises(UserError, match=r"--data\.sixteen_bit scale makes 8 bits of 16"):
        read(tmp_path, deep)
    with pytest.raises(UserError, match=r"numbers to 255, which are 8 bits: --data.sixteen_bit scale is for"):
        read(tmp_path, GRAY.astype(np.uint16), sixteen_bit="scale")


SHAPES = [
    ((20, 1, 28, 28), (20, 28, 28, 1)),
    ((20, 3, 32, 32), (20, 32, 32, 3)),
    ((20, 3, 28, 30), (20, 28, 30, 3)),
    ((20, 13, 64, 64), (20, 64, 64, 13)),
    ((32, 32, 3, 20), (20, 32, 32, 3)),
    ((28, 28, 1, 20), (20, 28, 28, 1)),
    ((3, 20, 32, 32), (20, 32, 32, 3)),
    ((10, 40, 32, 32), (10, 32, 32, 40)),
    ((28, 28, 500), (500, 28, 28)),
    ((28, 20, 500), (500, 28, 20)),
    ((32, 32, 3), (1, 32, 32, 3)),
    ((28, 30, 1), (1, 28, 30, 1)),
    ((3, 32, 32), (1, 32, 32, 3)),
    ((20, 784), (20, 28, 28)),
    ((20, 3072), (20, 32, 32, 3)),
]


@pytest.mark.parametrize(("shape", "meant"), SHAPES)
def test_axes_in_another_order_are_refused_with_what_puts_them_right(tmp_path, shape, meant):
    array = RNG.integers(0, 256, shape, np.uint8)
    with pytest.raises(UserError) as raised:
        read(tmp_path, array)
    said = str(raised.value)
    assert f"has the shape {shape}" in said
    typed = re.search(r"(numpy\.moveaxis\(.*?\)(?:\[None\])?|x\[None\]|x\.reshape\(.*?\))", said)
    assert typed
    assert eval(typed[1], {"numpy": np, "x": array}).shape == meant


@pytest.mark.parametrize("shape", [(784,), (), (2, 2, 2, 2, 2), (20, 0, 4), (20, 30)])
def test_what_no_images_can_be(tmp_path, shape):
    with pytest.raises(UserError, match="images are example x height x width"):
        read(tmp_path, np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    "shape",
    [
        *((20, 4, 5), (20, 5, 4, 2), (20, 28, 28, 4), (64, 64, 128, 1), (9, 16, 16, 8)),
        *((200, 80, 500), (9, 8, 16, 8)),
    ],
)
def test_unusual_axes_that_are_images(tmp_path, shape):
    array = RNG.integers(0, 256, shape, np.uint8)
    assert same_images(read(tmp_path, array), array)


def test_the_order_in_memory_is_no_matter(tmp_path):
    dataset = read(tmp_path, np.asfortranarray(RGB[:15]), np.asfortranarray(RGB[15:]))
    np.testing.assert_array_equal(dataset.train, RGB[:15])
    # Every image in one piece, for it is read from the disk by its place.
    assert dataset.train.flags.c_contiguous
    assert dataset.digest() == read(tmp_path, RGB[:15], RGB[15:]).digest()


def test_an_npz_like_that_of_dsprites(tmp_path):
    """Only 0 and 1, beside factors and an array of Python objects, which must not be unpickled."""
    path = tmp_path / "dsprites.npz"
    latents = {"latents_values": RNG.random((20, 6)), "latents_classes": np.zeros((20, 6), np.int64)}
    latents["names"] = np.full((2, 2, 2), None)
    np.savez_compressed(path, metadata=np.array({"author": "x"}), imgs=BINARY, **latents)
    dataset = load(Data(name=str(path)))
    assert same_images(dataset, BINARY * np.uint8(255))
    assert dataset.remarks == (
        "Read imgs; 0 and 1 read as black and white; ignored metadata, latents_values, latents_classes, "
        "names."
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [("X_train", "X_test"), ("train_x", "test_x"), ("training", "validation"), ("Train", "VAL")],
)
def test_names_in_an_npz_and_of_files(tmp_path, train, test):
    labels = np.zeros((20, 2))
    both: dict[str, Any] = {"y_train": labels, test: GRAY[15:], train: GRAY[:15], "y_test": labels[:5]}
    np.savez(tmp_path / "a.npz", **both)
    folder = tmp_path / "arrays"
    folder.mkdir()
    for name, array in ((train, GRAY[:15]), (test, GRAY[15:]), ("y_train", labels)):
        np.save(folder / f"{name}.npy", array)
        (folder / f"{name}.npy").rename(folder / f"{name}.NPY")
    for name, said in (("a.npz", "ignored y_train, y_test"), ("arrays", "skipped 1 .npy")):
        dataset = load(Data(name=str(tmp_path / name)))
        np.testing.assert_array_equal(dataset.train[..., 0], GRAY[:15])
        np.testing.assert_array_equal(dataset.test[..., 0], GRAY[15:])
        ends = (train, test) if name == "a.npz" else (f"{train}.NPY", f"{test}.NPY")
        assert dataset.remarks == f"Read {ends[0]} and {ends[1]}; {said}."


def test_idx_files_with_a_dot_packed_or_not(tmp_path):
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx(GRAY[:15]))
    (tmp_path / "train-images.idx3-ubyte.gz").write_bytes(gzip.compress(idx(GRAY[:15])))
    (tmp_path / "t10k-images.idx3-ubyte.gz").write_bytes(gzip.compress(idx(GRAY[15:])))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx(GRAY[:, 0, 0]))
    dataset = load(Data(name=str(tmp_path)))
    np.testing.assert_array_equal(dataset.train[..., 0], GRAY[:15])
    np.testing.assert_array_equal(dataset.test[..., 0], GRAY[15:])
    assert dataset.remarks == (
        "Read train-images.idx3-ubyte and t10k-images.idx3-ubyte.gz; skipped 1 .gz, 1 .idx1-ubyte."
    )


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["x_test"], r"x_test \(20, 6, 5\): name the images train and test"),
        (["train", "x_train", "test"], "holds train and x_train, each of which could be the training images"),
        (["x_train", "more"], "holds x_train .*, more .*: name the images"),
        ([], "holds nothing: name the images"),
    ],
)
def test_an_npz_that_does_not_say_what_is_meant(tmp_path, names, said):
    held: dict[str, Any] = dict.fromkeys(names, GRAY)
    np.savez(tmp_path / "a.npz", **held)
    with pytest.raises(UserError, match=said):
        load(Data(name=str(tmp_path / "a.npz")))


def test_an_npz_of_what_cannot_be_images_says_what_can_be_done(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, data=GRAY.reshape(len(GRAY), -1), labels=np.arange(len(GRAY)))
    with pytest.raises(
        UserError, match=r"\[data\] has the shape .* x\.reshape\(-1, .*\) if they are flattened"
    ):
        load(Data(name=str(path)))
    ragged = np.empty(2, object)
    ragged[:] = GRAY[0], GRAY[0, 1:]
    np.savez(path, train=ragged, labels=np.arange(2))
    with pytest.raises(UserError, match=r"train \(2,\) of Python objects, labels \(2,\): .*numpy\.stack"):
        load(Data(name=str(path)))


@pytest.mark.parametrize(
    "damage", [lambda b: b.replace(b"\n", b"\r\n"), lambda b: b + b, lambda b: b + b"\n"]
)
def test_an_npy_file_with_more_than_one_array_in_it_is_refused(tmp_path, damage):
    path = tmp_path / "a.npy"
    np.save(path, GRAY)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=r"a\.npy cannot be read: .* bytes follow its array"):
        load(Data(name=str(path)))


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path, version):
    file = io.BytesIO()
    np.lib.format.write_array(file, GRAY, version)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("train.npy", "test.npy"):
            archive.writestr(name, file.getvalue())
    np.testing.assert_array_equal(load(Data(name=str(tmp_path / "a.npz"))).train, GRAY[..., None])


def test_an_idx_file_that_was_unpacked_under_its_old_name_is_read(tmp_path):
    (tmp_path / "a-idx3-ubyte.gz").write_bytes(idx(GRAY))
    assert same_images(load(Data(name=str(tmp_path / "a-idx3-ubyte.gz"))), GRAY)


@pytest.mark.parametrize("name", ["a.npy.gz", "a.npz.gz", "a.npy"])
def test_packed_arrays_are_refused_with_what_unpacks_them(tmp_path, name):
    np.save(tmp_path / "b.npy", GRAY)
    (tmp_path / name).write_bytes(gzip.compress((tmp_path / "b.npy").read_bytes()))
    with pytest.raises(UserError, match=r"is packed by gzip, .* gunzip"):
        load(Data(name=str(tmp_path / name)))


def test_a_folder_of_arrays_that_does_not_say_what_is_meant(tmp_path):
    np.save(tmp_path / "x_test.npy", GRAY)
    with pytest.raises(UserError, match=r"holds x_test\.npy and no array of training images"):
        load(Data(name=str(tmp_path)))
    np.save(tmp_path / "train.npy", GRAY)
    (tmp_path / "train-ubyte").write_bytes(idx(GRAY))
    with pytest.raises(UserError, match=r"holds train-ubyte and train\.npy: keep one of them"):
        load(Data(name=str(tmp_path)))
    (tmp_path / "train-ubyte").rename(tmp_path / "training-ubyte")
    with pytest.raises(UserError, match="holds train and training, each of which could be the training"):
        load(Data(name=str(tmp_path)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer, not the file"),
        (b"<!DOCTYPE html><html>", "is a web page"),
    ],
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a-ubyte", "a.idx.gz"])
def test_a_file_that_only_has_the_name_of_an_array(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{re.escape(name)} {said}"):
        load(Data(name=str(tmp_path / name)))


def test_four_channels_are_opacity_only_with_a_background(tmp_path):
    images = RNG.integers(0, 256, (20, 6, 5, 4), np.uint8)
    assert same_images(read(tmp_path, images), images)
    with pytest.raises(UserError, match=r"has 4 channels: .*need 1 or 3, and --data\.background lays four"):
        read(tmp_path, images, color="rgb")
    color, alpha = images[..., :3].astype(float), images[..., 3:] / 255
    laid = np.round(alpha * color + (1 - alpha) * np.array([0, 0, 255])).astype(np.uint8)
    assert same_images(read(tmp_path, images, background="blue"), laid)
