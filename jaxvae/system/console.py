"""What if nobody reads what is printed? The command goes on without its console, and quietly."""

import contextlib
import io
import os
import select
import sys
from typing import Any


def open_console() -> None:
    """Makes standard input, output and error such that using them never fails.

    What cannot be written, because the reader is gone or the disk full, is dropped from then on; a character
    that the stream's encoding lacks is written as an escape. A stream that was closed when the process began
    gives nothing and takes anything: otherwise the next file that is opened would have its number, and what
    libraries print would land in that. Streams that a caller has put in their place stay as they are.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number, which is this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _lasting(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__, 2)


class _Lasting(io.FileIO):
    """A file descriptor that, once it cannot be written, is that of the null device."""

    def write(self, data, /) -> int:
        left = memoryview(data).cast("B")
        with contextlib.suppress(OSError):
            while left:
                written = super().write(left)
                if written is None:
                    # Somebody made it a descriptor that does not wait.
                    select.select([], [self], [])
                left = left[written or 0 :]
        if left:
            with contextlib.suppress(OSError):
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self.fileno())
                os.close(null)
        return memoryview(data).nbytes


def _lasting(stream: Any, original: Any, descriptor: int) -> Any:
    if stream is not original:
        return stream
    raw = _Lasting(descriptor, "wb", closefd=False)
    if not isinstance(stream, io.TextIOWrapper):
        return io.TextIOWrapper(io.BufferedWriter(raw), "utf-8", "backslashreplace")
    with contextlib.suppress(OSError):
        stream.flush()
    # Without a buffer is what PYTHONUNBUFFERED asks for.
    is_buffered = isinstance(stream.buffer, io.BufferedWriter)
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else raw,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
