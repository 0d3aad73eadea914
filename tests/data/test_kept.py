"""Images that were decoded once: found again, made again, whatever happened to the process that made them."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxvae.config import Data
from jaxvae.data import decoded_cache, packing
from jaxvae.data.load import load
from jaxvae.data.memory_map import digest_images
from jaxvae.errors import RunError, UserError
from jaxvae.system.lock import Lock

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number, image in enumerate(IMAGES):
        Image.fromarray(image).save(folder / f"{number:03}.png")
    return folder


@pytest.fixture
def decoded(monkeypatch):
    """The titles of the sources that were decoded, each time one is."""
    titles, pack = [], decoded_cache.pack

    def counted(source, *more):
        titles.append(source.title)
        pack(source, *more)

    monkeypatch.setattr(decoded_cache, "pack", counted)
    return titles


def test_images_are_decoded_once_for_each_way_to(photos, decoded):
    data = Data(name=str(photos))
    first, again = load(data), load(data)
    assert len(decoded) == 1
    np.testing.assert_array_equal(first.train, again.train)
    assert again.noted_digest == digest_images(first.train, first.test)
    small = load(Data(name=str(photos), image_size=4))
    assert small.train.shape[1:] == (4, 4, 3)
    for preprocessing in (Data(name=str(photos), binarization="none"), Data(name=str(photos), workers=9)):
        load(preprocessing)
    assert len(decoded) == 2


def test_other_content_is_other_images(photos, decoded):
    data = Data(name=str(photos))
    before = load(data).digest()
    Image.fromarray(255 - IMAGES[3]).save(photos / "003.png")
    assert load(data).digest() != before
    (photos / "003.png").rename(photos / "zzz.png")
    load(data)
    assert len(decoded) == 3
    # The same content again, though of another time, is what was decoded first.
    (photos / "zzz.png").unlink()
    Image.fromarray(IMAGES[3]).save(photos / "003.png")
    assert load(data).digest() == before
    # And a folder that moved with its arrays is the same too.
    moved = photos.with_name("moved")
    shutil.move(f"{photos}.jaxvae", f"{moved}.jaxvae")
    photos.rename(moved)
    assert load(Data(name=str(moved))).digest() == before
    assert len(decoded) == 3


def test_arrays_that_were_changed_are_made_again(photos, decoded):
    data = Data(name=str(photos))
    before = load(data)
    pixels = before.train.copy()
    (path,) = Path(f"{photos}.jaxvae").glob("*/train.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    again = load(data)
    assert len(decoded) == 2
    assert again.digest() == before.noted_digest == digest_images(again.train, again.test)
    np.testing.assert_array_equal(again.train, pixels)


def test_arrays_that_were_copied_are_read_once_and_not_made_again(photos, decoded, monkeypatch):
    data, folder = Data(name=str(photos)), Path(f"{photos}.jaxvae")
    before = load(data)
    shutil.copytree(folder, folder.with_suffix(".copy"))
    shutil.rmtree(folder)
    os.rename(folder.with_suffix(".copy"), folder)
    digests, digest = [], decoded_cache.digest_images
    monkeypatch.setattr(decoded_cache, "digest_images", lambda *arrays: digests.append(1) or digest(*arrays))
    assert [load(data).noted_digest for _ in range(2)] == [before.noted_digest] * 2
    assert (len(digests), len(decoded)) == (1, 1)


@pytest.mark.parametrize("name", ["train.npy", "test.npy", "images.json"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: os.truncate(path, 40)])
def test_arrays_that_are_not_whole_are_made_again(photos, decoded, name, damage):
    data = Data(name=str(photos))
    before = load(data).digest()
    (path,) = Path(f"{photos}.jaxvae").glob(f"*/{name}")
    damage(path)
    again = load(data)
    assert again.digest() == before == digest_images(again.train, again.test)
    assert len(decoded) == 2


def test_a_file_that_cannot_be_read_is_named_and_not_the_folder_to_keep_in(photos, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(decoded_cache, "_file_digest", refuse)
    with pytest.raises(UserError, match=r"photos/000\.png cannot be read \(Permission denied\)"):
        load(Data(name=str(photos)))
    assert not Path(f"{photos}.jaxvae").exists()


DECODE = """
import sys, time
from jaxvae.data.sources import decoding
from jaxvae.data.sources import files
from jaxvae.config import Data
from jaxvae.data.load import load
decode = decoding.decode
def slowly(*arguments):
    time.sleep(float(sys.argv[2]))
    return decode(*arguments)
files.decode = slowly
print("begins", flush=True)
print(load(Data(name=sys.argv[1])).digest())
"""


def decode_in_a_process(photos, seconds_each):
    return subprocess.Popen(
        [sys.executable, "-c", DECODE, str(photos), str(seconds_each)], stdout=subprocess.PIPE, text=True
    )


def wait_for(pattern, folder):
    for _ in range(3000):
        if any(folder.glob(pattern)):
            return
        time.sleep(0.01)
    raise AssertionError(f"no {pattern} in {folder}")


def test_a_process_that_was_killed_while_it_decoded_leaves_nothing_in_the_way(photos, decoded):
    folder = Path(f"{photos}.jaxvae")
    process = decode_in_a_process(photos, 5)
    wait_for("*.partial/train.npy", folder)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert list(folder.glob("*.partial"))
    dataset = load(Data(name=str(photos)))
    assert len(decoded) == 1
    assert len(dataset.train) + len(dataset.test) == 20
    assert sorted(path.suffix for path in folder.iterdir()) == ["", ".json"]


def test_processes_that_want_the_same_images_decode_them_once(photos):
    processes = [decode_in_a_process(photos, 0.05) for _ in range(3)]
    digests = {process.communicate()[0].split()[-1] for process in processes}
    assert all(process.returncode == 0 for process in processes)
    assert digests == {load(Data(name=str(photos))).digest()}
    assert len(list(Path(f"{photos}.jaxvae").glob("*/images.json"))) == 1
    assert not list(Path(f"{photos}.jaxvae").glob("*.partial"))


def test_where_there_are_no_locks_nobody_is_disturbed(photos, monkeypatch):
    folder = Path(f"{photos}.jaxvae")
    (folder / "of-another.partial").mkdir(parents=True)

    class NoLock(Lock):
        def __init__(self, path):
            super().__init__(path)
            self.excludes = False

    monkeypatch.setattr(decoded_cache, "Lock", NoLock)
    load(Data(name=str(photos)))
    assert (folder / "of-another.partial").is_dir()


def test_beside_what_cannot_be_written_the_users_cache_is_used(photos, tmp_path, monkeypatch):
    Path(f"{photos}.jaxvae").write_text("a file, so that no folder can have its name")
    monkeypatch.setenv("JAXVAE_CACHE_DIR", str(tmp_path / "cache"))
    dataset = load(Data(name=str(photos)))
    assert isinstance(dataset.train, np.memmap)
    assert dataset.train.filename is not None
    assert (tmp_path / "cache" / "images") in Path(dataset.train.filename).parents
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    (tmp_path / "cache").write_text("no folder either")
    with pytest.raises(RunError, match=r"can be kept nowhere: not in .*photos\.jaxvae \(.*, nor in .*images"):
        load(Data(name=str(photos)))


def test_a_disk_that_is_too_small_is_said_before_anything_is_decoded(photos, monkeypatch):
    monkeypatch.setenv("JAXVAE_CACHE_DIR", "")
    free = types.SimpleNamespace(free=20 * 6 * 5 * 3 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: free)
    monkeypatch.setattr(packing, "_write", None)
    with pytest.raises(RunError, match=r"photos\.jaxvae \(0\.0 GB are needed, and 0\.0 GB are free\)"):
        load(Data(name=str(photos)))
    assert not Path(f"{photos}.jaxvae").exists()


def test_an_error_leaves_nothing_and_hides_nothing(photos, decoded):
    load(Data(name=str(photos)))
    (photos / "020.png").write_text("not a picture")
    before = sorted(Path(f"{photos}.jaxvae").rglob("*"))
    with pytest.raises(UserError, match=r"020\.png cannot be read as an image"):
        load(Data(name=str(photos)))
    assert sorted(Path(f"{photos}.jaxvae").rglob("*")) == before


def test_the_current_folder_is_known_under_its_name_too(photos, decoded, monkeypatch):
    monkeypatch.chdir(photos)
    for name in (".", "./", "../photos", str(photos)):
        load(Data(name=name))
    assert len(decoded) == 1


def test_an_interrupt_leaves_nothing_half_written_at_any_moment(photos, monkeypatch):
    mkdir = Path.mkdir

    def interrupted(self, *more, **options):
        mkdir(self, *more, **options)
        if self.suffix == ".partial":
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "mkdir", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(Data(name=str(photos)))
    assert not Path(f"{photos}.jaxvae").exists()


@pytest.mark.parametrize("name", ["images.json", "content.json"])
@pytest.mark.parametrize(
    "foreign", ["", "[]", '{"a":' * 100_000, '{"files": {}, "digest": "x", "remarks": [], "left_out": {}}']
)
def test_a_note_of_something_else_is_written_again(photos, name, foreign):
    data = Data(name=str(photos))
    before = load(data)
    (path,) = Path(f"{photos}.jaxvae").rglob(name)
    path.write_text(foreign)
    again = load(data)
    assert (again.noted_digest, again.remarks) == (before.noted_digest, before.remarks)
    assert path.read_text() != foreign


def test_what_pillow_finds_odd_and_reads_is_not_spoken_of(photos):
    file = io.BytesIO()
    Image.fromarray(IMAGES[0]).save(file, "JPEG")
    jpeg = file.getvalue()
    odd = b"\xff\xe1\x00\x10Exif\0\0MM\0\x2a\xff\xff\xff\xff"
    (photos / "odd.jpg").write_bytes(jpeg[:2] + odd + jpeg[2:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load(Data(name=str(photos))).remarks == "Read 20 PNG and 1 JPEG."


def test_a_single_note_says_what_arrays_are_of(photos):
    load(Data(name=str(photos)))
    (path,) = Path(f"{photos}.jaxvae").glob("*/images.json")
    note = json.loads(path.read_text())
    assert note["source"] == f"{photos} (folder)"
    assert note["files"]["train.npy"][0] == path.with_name("train.npy").stat().st_size


def test_a_file_replaced_by_one_of_equal_size_and_time_is_read_again(photos):
    """Whether it was replaced by another or written anew in its place."""
    data = Data(name=str(photos))
    path, other = photos / "003.png", 255 - IMAGES[3]
    plain = {name: Image.fromarray(image) for name, image in (("old", IMAGES[3]), ("new", other))}
    plain["old"].save(path, "BMP")
    before, status = load(data), path.stat()
    for new in ("new", "old"):
        content = io.BytesIO()
        plain[new].save(content, "BMP")
        assert len(content.getvalue()) == status.st_size
        if new == "new":
            path.write_bytes(content.getvalue())
        else:
            (photos / "copy").write_bytes(content.getvalue())
            (photos / "copy").replace(path)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert path.stat().st_mtime_ns == status.st_mtime_ns
        assert (load(data).digest() == before.digest()) == (new == "old")


def test_arrays_changed_under_their_old_time_are_noticed(photos, decoded):
    data = Data(name=str(photos))
    before = load(data)
    (path,) = Path(f"{photos}.jaxvae").glob("*/test.npy")
    content, status = bytearray(path.read_bytes()), path.stat()
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert load(data).digest() == before.digest()
    assert len(decoded) == 2


@pytest.mark.parametrize("has_test", [False, True])
def test_what_cannot_be_read_is_left_out_and_the_rest_is_as_without_it(photos, decoded, has_test):
    if has_test:
        (photos / "train").mkdir()
        for path in photos.glob("*.png"):
            path.rename(photos / "train" / path.name)
        shutil.copytree(photos / "train", photos / "test")
    without = load(Data(name=str(photos)))
    top = photos / "train" if has_test else photos
    bad = {
        "000-empty.png": b"",
        "0005.png": b"version https://git-lfs.github.com/spec/v1",
        "007.jpg": (top / "007.png").read_bytes()[:60],
        "zzz.png": b"<html>",
    }
    for name, content in bad.items():
        (top / name).write_bytes(content)
    if has_test:
        (photos / "test" / "zzz.png").write_bytes(b"")
    (top / "dangling.png").symlink_to("nothing")
    os.mkfifo(top / "pipe.png")
    with pytest.raises(UserError, match=r"--data\.unreadable skip leaves out what cannot be read"):
        load(Data(name=str(photos)))
    for _ in range(2):
        dataset = load(Data(name=str(photos), unreadable="skip"))
        assert dataset.digest() == without.digest()
        read = 40 if has_test else 20
        assert dataset.remarks.startswith(f"Read {read} PNG; left out {6 + has_test} that cannot be read (")
        assert f"{top}/000-empty.png is empty" in dataset.remarks
        (note,) = (p for p in Path(f"{photos}.jaxvae").glob("*/images.json") if "empty" in p.read_text())
        assert f"all that were left out are in {note}" in dataset.remarks
        listed = set(json.loads(note.read_text())["left_out"])
        assert listed - {f"{photos}/test/zzz.png"} == {
            f"{top}/{name}" for name in (*bad, "dangling.png", "pipe.png")
        }
    assert len(decoded) == 2
    (top / "dangling.png").unlink()
    (top / "pipe.png").unlink()
    assert f"left out {4 + has_test} " in load(Data(name=str(photos), unreadable="skip")).remarks
    with pytest.raises(UserError, match=r"000-empty\.png is empty"):
        load(Data(name=str(photos)))


def test_where_nothing_can_be_read_that_is_said(photos):
    for path in photos.iterdir():
        path.write_bytes(b"")
    with pytest.raises(
        UserError, match=r"holds no images that can be read: 20 that cannot .*000\.png is empty"
    ):
        load(Data(name=str(photos), unreadable="skip"))
    assert not list(Path(f"{photos}.jaxvae").glob("*/images.json"))


def test_an_image_that_needs_an_option_is_not_unreadable(photos):
    Image.fromarray(IMAGES[0]).save(photos / "021.png", transparency=tuple(map(int, IMAGES[0, 0, 0])))
    with pytest.raises(UserError, match=r"021\.png is transparent in places"):
        load(Data(name=str(photos), unreadable="skip"))


def test_an_image_of_another_size_is_not_unreadable(photos):
    Image.fromarray(IMAGES[0][:3]).save(photos / "020.png")
    with pytest.raises(UserError, match=r"020\.png has 5 x 3 pixels"):
        load(Data(name=str(photos), unreadable="skip"))


def test_arrays_are_found_where_nothing_more_can_be_written(photos, decoded, monkeypatch):
    """As when whoever decoded them owns the folder."""
    load(Data(name=str(photos)))
    (photos / "000.png").touch()

    def denied(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(decoded_cache, "write_json", denied)
    monkeypatch.setattr(decoded_cache, "Lock", denied)
    load(Data(name=str(photos)))
    assert len(decoded) == 1


def test_nothing_is_imported_on_the_threads_that_decode(tmp_path):
    """An import of one thread can break one of another: every format is known before there are threads."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, form in enumerate(["PNG", "WEBP", "TIFF", "GIF", "PPM", "BMP", "JPEG"] * 3):
        Image.fromarray(IMAGES[0]).save(photos / f"{number}.png", form)
    (photos / "bad.png").write_bytes(b"of no format")
    program = """
import builtins, sys, threading
from jaxvae.config import Data
from jaxvae.data.load import load
real, imported = builtins.__import__, []
def watch(name, *more):
    before = set(sys.modules)
    module = real(name, *more)
    if threading.current_thread() is not threading.main_thread():
        imported.extend(set(sys.modules) - before)
    return module
builtins.__import__ = watch
load(Data(name=sys.argv[1], unreadable="skip"))
print(imported)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(photos)], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
