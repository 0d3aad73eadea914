import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvae.commands.data import main as main_data
from jaxvae.system.signals import InterruptedRun, interruptible


def shown(capsys, *arguments):
    code = main_data(["data", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_a_set_is_described_and_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(10, 240, (30, 8, 6, 3), np.uint8)
    np.savez("a.npz", train=images[:20], test=images[20:])
    code, out, _ = shown(capsys, "a.npz")
    assert code == 0
    facts = dict(re.findall(r"^  (\S.*?)  +(.*)$", out, re.MULTILINE))
    assert facts["training images"] == "20"
    assert facts["test images"] == "10"
    assert facts["size"] == "8 x 6 pixels, 3 channels"
    assert facts["values"].startswith("10 to 239, ")
    assert facts["bytes"].startswith("4,320: on each device")
    assert re.fullmatch("[0-9a-f]{64}", facts["SHA-256"])
    assert facts["suits"].startswith("--model.likelihood gaussian")
    assert facts["picture"] == "data-a.npz.png: 20 training images"
    sheet = np.asarray(Image.open("data-a.npz.png"))
    # 7 times as large, in rows of 12, with gaps of 2.
    assert sheet.shape == (2 * (56 + 2) + 2, 12 * (42 + 2) + 2, 3)
    np.testing.assert_array_equal(sheet[2:58:7, 2:44:7], images[0])


@pytest.mark.parametrize(
    ("images", "suits"),
    [
        ([0, 255], "bernoulli --data.binarization threshold"),
        ([0, 0, 0, 3, 80, 250, 255, 255], "bernoulli --data.binarization dynamic"),
        ([0, 60, 120, 180], "gaussian --model.likelihood.learn_sigma True --data.binarization none"),
    ],
)
def test_the_likelihood_that_suits(tmp_path, monkeypatch, capsys, images, suits):
    monkeypatch.chdir(tmp_path)
    levels = np.tile(np.array(images, np.uint8), 8).reshape(-1, 2, 4)
    np.savez("a.npz", train=levels, test=levels)
    _, out, _ = shown(capsys, "a.npz", "--picture", "sub/a.png")
    assert f"--model.likelihood {suits}" in out
    assert (tmp_path / "sub" / "a.png").stat().st_size > 0
    assert "warning" not in out


def test_images_of_another_range_are_not_described_without_a_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("digits.npy", np.random.default_rng(0).integers(0, 17, (20, 8, 8)).astype(np.float64))
    assert re.search(r"warning +no pixel is above 16, where white is 255", shown(capsys, "digits.npy")[1])


def test_what_is_suggested_is_what_the_command_line_takes(tmp_path, monkeypatch, capsys):
    from jaxvae.commands.train import parse
    from jaxvae.config.validation import validate

    monkeypatch.chdir(tmp_path)
    for high in (255, 200):
        images = np.full((4, 2, 2), high, np.uint8)
        images[:, 0] = 0
        np.savez("a.npz", train=images, test=images)
        flags = re.search(r"suits +(--.*?) \(", shown(capsys, "a.npz")[1])
        assert flags
        command = parse(Path(__file__).parents[2] / "configs", ["--config", "mnist", *flags[1].split()])
        validate(command.experiment)


def test_mistakes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, out, err = shown(capsys, "nothing.npz")
    assert (code, out, err) == (2, "", "error: --data.name nothing.npz: there is no such file or folder\n")
    code, _, err = shown(capsys, "mnist", "--data.image_size", 0)
    assert (code, err) == (2, "error: --data.image_size 0 cannot work: it must be 1 or more, or None\n")
    code, _, err = shown(capsys)
    assert code == 2
    assert "usage: python -m jaxvae data NAME" in err
    np.save("a.npy", np.zeros((4, 2, 2), np.uint8))
    (tmp_path / "file").write_text("")
    code, _, err = shown(capsys, "a.npy", "--picture", "file/a.png")
    assert code == 2
    assert "--picture file/a.png cannot be written" in err


@pytest.mark.parametrize("name", ["mine.png", "a.npy", "folder", "pipe"])
def test_a_picture_replaces_nothing_but_a_picture_made_here(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(256, dtype=np.uint8).reshape(4, 8, 8))
    Image.new("RGB", (8, 8)).save("mine.png")
    Path("folder").mkdir()
    os.mkfifo("pipe")
    before = os.stat(name)
    code, _, err = shown(capsys, "a.npy", "--picture", name)
    what = "a folder" if name == "folder" else "there already, and no picture that jaxvae made"
    assert (code, f"--picture {name} is {what}: name another file" in err) == (2, True)
    after = os.stat(name)
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    Path("empty.png").touch()
    for _ in range(2):
        assert shown(capsys, "a.npy", "--picture", "empty.png")[0] == 0


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_any_number_of_channels_can_be_drawn(tmp_path, monkeypatch, capsys, channels):
    monkeypatch.chdir(tmp_path)
    images = np.full((4, 5, 5, channels), 90, np.uint8)
    np.savez("a.npz", train=images, test=images)
    assert shown(capsys, "a.npz", "--picture", "a.png")[0] == 0
    assert np.asarray(Image.open("a.png"))[10, 10].max() == 90


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_ends_it_without_a_trace_and_nothing_half_written_stays(tmp_path, name, code):
    (tmp_path / "many").mkdir()
    for number in range(3000):
        Image.new("RGB", (48, 48), (number % 256, 0, 0)).save(tmp_path / "many" / f"{number}.png")
    command = [sys.executable, "-m", "jaxvae", "data", "many"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, text=True, stdout=pipe, stderr=pipe)
    while not list(tmp_path.glob("many.jaxvae/*.partial")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(getattr(signal, name))
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (code, "")
    assert f"{name}: stopped." in err
    assert "Traceback" not in err
    assert not list(tmp_path.rglob("*.partial"))
    assert not list(tmp_path.glob("*.png"))


def test_what_a_library_swallows_is_raised_again():
    class Swallows:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    def wait():
        Swallows()
        for _ in range(1000):
            time.sleep(0.01)

    with pytest.raises(InterruptedRun, match="SIGTERM: stopped") as raised, interruptible():
        wait()
    assert raised.value.exit_code == 143


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("", 2, "usage: python -m jaxvae data NAME"),
        ("train", 2, "usage: python -m jaxvae data NAME"),
        ("--help", 0, "usage: python -m jaxvae data NAME"),
        ("data --help", 0, "--data.image_size"),
        ("data mnist --help", 0, "--picture"),
        ("data mnist --data.image_sise 3", 2, "--data.image_size"),
        (
            "data mnist --data.resize stretch",
            2,
            "--data.resize stretch does nothing with --data.image_size None",
        ),
        ("data mnist --data.image_size 9999999999", 2, "must be 2147483647 or less"),
        ("data mnist --picture=", 2, "--picture '' cannot work: it must be a path that is not empty"),
        ("data mnist --data.name=", 2, "--data.name '' cannot work: it must be text that is not empty"),
    ],
)
def test_how_it_may_be_called(tmp_path, monkeypatch, capsys, arguments, code, says):
    monkeypatch.chdir(tmp_path)
    try:
        ended = main_data(arguments.split())
    except SystemExit as exit_:
        ended = exit_.code
    said = capsys.readouterr()
    assert ended == code, said
    assert says in re.sub(r"[│╭╮╰╯─\s]+", " ", said.err if code else said.out)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_replaces_none_but_one_of_ours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("a.npy", np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    for name in ("data-a.npy.png", "cat.png"):
        Image.new("L", (4, 4)).save(name)
    (tmp_path / "lost.png").symlink_to("nowhere")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    for arguments, says in (
        ((), "--picture data-a.npy.png is there already, and no picture that jaxvae made: name another file"),
        (("--picture", "cat.png"), "--picture cat.png is there already"),
        (("--picture", "a.npy"), "--picture a.npy is there already"),
        (("--picture", "lost.png"), "--picture lost.png is there already"),
        (("--picture", "/dev/null"), "--picture /dev/null is there already"),
        (("--picture", "."), "--picture . is a folder: name another file"),
        (("--picture", "x" * 300), "cannot be written (File name too long)"),
    ):
        code, out, err = shown(capsys, "a.npy", *arguments)
        assert (code, out) == (2, "")
        assert says in err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before
    for _ in range(2):
        assert shown(capsys, "a.npy", "--picture", "ours.png")[0] == 0


def test_a_long_path_still_gives_its_picture_a_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / ("a" * 150) / ("b" * 150)
    folder.mkdir(parents=True)
    np.save(folder / "c.npy", np.arange(32, dtype=np.uint8).reshape(2, 4, 4))
    code, _, err = shown(capsys, folder / "c.npy")
    assert code == 0, err
    (picture,) = tmp_path.glob("*.png")
    assert picture.name.endswith("bbb-c.npy.png")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("none.npy",), "--data.name none.npy: there is no such file or folder"),
        (("mnist", "--data.background", "red"), "--data.background red is of no use with mnist"),
        (("mnist", "--picture", "."), "--picture . is a folder"),
    ],
)
def test_a_mistake_that_needs_no_jax_is_answered_without_it(tmp_path, arguments, says):
    program = (
        "import sys; from jaxvae.commands.data import main; "
        "print(main(['data', *sys.argv[1:]]), 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2 False\n"
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_two_names_are_one_too_many(capsys):
    code, _, err = shown(capsys, "mnist", "--data.name", "other.npy")
    assert code == 2
    assert "two sets are named, mnist and --data.name other.npy: give one" in err
