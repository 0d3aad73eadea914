"""Files of many formats, deep ones, and broken ones, whose error is said by name."""

import contextlib
import io
import re
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data.dataset import UnreadableError
from jaxvae.data.load import load
from jaxvae.data.sources.decoding import decode
from jaxvae.errors import UserError
from tests.data.test_files import GRAY, RGB, same_images, write_pictures

RNG = np.random.default_rng(2)
DEEP = RNG.integers(0, 2**16, (6, 5, 4)).astype(np.uint16)
SCALE = Data(sixteen_bit="scale")


def encoded(image, form, **options):
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, form, **options)
    return file.getvalue()


def png(array, color_type):
    """A PNG file of 16 bits a channel, which Pillow cannot write in colours."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    head = struct.pack(">IIBBBBB", array.shape[1], array.shape[0], 16, color_type, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )


def tiff(array, order, compression=1, bits=16, photometric=None):
    """A TIFF file of one strip."""
    content = array.astype(f"{order}u2").tobytes()
    content = zlib.compress(content) if compression == 8 else content
    channels = 1 if array.ndim == 2 else array.shape[2]
    photometric = (1 if channels == 1 else 2) if photometric is None else photometric
    tags = [(256, 4, 1, array.shape[1]), (257, 4, 1, array.shape[0]), (258, 3, channels, None)]
    tags += [(259, 3, 1, compression), (262, 3, 1, photometric), (273, 4, 1, 8), (277, 3, 1, channels)]
    tags += [(278, 4, 1, array.shape[0]), (279, 4, 1, len(content))]
    tags += [(338, 3, 1, 2)] * (channels == 4)
    start = 8 + len(content)
    after = start + 2 + 12 * len(tags) + 4
    directory = struct.pack(f"{order}H", len(tags))
    for tag, kind, count, value in tags:
        if value is None:
            wide = struct.pack(f"{order}{channels}H", *[bits] * channels)
            field = wide.ljust(4, b"\0") if channels <= 2 else struct.pack(f"{order}I", after)
        else:
            field = struct.pack(f"{order}H2x" if kind == 3 else f"{order}I", value)
        directory += struct.pack(f"{order}HHI", tag, kind, count) + field
    bits_field = struct.pack(f"{order}{channels}H", *[bits] * channels) if channels > 2 else b""
    magic = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, start)
    return magic + content + directory + bytes(4) + bits_field


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".webp", {"lossless": True}),
        (".bmp", {}),
        (".tif", {}),
        (".TIFF", {"compression": "tiff_lzw"}),
        (".ppm", {}),
    ],
)
def test_formats_without_loss(tmp_path, suffix, options):
    write_pictures(tmp_path, RGB, suffix, **options)
    dataset = load(Data(name=str(tmp_path)))
    assert same_images(dataset, RGB)
    form = {".TIFF": "TIFF", ".tif": "TIFF"}.get(suffix, suffix[1:].upper())
    assert dataset.remarks == f"Read 20 {form}."


def test_what_is_in_a_file_decides_and_not_its_suffix(tmp_path):
    for number, (image, form) in enumerate(zip(GRAY, ["PNG", "BMP", "TIFF", "PPM"] * 5, strict=True)):
        (tmp_path / f"{number:02}.jpg").write_bytes(encoded(image, form))
    dataset = load(Data(name=str(tmp_path)))
    assert same_images(dataset, GRAY)
    assert dataset.remarks == "Read 5 BMP, 5 PNG, 5 PPM and 5 TIFF."


@pytest.mark.parametrize("form", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_several_frames_the_first_is_read_and_that_is_said(tmp_path, form):
    flat = [np.full((8, 8, 3), level, np.uint8) for level in (40, 200)]
    frames = [Image.fromarray(frame) for frame in flat]
    lossless = {"lossless": True} if form == "WEBP" else {}
    for number in range(3):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:], **lossless)
        (tmp_path / f"{number}.{form.lower()}").write_bytes(content)
    dataset = load(Data(name=str(tmp_path), color="rgb"))
    assert np.all(dataset.train == 40)
    assert dataset.remarks == f"Read 3 {form}; 3 of several frames, of which the first is read."


DEEP_FILES = [
    (encoded(DEEP[..., 0], "PNG"), DEEP[..., :1]),
    (png(DEEP[..., :3], 2), DEEP[..., :3]),
    (encoded(DEEP[..., 0], "TIFF"), DEEP[..., :1]),
    (tiff(DEEP[..., 0], ">"), DEEP[..., :1]),
    (tiff(DEEP[..., :3], "<"), DEEP[..., :3]),
    (tiff(DEEP[..., :3], ">"), DEEP[..., :3]),
    (b"P5\n5 6\n65535\n" + DEEP[..., 0].astype(">u2").tobytes(), DEEP[..., :1]),
    (b"P6\n5 6\n65535\n" + DEEP[..., :3].astype(">u2").tobytes(), DEEP[..., :3]),
]


@pytest.mark.parametrize(("content", "deep"), DEEP_FILES)
def test_16_bits_are_refused_or_scaled_with_all_their_bits(content, deep):
    with pytest.raises(UserError, match=r"^a has 16 bits a channel: --data\.sixteen_bit scale makes 8"):
        decode(content, "a", Data())
    picture = decode(content, "a", SCALE)
    np.testing.assert_array_equal(picture.pixels, np.round(deep / 257).astype(np.uint8))
    assert picture.notes == ("of 16 bits scaled to 8",)


def test_16_bits_with_opacity():
    deep = DEEP.copy()
    content = png(deep, 6)
    with pytest.raises(UserError, match="a is transparent in places"):
        decode(content, "a", SCALE)
    color, alpha = np.round(deep / 257)[..., :3], np.round(deep / 257)[..., 3:] / 255
    laid = decode(content, "a", Data(sixteen_bit="scale", background="white")).pixels
    np.testing.assert_array_equal(laid, np.round(alpha * color + (1 - alpha) * 255).astype(np.uint8))


@pytest.mark.parametrize(
    "content",
    [png(DEEP[..., :2], 4), tiff(DEEP[..., :3], "<", compression=8), tiff(DEEP[..., 0], "<", photometric=0)],
)
def test_16_bits_that_cannot_be_read_whole_are_refused(content):
    with pytest.raises(UserError, match=r"^a cannot .* not supported"):
        decode(content, "a", SCALE)


def test_gray_of_2_and_4_bits_knows_its_transparent_level():
    for bits in (2, 4):
        levels = np.arange(2**bits, dtype=np.uint8)
        packed = np.packbits(np.unpackbits(levels[:, None], axis=1)[:, 8 - bits :].reshape(-1))
        head = struct.pack(">IIBBBBB", len(levels), 1, bits, 0, 0, 0, 0)
        chunks = [
            (b"IHDR", head),
            (b"tRNS", struct.pack(">H", 1)),
            (b"IDAT", zlib.compress(b"\0" + packed.tobytes())),
        ]
        content = b"\x89PNG\r\n\x1a\n" + b"".join(
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
            for name, data in [*chunks, (b"IEND", b"")]
        )
        pixels = decode(content, "a", Data(background="white")).pixels[0, :, 0]
        expected = levels.astype(int) * 255 // (2**bits - 1)
        expected[1] = 255
        np.testing.assert_array_equal(pixels, expected)


def exif(*entries, order="<"):
    """EXIF as a camera writes it: a directory of (tag, type, count, four bytes)."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    body = b"".join(struct.pack(f"{order}HHI", *entry[:3]) + entry[3] for entry in entries)
    return b"Exif\0\0" + head + struct.pack(f"{order}H", len(entries)) + body + bytes(4)


ORIENTED = (0x0112, 3, 1, struct.pack("<H2x", 6))


@pytest.mark.parametrize(
    "other",
    [
        [],
        [(0x011A, 5, 1, struct.pack("<I", 10**6))],  # a resolution that lies outside the file
        [(0x9286, 7, 2**30, bytes(4))],  # a comment longer than the file
        [(0x8769, 2, 4, b"abc\0")],  # text where the place of another directory belongs
        [(0x0100, 13, 1, bytes(4)), (0x8825, 4, 1, struct.pack("<I", 10**6))],
        [(0xFFFF, 99, 1, bytes(4))],
    ],
)
def test_the_side_that_is_up_is_known_whatever_else_the_camera_wrote(other):
    picture = np.zeros((16, 32, 3), np.uint8)
    picture[:, 16:] = 255
    content = encoded(picture, "JPEG", quality=100, exif=exif(*sorted([ORIENTED, *other])))
    pixels = decode(content, "a", Data()).pixels
    assert pixels.shape == (32, 16, 3)
    assert pixels[:14].max() < 20
    assert pixels[18:].min() > 235


@pytest.mark.parametrize(("value", "turn"), [(v, v) for v in range(1, 9)] + [(0, 1), (9, 1), (77, 1)])
def test_every_orientation(value, turn):
    picture = RNG.integers(0, 256, (4, 6, 3), np.uint8)
    note = Image.Exif()
    note[0x0112] = value
    shown = {
        1: picture,
        2: picture[:, ::-1],
        3: picture[::-1, ::-1],
        4: picture[::-1],
        5: picture.transpose(1, 0, 2),
        6: np.rot90(picture, -1),
        7: np.rot90(picture, -1)[:, ::-1].transpose(0, 1, 2)[::-1, ::-1][:, ::-1][:, ::-1],
        8: np.rot90(picture),
    }
    # Orientation 7 is the transpose over the other diagonal.
    shown[7] = np.rot90(picture.transpose(1, 0, 2), 2)
    content = encoded(picture, "PNG", exif=note)
    np.testing.assert_array_equal(decode(content, "a", Data()).pixels, shown[turn])


def test_an_orientation_that_cannot_be_read_is_the_files_error(monkeypatch):
    content = encoded(RGB[0], "PNG")
    for error in (
        struct.error("unpack"),
        TypeError("no"),
        NotImplementedError(),
        KeyError(1),
        RecursionError("x"),
    ):

        def broken(self, error=error):
            raise error

        monkeypatch.setattr(Image.Image, "getexif", broken)
        with pytest.raises(
            UnreadableError, match=rf"^a has EXIF that cannot be read.*{type(error).__name__}"
        ):
            decode(content, "a", Data())


JPEG = encoded(np.kron(RGB[0], np.ones((8, 8, 1), np.uint8)), "JPEG")
PNG = encoded(np.kron(RGB[0], np.ones((8, 8, 1), np.uint8)), "PNG")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7\nsize 12\n", "is a Git LFS pointer"),
        (b"\xef\xbb\xbf\n<!DOCTYPE HTML><html>", "is a web page (HTML)"),
        (b"\n <html lang='en'>", "is a web page (HTML)"),
        (b"nothing of the kind", "cannot be read as an image: it is in no format that Pillow knows"),
        (bytes(1000), "cannot be read as an image: it is in no format that Pillow knows"),
        (JPEG[:200], "cannot be read as an image: "),
        (JPEG[:-300], "cannot be read as an image: "),
        (PNG[:-30], "cannot be read as an image: "),
        (PNG[:60] + b"\xff" + PNG[61:], "cannot be read as an image: "),
        (PNG[:20], "cannot be read as an image: "),
        (b"P6\n5 5\n255\n", "cannot be read as an image: "),
        (b"GIF89a" + bytes(10), "cannot be read as an image: "),
        (b"BM" + bytes(60), "cannot be read as an image: "),
        (encoded(RGB[0], "EPS"), "cannot be read as an image: ValueError: EPS is a program and no image"),
        (b"II*\0" + bytes(60), "cannot be read as an image: "),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(20), "cannot be read as an image: "),
    ],
)
def test_what_is_no_image_is_said_by_name(content, said):
    with pytest.raises(UnreadableError, match=f"^the/file {re.escape(said)}") as raised:
        decode(content, "the/file", Data())
    assert "0x" not in str(raised.value)
    assert "BytesIO" not in str(raised.value)


def test_a_bomb_is_said_by_name(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(
        UnreadableError, match=r"^a cannot be read as an image: .*exceeds limit of 200 pixels"
    ):
        decode(PNG, "a", Data())


def test_no_noise_makes_anything_but_the_files_own_error():
    """Files with random bytes changed are read or refused."""
    contents = [JPEG, PNG, *(encoded(RGB[0], form) for form in ("WEBP", "BMP", "TIFF", "GIF", "PPM"))]
    contents += [
        encoded(RGB[0], "JPEG", exif=exif(ORIENTED)),
        encoded(RGB[0], "TIFF", compression="tiff_lzw"),
    ]
    random, refused = np.random.default_rng(3), 0
    every = Data(color="rgb", background="white", sixteen_bit="scale")
    for _ in range(40):
        for content in contents:
            changed = np.frombuffer(content, np.uint8).copy()
            places = random.integers(0, min(len(changed), 200), 3)
            changed[places] = random.integers(0, 256, 3)
            with contextlib.suppress(UserError), warnings.catch_warnings(action="ignore"):
                refused += 1
                decode(changed.tobytes(), "the/file", every)
                refused -= 1
    assert refused > 50
