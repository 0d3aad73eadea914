"""How was the run's wall time spent, over all its processes?"""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from jaxvae.metrics import write_json

PARTS = ("setup", "compile", "train", "data_wait", "evaluate", "checkpoint_stall", "lost_to_restarts")
"""``train`` is what remains of training when waiting for images, evaluations and checkpoints is taken out;
``lost_to_restarts`` is work that was done, lost with its process, and done again."""
_REDONE = ("train", "data_wait", "evaluate", "checkpoint_stall")


class Goodput:
    """A ledger of seconds, written to ``path`` so that the next process carries it on.

    A process that is killed leaves what it wrote last, about a second before.
    """

    def __init__(self, path: Path | None, started: float):
        self._path, self._written = path, 0.0
        self._marked = started
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def continue_from(self, saved: dict[str, float], finished: bool = False) -> None:
        """Takes over the ledger of the processes before; ``saved`` is how it stood at the checkpoint.

        If the run was ``finished``, nothing that came after it is lost.
        """
        last = self._read()
        for part in PARTS:
            at_checkpoint = saved.get(part, 0.0)
            self.seconds[part] += max(last.get(part, 0.0), at_checkpoint)
            if part in _REDONE and not finished:
                lost = max(0.0, last.get(part, 0.0) - at_checkpoint)
                self.seconds[part] -= lost
                self.seconds["lost_to_restarts"] += lost

    def _read(self) -> dict[str, float]:
        try:
            read = json.loads(self._path.read_text()) if self._path is not None else {}
            return {part: float(read.get(part, 0.0)) for part in PARTS}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def until_now(self, part: str) -> None:
        """Books the time since the last booking."""
        now = time.perf_counter()
        self.seconds[part] += now - self._marked
        self._marked = now

    def move(self, seconds: float, source: str, target: str) -> None:
        """Books on ``target`` what was booked on ``source``."""
        self.seconds[source] -= seconds
        self.seconds[target] += seconds

    @contextlib.contextmanager
    def spending(self, part: str, otherwise: str = "train") -> Iterator[None]:
        """Books what is spent inside on ``part``, and what was spent before it on ``otherwise``."""
        self.until_now(otherwise)
        try:
            yield
        finally:
            self.until_now(part)

    def write(self, every: float = 0.0) -> None:
        """Writes the ledger, if the last time is ``every`` seconds ago."""
        if self._path is not None and time.perf_counter() - self._written >= every:
            self._written = time.perf_counter()
            write_json(self._path, self.seconds, durable=False)

    def summary(self) -> dict[str, float]:
        """``NAME_seconds`` of each part, their sum, and the share of it that was training."""
        wall = sum(self.seconds.values())
        parts = {f"{part}_seconds": seconds for part, seconds in self.seconds.items()}
        return {"wall_seconds": wall, **parts, "goodput": self.seconds["train"] / wall}
