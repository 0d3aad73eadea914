"""What do libraries print that is said here in one line? Orbax's warnings, and tracebacks of its threads."""

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

_log = logging.getLogger(__name__)


class _Tracebacks:
    """Keeps back tracebacks of a closed event loop, dozens of which Orbax's threads end in at any time after
    a failed write, where C++ raises them and nobody can catch them. A logger has them, at level DEBUG.

    However many ask for it, at once or one in another, it takes ``sys.unraisablehook`` once, and gives it
    back after the last.
    """

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0

    def keep_back(self) -> None:
        """From now on; ends with as many calls of ``show_again``."""
        with self._lock:
            self._users += 1
            if self._users == 1:
                # A bound method is another object each time that it is asked for.
                self._before, self._ours = sys.unraisablehook, self._heard
                sys.unraisablehook = self._ours

    def show_again(self) -> None:
        """Unless another asked too."""
        with self._lock:
            self._users -= 1
            # Who has put a hook of its own on top of this one may call it, and takes it away itself.
            if self._users == 0 and sys.unraisablehook is self._ours:
                sys.unraisablehook = self._before

    def _heard(self, unraisable: Any) -> None:
        if self._users and str(unraisable.exc_value) == "Event loop is closed":
            _log.debug("kept back: %s", unraisable.err_msg or "unraisable", exc_info=unraisable.exc_value)
        else:
            self._before(unraisable)


tracebacks = _Tracebacks()


class _Warnings:
    """The same for absl's logger, through which Orbax warns of what is as it should be."""

    def __init__(self) -> None:
        self._lock, self._users = threading.Lock(), 0

    @contextlib.contextmanager
    def kept_back(self) -> Iterator[None]:
        """Inside, absl says nothing but what is critical."""
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
    """Inside, Orbax says nothing."""
    tracebacks.keep_back()
    try:
        with warnings.kept_back():
            yield
    finally:
        tracebacks.show_again()
