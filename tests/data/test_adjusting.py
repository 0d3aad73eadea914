"""What alpha hides stays hidden: refused, or laid on a colour, computed here another way."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.data.sources.decoding import decode
from jaxvae.errors import UserError
from tests.data.test_files import RGB, write_pictures

RNG = np.random.default_rng(4)
RGBA = RNG.integers(0, 256, (16, 16, 4), np.uint8)
RGBA[0, :, 3], RGBA[1, :, 3] = 0, 255


def read(image, form="PNG", **more):
    file = io.BytesIO()
    options = more.pop("options", {})
    image.save(file, form, **options)
    return decode(file.getvalue(), "a", Data(**more))


def over(colors, alpha, background):
    """Porter and Duff's over, of a background that hides all behind it."""
    alpha = alpha[..., None] / 255
    return np.floor(alpha * colors + (1 - alpha) * np.array(background) + 0.5).astype(np.uint8)


COLORS = {"white": (255, 255, 255), "#102030": (16, 32, 48), "hsl(120,100%,50%)": (0, 255, 0)}


@pytest.mark.parametrize("background", COLORS)
def test_transparent_pixels_are_laid_on_the_background(background):
    picture = read(Image.fromarray(RGBA), background=background)
    np.testing.assert_array_equal(picture.pixels, over(RGBA[..., :3], RGBA[..., 3], COLORS[background]))
    assert picture.notes == (f"transparent and laid on {background}",)


def test_a_folder_is_decoded_anew_for_every_background(tmp_path):
    write_pictures(tmp_path / "a", [RGBA] * 3)
    for background, color in COLORS.items():
        dataset = load(Data(name=str(tmp_path / "a"), background=background))
        np.testing.assert_array_equal(dataset.train[0], over(RGBA[..., :3], RGBA[..., 3], color))


def test_every_colour_opacity_and_background_rounds_as_it_should():
    levels = np.array(list(itertools.product(range(256), range(256))), np.uint8)
    image = levels.reshape(256, 256, 2)
    for background in (0, 1, 127, 255):
        name = "#" + f"{background:02x}" * 3
        pixels = read(Image.fromarray(image), background=name).pixels
        assert pixels.shape == (256, 256, 1)
        whole = image.astype(int)
        doubled = 2 * (whole[..., 0] * whole[..., 1] + background * (255 - whole[..., 1]))
        np.testing.assert_array_equal(pixels[..., 0], (doubled + 255) // 510)


def gray_alpha():
    return Image.fromarray(RGBA[..., [0, 3]]), {}


def palette():
    colors = Image.fromarray(RGB[0]).quantize(8)
    return colors, {"transparency": bytes([0, 100] + [255] * 6)}


def palette_with_one_transparent_colour():
    return Image.fromarray(RGB[0]).quantize(8), {"transparency": 3}


def one_transparent_colour():
    image = Image.fromarray(RGB[0])
    return image, {"transparency": image.getpixel((2, 2))}


def one_transparent_gray():
    image = Image.fromarray(RGB[0][..., 0])
    return image, {"transparency": image.getpixel((2, 2))}


def bilevel():
    return Image.fromarray(RGB[0][..., 0] > 127), {"transparency": 1}


KINDS = [
    gray_alpha,
    palette,
    palette_with_one_transparent_colour,
    one_transparent_colour,
    one_transparent_gray,
]


@pytest.mark.parametrize("make", [*KINDS, bilevel])
@pytest.mark.parametrize("color", ["keep", "rgb", "gray"])
def test_every_way_to_store_transparency(make, color):
    image, options = make()
    with pytest.raises(UserError, match=r"^a is transparent in places: --data\.background white"):
        read(image, options=options, color=color)
    file = io.BytesIO()
    image.save(file, "PNG", **options)
    shown = np.asarray(Image.open(file).convert("RGBA"))
    assert shown[..., 3].min() < 255
    expected = over(shown[..., :3], shown[..., 3], (255, 255, 255))
    pixels = read(image, options=options, color=color, background="white").pixels
    if color == "gray":
        expected = np.asarray(Image.fromarray(expected).convert("L"))[..., None]
    assert pixels.shape[2] == {"rgb": 3, "gray": 1}.get(color, 1 if image.mode in ("LA", "L", "1") else 3)
    np.testing.assert_array_equal(
        pixels, expected if pixels.shape[2] == expected.shape[2] else expected[..., :1]
    )


def test_gray_on_a_colour_has_colours():
    image = Image.fromarray(RGBA[..., [0, 3]])
    pixels = read(image, background="red").pixels
    np.testing.assert_array_equal(pixels, over(RGBA[..., [0, 0, 0]], RGBA[..., 3], (255, 0, 0)))


def test_where_every_pixel_is_opaque_nothing_is_lost_and_nothing_said():
    opaque = RGBA.copy()
    opaque[..., 3] = 255
    for image, channels in ((opaque, [0, 1, 2]), (opaque[..., [0, 3]], [0])):
        picture = read(Image.fromarray(image))
        np.testing.assert_array_equal(picture.pixels, image[..., channels])
        assert picture.notes == ()
    unused = Image.fromarray(RGB[0])
    assert read(unused, options={"transparency": (1, 2, 3)}).notes == ()


def test_what_alpha_hides_does_not_come_to_light(tmp_path):
    """Noise under alpha 0 beside an opaque middle, as many drawings have it; also when it is resized."""
    image = RNG.integers(0, 256, (32, 32, 4), np.uint8)
    image[..., 3] = 0
    image[8:24, 8:24] = (10, 20, 30, 255)
    write_pictures(tmp_path / "a", [image] * 3)
    dataset = load(Data(name=str(tmp_path / "a"), image_size=16, background="#0a141e"))
    assert np.all(dataset.train == [10, 20, 30])
    assert dataset.remarks == "Read 3 PNG; 3 transparent and laid on #0a141e."


@pytest.mark.parametrize(
    "background", ["whit", "#12", "#11223344", "transparent", "", "rgb(1,2)", "rgb(999,0,0)"]
)
def test_a_background_that_is_no_colour_is_refused_before_anything_is_read(tmp_path, background):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=r"^--data\.background .* is no colour: a name such as white, or #RRGGBB"
    ):
        load(Data(name=str(tmp_path), background=background))
