"""Which programs did earlier processes compile? Each is a file in the user's cache folder.

The file's name is a digest of everything that the program depends on (``compilation.identify``). A program of
another version, processor or setting is therefore never found; it ages and is removed as one of the oldest.

JAX's own persistent cache starts a run as fast: 5.1 CPU seconds, and 5.2 with this one (medians of five, in
turn). But it writes in place and never replaces a file that exists: one that a kill cut short costs every
later start a compilation and a warning.
"""

import contextlib
import hashlib
import os
import re
import tempfile
import zlib
from pathlib import Path

from jaxvae.system.paths import users_folder

CAPACITY = 256
"""How many programs are kept, the most recently used: tens of megabytes, about sixty experiments."""


class Cache:
    """Programs in ``folder`` by name, a SHA-256 in hexadecimal digits. Several processes may use it at once.

    A file appears whole or not at all, and begins with the digest of the rest. The worst consequence of a
    kill, a full disk or another process is that a program is compiled again. Errors of writing are ignored.
    """

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        self.folder, self._capacity = folder, capacity

    def read(self, name: str) -> bytes | None:
        """The program that was written under this name, or None."""
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
        """Stores ``content``, and removes the least recently used programs beyond the limit."""
        packed = zlib.compress(content, 1)
        partial = None
        try:
            # Only the user may write here, because these files are executed by the user's processes.
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, partial = tempfile.mkstemp(".partial", f"{name}-", self.folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(hashlib.sha256(packed).digest() + packed)
            os.replace(partial, self.folder / name)
            files = (path for path in self.folder.iterdir() if _OURS.fullmatch(path.name))
            newest_first = sorted(files, key=lambda path: -path.stat().st_mtime_ns)
            for path in newest_first[self._capacity :]:
                path.unlink()
        except OSError:
            # This also happens if another process removes the same old files at the same time.
            if partial is not None:
                Path(partial).unlink(missing_ok=True)


_OURS = re.compile(r"[0-9a-f]{64}(-\w+\.partial)?")
"""Names of the cache's own files. Other files in the folder are never removed."""


def users_cache() -> Cache | None:
    """The cache in the user's folder; None if the user has none."""
    folder = users_folder()
    return None if folder is None else Cache(folder)
