"""What do operating systems do in different ways? Linux and macOS are supported; Windows through WSL."""

import contextlib
import errno
import os
import sys
from pathlib import Path

from jaxvae.errors import UserError

NOT_HERE = "jaxvae runs on Linux and macOS; on Windows, install it inside WSL, the Linux that Windows can run"
LEAST_MEMORY = 2**33
"""Bytes of memory assumed where the system does not report any. A low guess is safe: images are then
streamed earlier than necessary."""


def check() -> None:
    """Raises UserError on an operating system that is not supported."""
    try:
        import fcntl  # noqa: F401
    except ImportError as error:
        raise UserError(f"{NOT_HERE} ({error})") from error


def flush(path: Path) -> None:
    """Flushes a file, or the entries of a folder, to the disk (``fsync``); raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        flush_open(descriptor)
    except OSError:
        # Some network file systems cannot flush folders.
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def flush_open(descriptor: int) -> None:
    """The same for an open file."""
    if sys.platform == "darwin":
        # On macOS, ``fsync`` only reaches the disk's own cache. Not every file system supports F_FULLFSYNC.
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def reserve(descriptor: int, size: int) -> None:
    """Makes an open file ``size`` bytes long; raises OSError if the disk has not enough free space.

    macOS cannot reserve space, so only the free space that the file system reports is checked there.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)
        return
    room = os.fstatvfs(descriptor)
    if room.f_bavail * room.f_frsize < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_at(descriptor: int, target: memoryview, offset: int) -> int:
    """Reads bytes of an open file from ``offset`` into ``target``; returns how many were read."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, (target,), offset)
    # macOS before version 11 has no ``preadv``.
    found = os.pread(descriptor, len(target), offset)
    target[: len(found)] = found
    return len(found)


def host_memory() -> int:
    """Bytes of memory of this machine, or of the container in which this process runs."""
    limits = []
    with contextlib.suppress(AttributeError, OSError, ValueError):
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    # The limits of a container, on Linux.
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(path).read_text()))
    return min((limit for limit in limits if limit > 0), default=LEAST_MEMORY)


def cores() -> int | None:
    """How many cores this process may use; None if the system does not report it."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
