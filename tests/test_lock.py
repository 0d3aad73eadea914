import os
import subprocess
import sys

import pytest

from jaxvae.errors import UserError
from jaxvae.lock import Lock

HOLD = """
import sys, time
from pathlib import Path
from jaxvae.lock import Lock

Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_one_at_a_time_and_the_holder_is_named(tmp_path):
    first = Lock(tmp_path / "lock")
    with pytest.raises(UserError, match=rf"in use by process {os.getpid()} on \S+: wait for it"):
        Lock(tmp_path / "lock")
    first.release()
    assert list(tmp_path.iterdir()) == []
    Lock(tmp_path / "lock").release()


def test_a_killed_holder_is_in_nobodys_way(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / "lock")], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline()
    with pytest.raises(UserError, match=f"in use by process {holder.pid}"):
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
