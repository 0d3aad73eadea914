"""How does a contender run in a process of its own, and only when it is its turn?

    python -m benchmarks.rival.worker NAME SETTING SECONDS

Started by ``benchmarks.rivals``. So that nobody's threads are in anybody's way, a contender has its own
process and does nothing while it waits for a line on its standard input; each line is one turn of about
``SECONDS``. Answers are JSON lines on the standard output.
"""

import json
import os
import pickle
import sys
import time
from pathlib import Path

from benchmarks.rival.setting import OURS, RIVALS, Contender, Unavailable


class Turns:
    """A contender with as many steps as fill a turn."""

    def __init__(self, contender: Contender, seconds: float):
        self._contender = contender
        started = time.perf_counter()
        self._take(min(5, contender.longest_call), 1)
        self.first_seconds = time.perf_counter() - started
        """Of the first few steps, compilation included."""
        self._take(5, 1)
        step = self._take(5, 2) / 10
        self._steps = max(1, min(contender.longest_call, round(seconds / step)))
        self._calls = max(1, round(seconds / (self._steps * step)))
        self._take(self._steps, 1)

    def turn(self) -> tuple[int, float]:
        """Steps taken, and in how many seconds."""
        return self._steps * self._calls, self._take(self._steps, self._calls)

    def _take(self, steps: int, calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            self._contender.train(steps)
        self._contender.wait()
        return time.perf_counter() - started


def main(name: str, setting: str, seconds: str) -> None:
    """Builds the contender, then takes turns until the standard input ends."""
    # What a library prints must not come between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content) -> None:
        print(json.dumps(content), file=answers, flush=True)

    try:
        contender = {"ours": OURS, **RIVALS}[name].build(pickle.loads(Path(setting).read_bytes()))
    except Unavailable as reason:
        return answer(unavailable=str(reason))
    turns = Turns(contender, float(seconds))
    answer(first_seconds=turns.first_seconds, **getattr(contender, "whereabouts", {}))
    for _ in sys.stdin:
        steps, took = turns.turn()
        answer(steps=steps, seconds=took)
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
