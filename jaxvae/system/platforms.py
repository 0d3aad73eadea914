"""What do operating systems do in different ways? Linux and macOS are supported; Windows through WSL."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from jaxvae.errors import UserError

NOT_HERE = "jaxvae runs on Linux and macOS; on Windows, install it inside WSL, the Linux that Windows can run"
LEAST_MEMORY = 2**33
"""Bytes of memory that a machine is taken to have if it does not say: too few is in nobody's way."""


def check() -> None:
    """Raises UserError where nothing of this can work."""
    try:
        import fcntl  # noqa: F401
    except ImportError as error:
        raise UserError(f"{NOT_HERE} ({error})") from error


def flush(path: Path) -> None:
    """Hands a file, or a folder's list of names, to the disk itself; raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush_open(descriptor)
    except OSError:
        # Some network file systems cannot do this for folders.
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def flush_open(descriptor: int) -> None:
    """The same for an open file."""
    if sys.platform == "darwin":
        # There ``fsync`` ends at the disk's own memory. Not every file system can do more.
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Makes an open file ``size`` bytes long if there is room for it; raises OSError if there is not.

    macOS cannot: there, what the file system says of its room must do.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    room = os.fstatvfs(descriptor)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_at(descriptor: int, target: memoryview, offset: int) -> int:
    """Fills ``target`` with the bytes of an open file from ``offset`` on; returns how many there were."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, (target,), offset)
    # macOS before 11.
    found = os.pread(descriptor, len(target), offset)
    target[: len(found)] = found
    return len(found)


def host_memory() -> int:
    """Bytes of memory that this machine, or the container that this process is in, has in all."""
    limits = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    # Of Linux alone.
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min((limit for limit in limits if limit > 0), default=LEAST_MEMORY)


def cores() -> int | None:
    """How many cores this process may use, as far as the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
