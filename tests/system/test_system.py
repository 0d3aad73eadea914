"""What one system lacks is taken away here, and done without."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxvae.data import memory_map, placement
from jaxvae.data.load import Dataset
from jaxvae.errors import UserError
from jaxvae.runs.checkpoint import Checkpoints, WriteError
from jaxvae.system import platforms
from tests.runs.test_checkpoint import make_state

ROOT = Path(__file__).parents[2]


def test_room_is_made_or_refused(tmp_path):
    with (tmp_path / "a").open("wb") as file:
        platforms.reserve(file.fileno(), 10_000)
        assert (tmp_path / "a").stat().st_size == 10_000
        with pytest.raises(OSError, match=r"No space left|too large") as raised:
            platforms.reserve(file.fileno(), 2**60)
    assert raised.value.errno in (errno.ENOSPC, errno.EFBIG)


def test_without_posix_fallocate_the_file_system_is_asked(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    with (tmp_path / "a").open("wb") as file:
        platforms.reserve(file.fileno(), 10_000)
        with pytest.raises(OSError, match="No space left") as raised:
            platforms.reserve(file.fileno(), 2**62)
    assert raised.value.errno == errno.ENOSPC


@pytest.mark.parametrize("room", [10**9, 100])
def test_checkpoints_are_saved_without_posix_fallocate_where_there_is_room(tmp_path, monkeypatch, room):
    monkeypatch.delattr(os, "posix_fallocate")
    status = os.statvfs_result((1, 1, room, room, room, *range(5)))
    monkeypatch.setattr(os, "fstatvfs", lambda _: status)
    checkpoints = Checkpoints(tmp_path, 3)
    checkpoints.save(1, make_state(1), {})
    if room == 100:
        with pytest.raises(WriteError, match="No space left on device"):
            checkpoints.wait()
    else:
        checkpoints.wait()
    checkpoints.close()
    assert checkpoints.steps() == [1] * (room > 100)


def test_without_preadv_the_same_bytes_are_read(tmp_path, monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (50, 4, 3, 2), np.uint8)
    np.save(tmp_path / "a.npy", images)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    monkeypatch.delattr(os, "preadv")
    np.testing.assert_array_equal(
        memory_map.gather(mapped, np.array([[3, 49], [0, 7]])), images[[[3, 49], [0, 7]]]
    )
    with (tmp_path / "a.npy").open("r+b") as file:
        file.truncate(300)
    with pytest.raises(Exception, match=r"a\.npy is shorter than it was"):
        memory_map.gather(mapped, np.array([0, 49]))


@pytest.mark.parametrize("error", [ValueError, OSError, AttributeError])
def test_where_the_size_of_memory_is_not_told_there_is_a_little(monkeypatch, error):
    assert platforms.host_memory() > 0

    def lacks(name):
        raise error(name)

    monkeypatch.setattr(os, "sysconf", lacks)
    monkeypatch.setattr(Path, "read_text", lambda self: lacks(self) if error is not OSError else "max\n")
    if error is AttributeError:
        monkeypatch.delattr(os, "sysconf")
        monkeypatch.setattr(Path, "read_text", lambda self: "max\n")
    assert platforms.host_memory() == platforms.LEAST_MEMORY
    monkeypatch.setattr(Path, "read_text", lambda self: "12345\n")
    assert platforms.host_memory() == 12345
    images = np.zeros((2, 1, 1, 1), np.uint8)
    assert not placement.choose_places("auto", Dataset(images, images), pytest.importorskip("jax").devices())[
        0
    ]


def test_a_disk_is_told_to_write_through_its_own_memory_where_fsync_does_not(tmp_path, monkeypatch):
    import fcntl

    (tmp_path / "a").write_text("x")
    calls = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    platforms.flush(tmp_path / "a")
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda descriptor, command: calls.append(command))
    platforms.flush(tmp_path / "a")
    assert calls == ["fsync", 51]

    def cannot(descriptor, command):
        raise OSError(errno.ENOTSUP, "not here")

    monkeypatch.setattr(fcntl, "fcntl", cannot)
    platforms.flush(tmp_path / "a")
    assert calls == ["fsync", 51, "fsync"]


def test_cores_are_counted_where_none_can_be_asked_for(monkeypatch):
    assert platforms.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert platforms.cores() == os.cpu_count()


# As on Windows: there is no such module.
WINDOWS = """
import sys
from pathlib import Path

sys.modules["fcntl"] = None
from jaxvae.commands.data import main as main_data
from jaxvae.commands.train import main

if sys.argv[1] == "import":
    import jaxvae

    jaxvae.load_model("runs/mnist")
sys.argv[0] = "train.py"
sys.exit(main(Path("configs")) if sys.argv[1] == "--config" else main_data())
"""


@pytest.mark.parametrize("arguments", [("--config", "mnist"), ("data", "mnist"), ("import",)])
def test_on_windows_it_says_where_it_runs(arguments):
    done = subprocess.run(
        [sys.executable, "-c", WINDOWS, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = done.stderr.splitlines()[-1]
    assert "jaxvae runs on Linux and macOS; on Windows, install it inside WSL" in said
    if arguments != ("import",):
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fcntl", None)
        with pytest.raises(UserError, match="inside WSL"):
            platforms.check()
