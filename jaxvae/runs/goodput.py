"""How was the run's wall time spent, over all its processes?"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxvae.system.atomic_files import read_json, write_json

PARTS = ("setup", "compile", "train", "data_wait", "evaluate", "checkpoint_stall", "lost_to_restarts")
"""``train`` excludes waiting for images, evaluations and checkpoints. ``lost_to_restarts`` is work that was
lost when its process ended, and was done again."""
_REDONE = ("train", "data_wait", "evaluate", "checkpoint_stall")


class Goodput:
    """A ledger of seconds by part, written to ``path`` so that the next process of the run continues it.

    It is written about once a second, so a killed process loses about a second. ``clock`` returns seconds.
    """

    def __init__(self, path: Path | None, started: float, clock: Callable[[], float] = time.perf_counter):
        self._path, self._clock, self._written = path, clock, -math.inf
        self._marked = started
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self._secured: tuple[int, dict[str, float]] | None = None

    def continue_from(self, step: int, saved: dict[str, float]) -> None:
        """Adds the ledger of the earlier processes, for a run that continues from the checkpoint of ``step``.
        ``saved`` is the ledger at the time when that checkpoint was written.

        Time that was booked after that is counted as lost, unless all work was ``secured`` at that step.
        """
        last, secured = self._read()
        kept = secured[1] if secured is not None and secured[0] == step else saved
        # Work that was secured at a later step will be done again, so it is not secured any more.
        self._secured = secured if secured is not None and secured[0] <= step else None
        for part in PARTS:
            booked = max(last.get(part, 0.0), kept.get(part, 0.0))
            lost = booked - kept.get(part, 0.0) if part in _REDONE else 0.0
            self.seconds[part] += booked - lost
            self.seconds["lost_to_restarts"] += lost

    def secured(self, step: int) -> None:
        """Records that a process which continues from the checkpoint of ``step`` repeats none of the work
        booked so far."""
        self._secured = step, dict(self.seconds)

    def _read(self) -> tuple[dict[str, float], tuple[int, dict[str, float]] | None]:
        read = {} if self._path is None else read_json(self._path)
        try:
            secured = read.get("secured")
            return _seconds(read), secured and (int(secured["step"]), _seconds(secured["seconds"]))
        except (ValueError, OverflowError, LookupError, AttributeError, TypeError):
            return {}, None

    def until_now(self, part: str) -> None:
        """Adds the time since the last booking to ``part``."""
        now = self._clock()
        self.seconds[part] += now - self._marked
        self._marked = now

    def move(self, seconds: float, source: str, target: str) -> None:
        """Moves seconds that were booked on ``source`` to ``target``."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds

    @contextlib.contextmanager
    def spending(self, part: str, otherwise: str = "train") -> Iterator[None]:
        """Books the time inside on ``part``, and the time since the last booking on ``otherwise``."""
        self.until_now(otherwise)
        try:
            yield
        finally:
            self.until_now(part)

    def write(self, every: float = 0.0) -> None:
        """Writes the ledger if the last write was at least ``every`` seconds ago."""
        if self._path is not None and self._clock() - self._written >= every:
            self._written = self._clock()
            secured = self._secured and {"step": self._secured[0], "seconds": self._secured[1]}
            write_json(self._path, {**self.seconds, "secured": secured}, durable=False)

    def summary(self) -> dict[str, float]:
        """``NAME_seconds`` of each part, their sum, and the share of it that was training."""
        wall = sum(self.seconds.values())
        parts = {f"{part}_seconds": seconds for part, seconds in self.seconds.items()}
        return {"wall_seconds": wall, **parts, "goodput": self.seconds["train"] / wall}


def _seconds(read: dict[str, Any]) -> dict[str, float]:
    """The seconds of each part in a ledger that was read; raises ValueError if one is not finite."""
    found = {part: float(read.get(part, 0.0)) for part in PARTS}
    if not all(map(math.isfinite, found.values())):
        raise ValueError(found)
    return found
