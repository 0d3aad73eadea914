"""Which output of libraries is suppressed? Orbax's warnings, and tracebacks of its threads."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

_log = logging.getLogger(__name__)


class _Tracebacks:
    """Suppresses the message "Event loop is closed" that Orbax's threads print after a failed write.

    C++ code raises the exception dozens of times, at any later moment, where no Python code can catch it. The
    tracebacks are sent to a logger at level DEBUG instead. Users are counted, nested and concurrent ones too:
    ``sys.unraisablehook`` is replaced for the first and restored after the last.
    """

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0

    def keep_back(self) -> None:
        """Starts suppressing; each call needs one call of ``show_again``."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                # Each access of a bound method makes a new object, and ``show_again`` compares identities.
                self._before, self._ours = sys.unraisablehook, self._heard
                sys.unraisablehook = self._ours

    def show_again(self) -> None:
        """Stops suppressing, unless other callers of ``keep_back`` remain."""
        with self._lock:
            self._users -= 1
            # A hook that was installed over this one may still call it, and is left to its owner.
            if self._users == 0 and sys.unraisablehook is self._ours:
                sys.unraisablehook = self._before

    def _heard(self, unraisable: Any) -> None:
        if self._users and str(unraisable.exc_value) == "Event loop is closed":
            _log.debug("kept back: %s", unraisable.err_msg or "unraisable", exc_info=unraisable.exc_value)
        else:
            self._before(unraisable)


tracebacks = _Tracebacks()


class _Warnings:
    """The same for absl's logger, to which Orbax writes warnings about intended behaviour."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0

    @contextlib.contextmanager
    def kept_back(self) -> Iterator[None]:
        """Inside, absl logs critical messages only."""
        logger = logging.getLogger("absl")
        with self._lock:
            self._users += 1
            if self._users == 1:
                self._before = logger.level
                logger.setLevel(logging.CRITICAL)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0:
                    logger.setLevel(self._before)


warnings = _Warnings()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, Orbax prints nothing."""
    tracebacks.keep_back()
    try:
        with warnings.kept_back():
            yield
    finally:
        tracebacks.show_again()
