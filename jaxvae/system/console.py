"""What happens if standard output is closed or full? The command continues without it, silently; one whose
result is what it prints says afterwards that it was lost."""

import contextlib
import errno
import io
import os
import select
import sys
from typing import Any

from jaxvae.errors import RunError


def open_console() -> None:
    """Replaces standard input, output and error by streams that never fail.

    Once a write fails, because the reader is gone or the disk is full, that output and all later output are
    dropped. A character that the stream's encoding lacks is written as an escape. A stream that was closed
    when the process started is connected to the null device: otherwise the next file that is opened would get
    its descriptor, and output of libraries would be written into that file. Streams that a caller has
    substituted are left unchanged.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # ``open`` returns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0, closefd=False)  # noqa: SIM115
    sys.stdout = _lasting(sys.stdout, sys.__stdout__, 1)
    sys.stderr = _lasting(sys.stderr, sys.__stderr__, 2)


def check_output() -> None:
    """Raises RunError if standard output did not take all that was printed: for commands whose result that
    is. A reader that is gone, such as ``head``, wanted no more."""
    sys.stdout.flush()
    buffer: Any = getattr(sys.stdout, "buffer", None)
    error = getattr(getattr(buffer, "raw", buffer), "failed", None)
    if error is not None and error.errno != errno.EPIPE:
        raise RunError(f"not all of the result was written to standard output ({error.strerror})")


class _Lasting(io.FileIO):
    """A file descriptor that is redirected to the null device after the first failed write."""

    failed: OSError | None = None
    """Why a write failed."""

    def write(self, data, /) -> int:
        left = memoryview(data).cast("B")
        try:
            while left:
                written = super().write(left)
                if written is None:
                    # The descriptor was made non-blocking by someone else: wait until it accepts data.
                    select.select([], [self], [])
                left = left[written or 0 :]
        except OSError as error:
            self.failed = error
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
    # The stream has no buffer if PYTHONUNBUFFERED is set.
    is_buffered = isinstance(stream.buffer, io.BufferedWriter)
    return io.TextIOWrapper(
        io.BufferedWriter(raw) if is_buffered else raw,
        stream.encoding,
        "backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
