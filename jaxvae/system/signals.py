"""What happens on SIGINT (Ctrl-C), SIGTERM (the machine is taken away) and SIGHUP (the terminal is closed)?

They stop the process at once, except while ``deferring``: then the first signal is only recorded, so that
training can finish the call in flight and save, and the second stops the process at once. Stopping at any
moment is safe, because a run survives SIGKILL at any moment.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator

from jaxvae.errors import ReportedError


class InterruptedRun(ReportedError):
    """A signal ended the run; everything is saved."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.exit_code = 128 + number


class Signals:
    """Watches for the three signals while its context is open, in a thread of its own.

    If SIGHUP is ignored when the context is opened, as under ``nohup``, it stays ignored.

    Python runs a handler only between two instructions of the main thread, which may spend minutes inside a
    compiler or waiting for a device; and KeyboardInterrupt is raised in the middle of any code. Python's C
    handler, however, writes the signal's number to a pipe at once, and a thread reads that pipe.
    """

    def __init__(self, stopped: str = "The same command continues from the newest checkpoint.") -> None:
        """``stopped``: what is said after a signal has stopped the process at once."""
        self.asked: int | None = None
        """The signal that was received while ``deferring``, if any."""
        self._stopped = stopped
        self._deferring = False

    def __enter__(self) -> "Signals":
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._pipe_before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        hung_up = signal.getsignal(signal.SIGHUP)
        if hung_up is not signal.SIG_IGN:
            self._handlers[signal.SIGHUP] = hung_up
        self.install()
        threading.Thread(target=self._watch, daemon=True, name="signals").start()
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._pipe_before)
        os.close(self._write)

    def install(self) -> None:
        """Installs the handlers. To be called again after a library has installed its own."""
        for number in self._handlers:
            signal.signal(number, lambda *_: None)

    @contextlib.contextmanager
    def deferring(self) -> Iterator[None]:
        """Inside, the first signal is recorded in ``asked`` and otherwise ignored."""
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False

    def _watch(self) -> None:
        while received := os.read(self._read, 1):
            number = received[0]
            if number not in self._handlers:
                continue
            name = signal.Signals(number).name
            if self._deferring and self.asked is None:
                self.asked = number
                _say(f"{name}: ending the steps in flight and saving; once more stops at once.")
            else:
                _say(f"{name}: stopped at once. {self._stopped}")
                os._exit(128 + number)
        os.close(self._read)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and (unless it is ignored) SIGHUP raise an exception, so that half-written
    files are removed on the way out; the context then raises InterruptedRun."""

    timers: list[threading.Timer] = []

    def stop(number: int, _) -> None:
        raise KeyboardInterrupt(number)

    def raise_again(unraisable) -> None:
        # Python discards exceptions in some places, such as callbacks of the garbage collector. The signal is
        # then sent again a moment later.
        if not isinstance(unraisable.exc_value, KeyboardInterrupt):
            hook(unraisable)
            return
        timers.append(threading.Timer(0.01, os.kill, (os.getpid(), _number(unraisable.exc_value))))
        timers[-1].start()

    heard = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        heard.remove(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in heard}
    hook, sys.unraisablehook = sys.unraisablehook, raise_again
    try:
        yield
    except KeyboardInterrupt as interrupt:
        number = _number(interrupt)
        raise InterruptedRun(f"{signal.Signals(number).name}: stopped.", number) from None
    finally:
        sys.unraisablehook = hook
        for timer in timers:
            timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


def _number(interrupt: BaseException) -> int:
    return interrupt.args[0] if interrupt.args else signal.SIGINT


class NoSignals(Signals):
    """Does not watch for signals: for callers other than the command line."""

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *_) -> None:
        pass


def _say(line: str) -> None:
    # Errors are ignored, because after SIGHUP the terminal is gone.
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        # Written directly, because the main thread may hold the lock of Python's buffers.
        os.write(2, f"\n{line}\n".encode())
