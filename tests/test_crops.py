"""What resizing keeps of an image, against NumPy's own slices."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.decoding import adjust, decode

WIDE = np.random.default_rng(0).integers(0, 256, (6, 14, 3), np.uint8)
TALL = WIDE.swapaxes(0, 1).copy()


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("source", ["file", "array"])
def test_a_crop_is_the_middle(source):
    for image, middle in ((WIDE, WIDE[:, 4:10]), (TALL, TALL[4:10])):
        # The shorter side has the size already: no pixel is changed, and four are cut off at either end.
        data = Data(image_size=6)
        cut = decode(png(image), "a", data) if source == "file" else adjust(image, "a", data)
        np.testing.assert_array_equal(cut, middle)


def test_stretching_keeps_both_ends_and_halving_is_a_local_mean():
    steps = np.repeat(np.repeat(np.array([[10, 90], [170, 250]], np.uint8), 8, 0), 16, 1)[..., None]
    stretched = adjust(steps, "a", Data(image_size=4, resize="stretch"))
    assert stretched.shape == (4, 4, 1)
    # Away from edges between levels, nothing but the level is there.
    np.testing.assert_allclose(stretched[[0, 0, 3, 3], [0, 3, 0, 3], 0], [10, 90, 170, 250], atol=8)
    cropped = adjust(steps, "a", Data(image_size=4))
    assert cropped.shape == (4, 4, 1)
    np.testing.assert_allclose(cropped[[0, 0, 3, 3], [0, 3, 0, 3], 0], [10, 90, 170, 250], atol=8)
    # A crop cuts the outer quarters off first: with marks there, only stretching sees them.
    marked = steps.copy()
    marked[:, :8], marked[:, 24:] = 0, 255
    assert adjust(marked, "a", Data(image_size=4, resize="stretch"))[0, 0, 0] < 8
    assert adjust(marked, "a", Data(image_size=4))[3, 0, 0] > 140


def test_gray_is_the_luma_of_red_green_and_blue():
    image = np.zeros((2, 3, 3), np.uint8)
    image[:, 0, 0], image[:, 1, 1], image[:, 2, 2] = 255, 255, 255
    gray = adjust(image, "a", Data(color="gray"))
    # ITU-R 601-2: 0.299 R + 0.587 G + 0.114 B.
    np.testing.assert_allclose(gray[0, :, 0], [76.2, 149.7, 29.1], atol=0.6)
    back = adjust(gray, "a", Data(color="rgb"))
    assert back.shape == (2, 3, 3)
    assert np.all(back == gray)
