"""Larochelle's fixed binarisation of MNIST: three text files, read exactly or refused with the line."""

from typing import Any

import numpy as np
import pytest

from jaxvae.commands.data import main as main_data
from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.data.sources import amat
from jaxvae.errors import UserError

COUNTS = {"train": 12, "valid": 5, "test": 4}
PIXELS = {
    name: np.random.default_rng(count).integers(0, 2, (count, 784)).astype(np.uint8)
    for name, count in COUNTS.items()
}


@pytest.fixture
def folder(tmp_path):
    for name, rows in PIXELS.items():
        lines = [" ".join(map(str, row)) + " " * (name == "valid") for row in rows]
        (tmp_path / f"binarized_mnist_{name}.amat").write_text("\n".join(lines) + "\n")
    return tmp_path


def same(images, name):
    np.testing.assert_array_equal(images, 255 * PIXELS[name].reshape(-1, 28, 28, 1))


def test_every_pixel_is_read_and_the_validation_images_are_left_out_unless_asked_for(folder):
    data = Data(name=str(folder), binarization="threshold")
    dataset = load(data)
    same(dataset.train, "train")
    same(dataset.test, "test")
    assert dataset.validation is None
    assert dataset.title == f"{folder} (.amat, binarized_mnist_valid.amat not used)"
    assert dataset.remarks == ("Read 12 training, 5 validation and 4 test images, in rows of 784 numbers.")
    own = load(Data(name=str(folder), binarization="threshold", validation="own"))
    same(own.train, "train")
    same(own.test, "test")
    same(own.validation, "valid")
    assert own.title == f"{folder} (.amat)"


def test_only_the_draw_itself_is_called_by_its_name(folder, monkeypatch):
    monkeypatch.setattr(amat, "SIZES", (12, 4, 5))
    own = Data(name=str(folder), validation="own")
    assert load(own).title == f"static MNIST, Larochelle's draw ({folder})"
    # Now from the kept arrays.
    assert load(own).title == f"static MNIST, Larochelle's draw ({folder})"
    without = load(Data(name=str(folder))).title
    assert without == f"static MNIST, Larochelle's draw ({folder}, binarized_mnist_valid.amat not used)"
    assert "Larochelle" not in load(Data(name=str(folder), image_size=14)).title
    assert load(Data(name=str(folder), image_size=28)).title == without
    monkeypatch.setattr(amat, "SIZES", (12, 4, 6))
    assert "Larochelle" not in load(own).title


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("train", lambda text: text[:-2], r"line 12, holds 783 numbers, where an image of 28 x 28 has 784"),
        ("valid", lambda text: text.replace("\n", " ", 1), r"line 1, holds 1568 numbers"),
        ("test", lambda text: text[:1568] + "2" + text[1569:], r"line 2, holds 2, where only 0 and 1 can be"),
        ("test", lambda text: text[:2] + "x" + text[3:], r"line 1, holds x, where"),
        ("train", lambda text: text[:1568] + "\0\xff" + text[1569:], r"line 2, holds \\x00"),
        ("valid", lambda text: "", r"holds no images"),
        ("train", lambda text: text.replace(" ", ","), r"line 1, .*: numbers must be separated by spaces$"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(folder, name, change, said):
    path = folder / f"binarized_mnist_{name}.amat"
    path.write_bytes(change(path.read_text()).encode("latin1"))
    for data in (Data(name=str(folder)), Data(name=str(folder), validation="own")):
        with pytest.raises(UserError, match=rf"binarized_mnist_{name}\.amat.*{said}"):
            load(data)


def test_numbers_written_otherwise_and_empty_lines_are_no_damage(folder):
    path = folder / "binarized_mnist_test.amat"
    path.write_text("\n" + path.read_text().replace("0 ", "0.000e+00 ").replace("1", "1.0") + "\n\n")
    same(load(Data(name=str(folder))).test, "test")


def test_all_three_are_needed(folder):
    (folder / "binarized_mnist_valid.amat").unlink()
    with pytest.raises(UserError, match=r"holds no binarized_mnist_valid\.amat: the draw is read from three"):
        load(Data(name=str(folder)))
    with pytest.raises(UserError, match=rf"is one of three files: give --data\.name {folder}$"):
        load(Data(name=str(folder / "binarized_mnist_train.amat")))


def test_files_that_are_still_packed_are_named(folder):
    for path in sorted(folder.iterdir()):
        path.rename(f"{path}.gz")
        packed = ", ".join(each.name for each in sorted(folder.glob("*.gz")))
        with pytest.raises(UserError) as raised:
            load(Data(name=str(folder)))
        assert sorted(str(raised.value).rpartition("; unpack ")[2].split(", ")) == packed.split(", ")


def test_the_same_in_an_npz_flat_or_not(tmp_path):
    flat: dict[str, Any] = {name: rows.astype(np.float32) for name, rows in PIXELS.items()}
    square: dict[str, Any] = {name: rows.reshape(-1, 28, 28) for name, rows in PIXELS.items()}
    np.savez(tmp_path / "flat.npz", **flat)
    np.savez(tmp_path / "square.npz", **square)
    for name in ("flat.npz", "square.npz"):
        own = load(Data(name=str(tmp_path / name), validation="own"))
        same(own.train, "train")
        same(own.test, "test")
        same(own.validation, "valid")
        assert "Larochelle" not in own.title
        assert load(Data(name=str(tmp_path / name))).validation is None
    np.savez(tmp_path / "two.npz", train=PIXELS["train"], test=PIXELS["test"])
    with pytest.raises(UserError, match=r"x\.reshape\(-1, 28, 28\) if they are flattened"):
        load(Data(name=str(tmp_path / "two.npz")))


def test_the_three_sizes_are_shown(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    assert main_data(["data", str(folder), "--data.validation", "own", "--picture", "a.png"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "training images 12 " in said
    assert "validation 5 images: a set of their own" in said
    assert "test images 4 " in said
    assert main_data(["data", str(folder), "--data.validation", "0.25", "--picture", "a.png"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "training images 9 validation 3 images: 3 of 12 training images, drawn once and for all" in said
