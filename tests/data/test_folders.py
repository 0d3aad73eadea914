"""What is found in a folder of images, and what is said of the rest."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvae.commands import data
from jaxvae.config import Data
from jaxvae.data.image_grid import write_grid
from jaxvae.data.load import load
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit
from tests.data.test_files import RGB, same_images, write_pictures
from tests.runs.test_fit import replace


def read(folder, **more):
    return load(Data(name=str(folder), **more))


def picture(path, image=RGB[0], **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path, **options)


def test_everything_is_said_in_one_line_by_kind_and_number(tmp_path):
    folder = tmp_path / "photos"
    write_pictures(folder / "train", RGB[:15])
    write_pictures(folder / "test", RGB[15:])
    write_pictures(folder / "val", RGB[:3])
    picture(folder / "stray.png")
    for name in ("a.txt", "b.TXT", "movie.mp4", "README", ".DS_Store", "train/._000.png", "train/labels.csv"):
        (folder / name).write_text("")
    dataset = read(folder)
    assert dataset.remarks == (
        "Read 20 PNG; skipped 2 hidden files, 1 without a suffix, 2 .txt, 1 .csv, 1 .mp4, val/ (3 images), "
        "1 image beside these folders."
    )
    # Also by the next process, for which nothing is decoded.
    assert read(folder).remarks == dataset.remarks
    np.testing.assert_array_equal(dataset.train, RGB[:15])
    np.testing.assert_array_equal(dataset.test, RGB[15:])


def test_many_kinds_of_other_files_are_summed_up(tmp_path):
    write_pictures(tmp_path, RGB)
    for letter in "abcdefgh":
        (tmp_path / f"x.{letter}").write_text("")
    assert read(tmp_path).remarks.endswith("skipped 1 .a, 1 .b, 1 .c, 1 .d, 1 .e, 1 .f, 2 of other kinds.")


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", "cats/.cache", "@eaDir", "#recycle"])
def test_hidden_folders_are_left_out(tmp_path, hidden):
    write_pictures(tmp_path / "a", RGB)
    write_pictures(tmp_path / "a" / hidden, RGB[:3])
    dataset = read(tmp_path / "a")
    assert same_images(dataset, RGB)
    assert dataset.remarks == "Read 20 PNG; skipped 1 hidden folder."


@pytest.mark.parametrize("left", ["checkpoints", "metrics.jsonl"])
def test_runs_and_what_the_program_made_are_left_out(tmp_path, left):
    """A run may lie in the folder of its images, and so may a contact sheet and decoded arrays."""
    folder = tmp_path / "photos"
    write_pictures(folder, RGB)
    before = read(folder)
    run = folder / "runs" / "mnist"
    write_pictures(run / "images", RGB[:2])
    (run / "config.json").write_text("{}")
    (run / left).write_text("") if "." in left else (run / left).mkdir()
    grid = np.zeros((2, 4, 4, 1))
    for name in ("data-photos.png", "samples-40.png", "reconstructions-40.png"):
        write_grid(folder / name, grid, 2)
    write_pictures(folder / "set.jaxvae", RGB[:2])
    after = read(folder)
    assert after.digest() == before.digest()
    assert after.remarks == (
        "Read 20 PNG; skipped 1 folder of decoded images, 3 pictures that jaxvae made, 1 run of jaxvae."
    )
    # By its name alone, no picture of the person's is.
    picture(folder / "samples-1.png")
    assert len(read(folder).train) + len(read(folder).test) == 21
    write_grid(folder / "sheet.png", grid, 2)
    with pytest.raises(UserError, match=r"sheet\.png is a picture that jaxvae made: move it"):
        read(folder)


def test_a_part_of_what_a_run_leaves_makes_no_run_and_neither_does_it_in_the_folder_that_is_named(tmp_path):
    folder = tmp_path / "a"
    write_pictures(folder / "cats", RGB[:10])
    (folder / "cats" / "config.json").write_text("{}")
    write_pictures(folder / "dogs", RGB[10:])
    (folder / "dogs" / "metrics.jsonl").write_text("")
    assert same_images(read(folder), RGB)
    for name in ("config.json", "metrics.jsonl"):
        (folder / name).write_text("")
    assert same_images(read(folder), RGB)


def test_links_are_followed_once_and_not_in_circles(tmp_path):
    folder = tmp_path / "in" / "photos"
    write_pictures(tmp_path / "elsewhere", RGB[:5])
    write_pictures(folder / "cats", RGB[5:])
    picture(folder.parent / "beside.png")
    for name, to in (("birds", tmp_path / "elsewhere"), ("loop", folder), ("up", ".."), ("same", "birds")):
        (folder / name).symlink_to(to)
    (folder / "cats" / "self").symlink_to("self")
    dataset = read(folder)
    assert same_images(dataset, RGB)
    assert dataset.remarks == "Read 20 PNG; skipped 3 links back to a folder, 1 without a suffix."


def test_the_order_is_that_of_names_from_the_folder_on(tmp_path):
    names = ["b/1.png", "a.png", "a/2.png", "a/10.png", "a-b/1.png", "B.png"]
    for number, name in enumerate(names):
        picture(tmp_path / "train" / name, RGB[number])
    picture(tmp_path / "test" / "x.png")
    # As the parts of their paths compare, in which no separator stands against another character.
    order = ["B.png", "a/10.png", "a/2.png", "a-b/1.png", "a.png", "b/1.png"]
    np.testing.assert_array_equal(read(tmp_path).train, RGB[[names.index(name) for name in order]])


LOCKED = """
import os, sys
import numpy.random
from jaxvae.data.sources import decoding
from jaxvae.data.sources import files
from jaxvae.data import decoded_cache
from jaxvae.data.sources import tfds
from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.errors import ReportedError
decoding.import_formats()
# What Python itself is read from may be root's alone, so all of it must be there by now.
os.setegid(65534), os.seteuid(65534)
try:
    print(load(Data(name=sys.argv[1], unreadable=sys.argv[2])).remarks)
except ReportedError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another")
@pytest.mark.parametrize("what", ["photos/locked", "photos/cats/001.png"])
def test_what_may_not_be_read_is_named_or_counted(what):
    # Not in tmp_path, where nobody else may look.
    with tempfile.TemporaryDirectory() as top:
        os.chmod(top, 0o777)
        folder, locked = Path(top) / "photos", Path(top) / what
        write_pictures(folder / "cats", RGB[:10])
        write_pictures(folder / "locked", RGB[10:])
        locked.chmod(0)

        def said(unreadable):
            command = [sys.executable, "-c", LOCKED, str(folder), unreadable]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.stdout + done.stderr

        assert said("refuse") == (
            f"{locked} cannot be read (Permission denied); --data.unreadable skip leaves out what cannot be "
            "read\n"
        )
        assert (
            said("skip")
            == {
                "locked": f"Read 10 PNG; left out the folder {locked} (Permission denied).\n",
                "001.png": f"Read 19 PNG; left out 1 that cannot be read ({locked} cannot be read "
                "(Permission denied)).\n",
            }[locked.name]
        )


def test_a_folder_that_cannot_be_listed(tmp_path, monkeypatch):
    write_pictures(tmp_path / "a" / "cats", RGB)
    scandir = os.scandir

    def denied(path):
        if str(path).endswith("dogs"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    (tmp_path / "a" / "dogs").mkdir()
    (tmp_path / "dogs").mkdir()
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(UserError, match=r"a/dogs cannot be read \(Permission denied\)"):
        read(tmp_path / "a")
    assert read(tmp_path / "a", unreadable="skip").remarks == (
        f"Read 20 PNG; left out the folder {tmp_path}/a/dogs (Permission denied)."
    )
    for unreadable in ("refuse", "skip"):
        with pytest.raises(UserError, match=r"/dogs cannot be read \(Permission denied\)$"):
            read(tmp_path / "dogs", unreadable=unreadable)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        *(("Training", "Testing"), ("train", "TEST"), ("training", "eval"), ("train_images", "val_images")),
        *(("training_set", "test_set"), ("seg_train", "seg_test"), ("trainA", "testA"), ("a TRAIN", "a Val")),
    ],
)
def test_folders_of_both_sets(tmp_path, train, test):
    write_pictures(tmp_path / train / "cats", RGB[:15])
    write_pictures(tmp_path / test / "cats", RGB[15:])
    dataset = read(tmp_path)
    np.testing.assert_array_equal(dataset.train, RGB[:15])
    np.testing.assert_array_equal(dataset.test, RGB[15:])


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (["trainA", "trainB", "testA", "testB"], "holds trainA and trainB, each of which could be the tr"),
        (["a/seg_train", "a/seg_test"], "a holds seg_train/ and seg_test/, which would become one set"),
        (["train", "Training"], "holds Training and train, each of which could be the training images"),
        (["train", "test", "testing"], "holds test and testing, each of which could be the test images"),
        (["test"], r"holds test/ and no train/: .* give --data.name .*/test if its images are all"),
        (["cats", "val"], "holds val/ and no train/"),
        (["train", "bus", "car"], r"holds images in train/ and in bus/, car/: give --data.name .*/train if"),
        (
            ["png/train", "png/test"],
            r"png holds train/ and test/, which would become one set .*/png if those",
        ),
        (
            ["cats/train", "cats/test", "dogs/train"],
            "cats holds train/ and test/, which would become one set",
        ),
    ],
)
def test_folders_that_cannot_be_meant(tmp_path, folders, said):
    for folder in folders:
        write_pictures(tmp_path / folder, RGB[:4])
    with pytest.raises(UserError, match=said):
        read(tmp_path)


@pytest.mark.parametrize(
    "folders", [("train_station", "test_tube", "lake"), ("cats_train", "dogs_test"), ("seg_test", "seg_val")]
)
def test_folders_that_are_classes(tmp_path, folders):
    for number, folder in enumerate(folders):
        write_pictures(tmp_path / folder, RGB[4 * number :][:4])
    assert same_images(read(tmp_path), RGB[: 4 * len(folders)])


def test_a_link_beside_a_folder_is_not_what_it_is_known_by(tmp_path):
    write_pictures(tmp_path / "train", RGB)
    (tmp_path / "test").symlink_to("train")
    with pytest.raises(UserError, match=r"/test holds no images .*, but 1 link back to a folder"):
        read(tmp_path)


def test_a_set_without_images_is_named_with_what_is_there(tmp_path):
    write_pictures(tmp_path / "train", RGB[:4])
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "a.heic").write_text("")
    with pytest.raises(UserError, match=r"/test holds no images \(PNG, .*\), but 1 \.heic$"):
        read(tmp_path)
    np.save(tmp_path / "test" / "a.npy", RGB)
    with pytest.raises(UserError, match=r"1 \.npy: for an array, give --data.name the path of its file"):
        read(tmp_path / "test")


AWKWARD = [b"\xff.png", b"new\nline.png", b"sp ace.png", "\u65e5\u672c.png".encode(), b"x" * 250 + b".png"]


def test_names_of_any_bytes(tmp_path):
    folder = os.fsencode(tmp_path) + b"/\xfe set"
    os.mkdir(folder)
    for number, name in enumerate(AWKWARD):
        with open(folder + b"/" + name, "wb") as file:
            Image.fromarray(RGB[number]).save(file, "PNG")
    dataset = read(os.fsdecode(folder))
    assert same_images(dataset, RGB[: len(AWKWARD)])
    assert dataset.title == f"{tmp_path}/\\xfe set (folder)"
    for name, shown in ((b"\xfd.png", "\\xfd.png"), (b"a\nb.png", "a\\nb.png")):
        with open(folder + b"/" + name, "wb"):
            pass
        with pytest.raises(UserError) as raised:
            read(os.fsdecode(folder))
        assert f"/\\xfe set/{shown} is empty" in str(raised.value)
        assert str(raised.value).isprintable()
        left = read(os.fsdecode(folder), unreadable="skip")
        assert f"left out 1 that cannot be read ({tmp_path}/\\xfe set/{shown} is empty)" in left.remarks
        assert left.digest() == dataset.digest()
        os.unlink(folder + b"/" + name)


def test_a_set_of_such_a_name_is_shown_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = os.fsdecode(os.fsencode(tmp_path) + b"/\xfe set")
    write_pictures(Path(folder), RGB)
    assert data.main(["data", folder]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path}/\\xfe set (folder)\n  files            Read 20 PNG.\n")
    assert "kept in" in said
    said.encode()


def test_a_run_among_its_images_goes_on(tmp_path, small_config, capsys):
    """With its own pictures and contact sheets beside them."""
    write_pictures(tmp_path, RGB)
    half = replace(small_config, data={"name": str(tmp_path)}, train={"steps": 12})
    fit(half, tmp_path / "run")
    assert data.main(["data", str(tmp_path), "--picture", str(tmp_path / "data-set.png")]) == 0
    summary = fit(replace(half, train={"steps": 24}), tmp_path / "run")
    assert summary["step"] == 24
    # A run's start says what it reads.
    assert "\nRead 20 PNG; skipped 1 picture that jaxvae made, 1 run of jaxvae.\n" in capsys.readouterr().out
    assert (summary["data"]["train"], summary["data"]["test"]) == (18, 2)
