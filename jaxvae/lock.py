"""Is another process at work in this folder?"""

import contextlib
import errno
import fcntl
import json
import os
import platform
from pathlib import Path

from jaxvae.errors import UserError


class Lock:
    """Holds ``path`` until it is released or its process ends, however it ends.

    The operating system's lock on an open file (``flock``), not the file's presence: what a dead process
    left behind is in nobody's way. Where a file system has no locks, none is held.
    """

    def __init__(self, path: Path):
        """Raises UserError, with the holder's process and host, if another process has it."""
        self._path = path
        self.excludes = True
        """Whether others are kept out: not where there are no locks."""
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                os.close(self._descriptor)
                raise UserError(
                    f"{path.parent} is in use by {_holder(path)}: wait for it, stop it, or choose another "
                    "--workdir"
                ) from error
            except OSError as error:
                if error.errno not in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL):
                    raise
                self.excludes = False
            # The holder before may have removed the file between the opening and the locking.
            if _is_still(self._descriptor, path):
                break
            os.close(self._descriptor)
        os.truncate(self._descriptor, 0)
        os.write(
            self._descriptor, json.dumps({"process": os.getpid(), "host": platform.node()}).encode() + b"\n"
        )

    def release(self) -> None:
        """Lets the next process in, and removes the file."""
        with contextlib.suppress(OSError):
            if _is_still(self._descriptor, self._path):
                self._path.unlink()
        os.close(self._descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text())
        return f"process {holder['process']} on {holder['host']}"
    except (OSError, ValueError, LookupError, TypeError):
        return "another process"
