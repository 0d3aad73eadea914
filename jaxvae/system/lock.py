"""Is another process using this folder?"""

import contextlib
import errno
import json
import os
import platform
from pathlib import Path
from typing import Any

from jaxvae.errors import UserError
from jaxvae.system.platforms import NOT_HERE

try:
    import fcntl
except ImportError as error:
    raise ImportError(f"{NOT_HERE} ({error})") from error


class InUseError(UserError):
    """Another process holds the lock."""


class Lock:
    """Holds ``path`` until it is released or its process ends, however it ends.

    This is the operating system's lock on an open file (``flock``). The presence of the file alone does not
    lock, so a file that a killed process left blocks nobody. On a file system without locks, none is held.

    The library filelock would replace the call of ``flock``, 25 of these lines. It takes any file for a lock,
    and is imported in 0.1 s, half the time in which a mistake in a command is answered.
    """

    def __init__(self, path: Path):
        """Raises InUseError, naming the holder's process and host, if another process holds the lock, and
        UserError if the file at ``path`` is not a lock file."""
        self._path = path
        self.excludes = True
        """Whether other processes are kept out; False on file systems without locks."""
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                if self._take():
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)
        os.truncate(self._descriptor, 0)
        os.write(
            self._descriptor, json.dumps({"process": os.getpid(), "host": platform.node()}).encode() + b"\n"
        )

    def _take(self) -> bool:
        """Whether the lock was acquired; False if its last holder removed the file after we opened it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InUseError(
                f"{self._path.parent} is in use by {_holder(self._path)}: wait for it, stop it, or choose "
                "another --workdir"
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL):
                raise
            self.excludes = False
        if not _is_still(self._descriptor, self._path):
            return False
        if not is_lock(self._path):
            raise UserError(f"{self._path} is a file of something else, and no lock: choose another folder")
        return True

    def release(self) -> None:
        """Lets the next process in, and removes the file."""
        with contextlib.suppress(OSError):
            if _is_still(self._descriptor, self._path):
                self._path.unlink()
        os.close(self._descriptor)


def is_lock(path: Path) -> bool:
    """Whether a ``Lock`` made this file: it is empty, or names a process and a host."""
    try:
        return path.is_file() and (path.stat().st_size == 0 or _read(path) is not None)
    except OSError:
        return False


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _holder(path: Path) -> str:
    holder = _read(path)
    return "another process" if holder is None else f"process {holder['process']} on {holder['host']}"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            holder = json.loads(file.read(4096))
        return holder if holder.keys() == {"process", "host"} else None
    except (OSError, ValueError, AttributeError, RecursionError):
        return None
