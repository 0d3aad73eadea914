"""A person's own images: what is read, and what is said of what cannot be."""

import gzip
import io
import re

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.errors import UserError

RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 256, (20, 6, 5), np.uint8)
RGB = RNG.integers(0, 256, (20, 6, 5, 3), np.uint8)


def idx(array):
    head = b"\0\0\x08" + bytes([array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return head + array.tobytes()


def write_pictures(folder, images, suffix=".png", **options):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{number:03}{suffix}", **options)


def everything(dataset):
    """All images of a set in an order of their own, whatever the split."""
    images = np.concatenate([dataset.train, dataset.test])
    return images[np.lexsort(images.reshape(len(images), -1).T)]


def same_images(dataset, images):
    images = images if images.ndim == 4 else images[..., None]
    return np.array_equal(everything(dataset), images[np.lexsort(images.reshape(len(images), -1).T)])


@pytest.mark.parametrize("names", [("train", "test"), ("x_train", "x_test"), ("train_images", "test_images")])
@pytest.mark.parametrize("images", [GRAY, RGB])
def test_npz_with_both_sets(tmp_path, names, images):
    path, labels = tmp_path / "a.npz", np.zeros(14)
    np.savez(path, **{names[0]: images[:14], names[1]: images[14:], "labels": labels})
    dataset = load(Data(name=str(path)))
    np.testing.assert_array_equal(dataset.train.squeeze(), images[:14])
    np.testing.assert_array_equal(dataset.test.squeeze(), images[14:])
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_npy_is_split_always_the_same_way(tmp_path):
    np.save(tmp_path / "a.npy", GRAY)
    dataset = load(Data(name=str(tmp_path / "a.npy")))
    assert (len(dataset.train), len(dataset.test)) == (18, 2)
    assert same_images(dataset, GRAY)
    np.save(tmp_path / "b.npy", GRAY)
    again = load(Data(name=str(tmp_path / "b.npy")))
    np.testing.assert_array_equal(again.test, dataset.test)
    # Written down once: a run that is continued with another version must find the same split.
    np.testing.assert_array_equal(dataset.test[..., 0], GRAY[HELD_OUT])
    half = load(Data(name=str(tmp_path / "a.npy"), test_fraction=0.5))
    assert (len(half.train), len(half.test)) == (10, 10)
    assert same_images(half, GRAY)


HELD_OUT = [15, 18]


def test_a_folder_of_arrays_is_mapped_and_not_copied(tmp_path):
    np.save(tmp_path / "train.npy", RGB[:15])
    np.save(tmp_path / "test.npy", RGB[15:])
    dataset = load(Data(name=str(tmp_path)))
    np.testing.assert_array_equal(dataset.train, RGB[:15])
    assert isinstance(dataset.train, np.memmap)
    assert not tmp_path.with_name(tmp_path.name + ".jaxvae").exists()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_alone_and_in_a_folder(tmp_path, pack):
    end = ".gz" if pack is gzip.compress else ""
    (tmp_path / f"train-images-idx3-ubyte{end}").write_bytes(pack(idx(GRAY[:15])))
    (tmp_path / f"t10k-images-idx3-ubyte{end}").write_bytes(pack(idx(GRAY[15:])))
    both = load(Data(name=str(tmp_path)))
    np.testing.assert_array_equal(both.train[..., 0], GRAY[:15])
    np.testing.assert_array_equal(both.test[..., 0], GRAY[15:])
    alone = load(Data(name=str(tmp_path / f"train-images-idx3-ubyte{end}")))
    assert same_images(alone, GRAY[:15])


def test_whole_numbers_and_truth_values_become_8_bits(tmp_path):
    np.savez(tmp_path / "a.npz", train=GRAY[:15].astype(np.int64), test=GRAY[15:] > 127)
    dataset = load(Data(name=str(tmp_path / "a.npz")))
    np.testing.assert_array_equal(dataset.train[..., 0], GRAY[:15])
    np.testing.assert_array_equal(dataset.test[..., 0], 255 * (GRAY[15:] > 127))


@pytest.mark.parametrize(("images", "suffix"), [(GRAY, ".png"), (RGB, ".PNG")])
def test_a_folder_of_pictures(tmp_path, images, suffix):
    write_pictures(tmp_path / "photos" / "cats", images[:8], suffix)
    write_pictures(tmp_path / "photos", images[8:], suffix)
    (tmp_path / "photos" / "readme.txt").write_text("not a picture")
    (tmp_path / "photos" / "._000.png").write_text("what some systems leave")
    assert same_images(load(Data(name=str(tmp_path / "photos"))), images)


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_a_folder_with_both_sets_in_the_order_of_their_names(tmp_path, test):
    write_pictures(tmp_path / "photos" / "train", RGB[:15])
    write_pictures(tmp_path / "photos" / test, RGB[15:])
    dataset = load(Data(name=str(tmp_path / "photos")))
    np.testing.assert_array_equal(dataset.train, RGB[:15])
    np.testing.assert_array_equal(dataset.test, RGB[15:])


def test_jpeg_turned_by_the_camera(tmp_path):
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, 16:] = 255
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees, clockwise
    write_pictures(tmp_path / "a", [picture] * 2, ".jpg", quality=100, exif=turned)
    dataset = load(Data(name=str(tmp_path / "a")))
    assert dataset.train.shape == (1, 32, 16, 3)
    assert dataset.train[0, :14].max() < 20
    assert dataset.train[0, 18:].min() > 235


def test_sizes_and_colours_are_unified_when_asked(tmp_path):
    write_pictures(tmp_path / "a", [np.full((8, 12, 3), 90, np.uint8), np.full((6, 4), 90, np.uint8)])
    dataset = load(Data(name=str(tmp_path / "a"), image_size=5, color="rgb"))
    assert dataset.train.shape == dataset.test.shape == (1, 5, 5, 3)
    assert np.all(dataset.train == 90)
    gray = load(Data(name=str(tmp_path / "a"), image_size=5, color="gray"))
    assert gray.train.shape == (1, 5, 5, 1)


def test_crop_keeps_the_middle_and_stretch_keeps_all(tmp_path):
    wide = np.zeros((10, 30), np.uint8)
    wide[:, :10] = 200
    np.savez(tmp_path / "a.npz", train=np.stack([wide] * 2), test=wide[None])
    name = str(tmp_path / "a.npz")
    assert load(Data(name=name, image_size=10)).train.max() == 0
    stretched = load(Data(name=name, image_size=10, resize="stretch")).train
    assert stretched[0, 5, 0] == 200
    assert stretched[0, 5, 9] == 0


def palette(path):
    Image.fromarray(RGB[0]).quantize(8).save(path)


def alpha(path):
    Image.fromarray(RNG.integers(0, 256, (6, 5, 4), np.uint8)).save(path)


def sixteen(path):
    Image.fromarray(RNG.integers(0, 2**16, (6, 5)).astype(np.uint16)).save(path)


def broken(path):
    whole = io.BytesIO()
    Image.fromarray(RGB[0]).save(whole, "PNG")
    path.write_bytes(whole.getvalue()[:60])


def wider(path):
    Image.fromarray(RGB[0, :, :4]).save(path)


def gray(path):
    Image.fromarray(GRAY[0]).save(path)


def test_a_palette_is_a_way_to_store_rgb(tmp_path):
    write_pictures(tmp_path, RGB[:2])
    palette(tmp_path / "003.png")
    assert load(Data(name=str(tmp_path))).train.shape == (2, 6, 5, 3)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (alpha, "003.png is transparent in places: --data.background white, or another colour"),
        (sixteen, "003.png has 16 bits a channel: --data.sixteen_bit scale makes 8 of them"),
        (broken, "003.png cannot be read as an image: "),
        (wider, "003.png has 4 x 6 pixels with 3 channels, but "),
        (gray, "003.png has 5 x 6 pixels with 1 channel, but "),
    ],
)
def test_a_picture_that_does_not_fit_is_named_and_nothing_is_left(tmp_path, write, said):
    folder = tmp_path / "photos"
    write_pictures(folder, RGB[:3])
    write(folder / "003.png")
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        load(Data(name=str(folder)))
    if "but " in said[-4:]:
        hint = "--data.image_size N" if write is wider else "--data.color gray or rgb"
        assert hint in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_a_picture_that_does_not_fit_can_be_made_to(tmp_path):
    write_pictures(tmp_path / "photos", RGB[:3])
    for number, write in enumerate((alpha, wider, gray)):
        write(tmp_path / "photos" / f"{number + 3:03}.png")
    dataset = load(Data(name=str(tmp_path / "photos"), image_size=6, color="rgb", background="white"))
    assert dataset.train.shape == (5, 6, 6, 3)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (GRAY.astype(np.int64) * 2, "holds numbers from 0 to 510: pixels are from 0 to 255"),
        (GRAY.astype(np.int16) - 1, "holds numbers from -1 to 254: pixels are from 0 to 255"),
        (GRAY.reshape(20, -1), "has the shape (20, 30): images are example x height x width"),
        (GRAY[:0], "holds no images"),
        (np.zeros((5, 3, 32, 32), np.uint8), "with the channels first: numpy.moveaxis(x, 1, -1)"),
        (GRAY[:1], "holds a single image"),
        (np.array([None]), "a.npy cannot be read: Array can't be memory-mapped: Python objects"),
    ],
)
def test_an_array_of_something_else_is_refused_with_what_would_do(tmp_path, array, said):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(UserError, match=re.escape(said)) as raised:
        load(Data(name=str(tmp_path / "a.npy")))
    assert "a.npy" in str(raised.value)
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.npy", b"nothing of the kind", "a.npy cannot be read: "),
        ("a.npz", b"nothing of the kind", "a.npz cannot be read: "),
        ("a-ubyte", b"nothing of the kind", "a-ubyte cannot be read: not an IDX file of unsigned bytes"),
        ("a-ubyte", idx(GRAY)[:-1], "a-ubyte cannot be read: an IDX file of shape (20, 6, 5) has"),
        ("a-ubyte", idx(GRAY[:, 0, 0]), "a-ubyte has the shape (20,): images are"),
        ("a.gz", b"nothing of the kind", "a.gz cannot be read: "),
        ("a.gz", gzip.compress(idx(GRAY))[:-20], "a.gz cannot be read: "),
        ("a.h5", b"", "a.h5 is not a kind of file that images are read from: use .npy, .npz, IDX"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=re.escape(said)):
        load(Data(name=str(tmp_path / name)))


def test_an_npz_of_several_arrays_says_what_to_call_them(tmp_path):
    np.savez(tmp_path / "a.npz", one=GRAY, two=GRAY)
    with pytest.raises(UserError, match=r"a\.npz holds one \(20, 6, 5\), two .*: name the images train"):
        load(Data(name=str(tmp_path / "a.npz")))


def test_sets_of_different_shapes_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", train=GRAY, test=RGB)
    with pytest.raises(UserError, match=r"a\.npz .*\(6, 5, 1\) and \(6, 5, 3\), which must be equal"):
        load(Data(name=str(tmp_path / "a.npz")))


def test_a_folder_without_images_is_named(tmp_path):
    (tmp_path / "photos" / "train").mkdir(parents=True)
    with pytest.raises(UserError, match=r"photos/train holds no images \(PNG, JPEG, WebP"):
        load(Data(name=str(tmp_path / "photos")))
    with pytest.raises(UserError, match="nowhere: there is no such file or folder"):
        load(Data(name=str(tmp_path / "nowhere")))
