"""What resizing and converting keep of an image, against NumPy's own slices."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data.load import load

WIDE = np.random.default_rng(0).integers(0, 256, (6, 14, 3), np.uint8)
TALL = WIDE.swapaxes(0, 1).copy()


@pytest.fixture(params=["files", "array"])
def seen(request, tmp_path):
    """What is read of one image, from a picture file or from an array."""

    def see(image, data):
        if request.param == "array":
            path = tmp_path / "images.npz"
            np.savez(path, train=image[None], test=image[None])
        else:
            path = tmp_path / "images"
            for part in ("train", "test"):
                (path / part).mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.squeeze()).save(path / part / "one.png")
        dataset = load(dataclasses.replace(data, name=str(path)))
        np.testing.assert_array_equal(dataset.train, dataset.test)
        return np.asarray(dataset.train[0])

    return see


@pytest.mark.parametrize(
    ("image", "middle"), [(WIDE, WIDE[:, 4:10]), (TALL, TALL[4:10])], ids=["wide", "tall"]
)
def test_a_crop_is_the_middle(seen, image, middle):
    # The shorter side has the size already: no pixel is changed, and four are cut off at either end.
    np.testing.assert_array_equal(seen(image, Data(image_size=6)), middle)


def test_stretching_keeps_both_ends(seen):
    image = np.full((8, 32, 1), 100, np.uint8)
    image[:, :8], image[:, 24:] = 0, 250
    stretched = seen(image, Data(image_size=4, resize="stretch"))
    # Away from the edges between levels, nothing but the level is there.
    np.testing.assert_allclose(stretched[..., 0], np.tile([0, 100, 100, 250], (4, 1)), atol=30)


def test_a_crop_cuts_both_ends_off(seen):
    image = np.full((8, 32, 1), 100, np.uint8)
    image[:, :8], image[:, 24:] = 0, 250
    # Lanczos looks a little beyond the edge of the crop.
    np.testing.assert_allclose(seen(image, Data(image_size=4)), np.full((4, 4, 1), 100), atol=8)


def test_gray_is_the_luma_of_red_green_and_blue(seen):
    image = np.zeros((2, 3, 3), np.uint8)
    image[:, 0, 0], image[:, 1, 1], image[:, 2, 2] = 255, 255, 255
    # ITU-R 601-2: 0.299 R + 0.587 G + 0.114 B.
    np.testing.assert_allclose(seen(image, Data(color="gray"))[0, :, 0], [76.2, 149.7, 29.1], atol=0.6)


def test_a_gray_image_has_three_equal_channels_if_rgb_is_asked_for(seen):
    image = np.arange(6, dtype=np.uint8).reshape(2, 3, 1) * 40
    np.testing.assert_array_equal(seen(image, Data(color="rgb")), image.repeat(3, axis=2))
