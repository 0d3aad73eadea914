"""Which programs did earlier processes compile? Kept in the user's cache folder, each in a file of its own.

A program's file is named by a digest of all that it depends on (``compiler``), so what another version,
processor or setting made is never found, and is at last the oldest.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import zlib
from pathlib import Path

from jaxvae.system.paths import users_folder

KEPT = 256
"""So many programs stay, those that were used last: tens of megabytes, some sixty experiments."""


class Cache:
    """Programs in ``folder`` by name, a SHA-256 in hexadecimal digits, for any number of processes at once.

    A file appears whole or not at all, and begins with the digest of the rest: a kill, a full disk or
    another process costs at worst that a program is compiled again. What cannot be written is not kept,
    and nobody is told.
    """

    def __init__(self, folder: Path, kept: int = KEPT):
        self.folder, self._kept = folder, kept

    def read(self, name: str) -> bytes | None:
        """What was written under this name, or None."""
        try:
            content = (self.folder / name).read_bytes()
            if hashlib.sha256(content[32:]).digest() != content[:32]:
                return None
            with contextlib.suppress(OSError):
                os.utime(self.folder / name)
            return zlib.decompress(content[32:])
        except (OSError, zlib.error):
            return None

    def write(self, name: str, content: bytes) -> None:
        """Keeps ``content``, and lets go of what was not used for longest."""
        packed = zlib.compress(content, 1)
        partial = None
        try:
            # Whoever can write here decides what this user's processes run.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(".partial", f"{name}-", self.folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(packed).digest() + packed)
            os.replace(partial, self.folder / name)
            files = (path for path in self.folder.iterdir() if _OURS.fullmatch(path.name))
            newest_first = sorted(files, key=lambda path: -path.stat().st_mtime_ns)
            for path in newest_first[self._kept :]:
                path.unlink()
        except OSError:
            # Also where another process removes the same old files at the same time.
            if partial is not None:
                Path(partial).unlink(missing_ok=True)


_OURS = re.compile(r"[0-9a-f]{64}(-\w+\.partial)?")
"""What files here are called: the folder may hold others', which are never removed."""


def users_cache() -> Cache | None:
    """The cache in the user's folder, if there is one."""
    folder = users_folder()
    return None if folder is None else Cache(folder)
