import os
import subprocess
import sys

import pytest

from jaxvae.errors import UserError
from jaxvae.system.lock import InUseError, Lock, is_lock

HOLD = """
import sys, time
from pathlib import Path
from jaxvae.system.lock import Lock

Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_one_at_a_time_and_the_holder_is_named(tmp_path):
    first = Lock(tmp_path / "lock")
    with pytest.raises(InUseError, match=rf"in use by process {os.getpid()} on \S+: wait for it"):
        Lock(tmp_path / "lock")
    first.release()
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path / "lock").release()


def test_a_killed_holder_is_in_nobodys_way(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline()
    with pytest.raises(InUseError, match=f"in use by process {holder.pid}"):
        Lock(tmp_path / "lock")
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert (tmp_path / "lock").exists()
    Lock(tmp_path / "lock").release()


def test_a_lock_whose_folder_was_moved_is_let_go_all_the_same(tmp_path):
    (tmp_path / "a").mkdir()
    lock = Lock(tmp_path / "a" / "lock")
    (tmp_path / "a").rename(tmp_path / "b")
    lock.release()
    Lock(tmp_path / "b" / "lock").release()


@pytest.mark.parametrize(
    "content",
    [b"mine", b"[]", b"{}", b"3", b"\xff", b'{"process": 3}', b'{"process": 1, "host": "a", "b": 2}', b" "],
)
def test_a_file_that_is_no_lock_is_refused_and_left_as_it_is(tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(UserError, match=r"lock is a file of something else, and no lock") as raised:
        Lock(tmp_path / "lock")
    assert not isinstance(raised.value, InUseError)
    assert not is_lock(tmp_path / "lock")
    assert (tmp_path / "lock").read_bytes() == content
    # Nobody holds it now.
    (tmp_path / "lock").write_bytes(b"")
    assert is_lock(tmp_path / "lock")
    Lock(tmp_path / "lock").release()


def test_a_folder_is_no_lock(tmp_path):
    (tmp_path / "lock").mkdir()
    assert not is_lock(tmp_path / "lock")
    assert not is_lock(tmp_path / "none")
