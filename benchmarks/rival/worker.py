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

from benchmarks.rival.quiet import cpu_seconds, others
from benchmarks.rival.setting import OURS, RIVALS, Contender, Unavailable


class Turns:
    """A contender with as many steps as fill a turn."""

    def __init__(self, contender: Contender, seconds: float):
        self._contender, self._seconds = contender, seconds
        started = time.perf_counter()
        few = min(5, contender.longest_call)
        self._take(few, 1)
        self.first_seconds = time.perf_counter() - started
        """Of the first few steps, compilation included."""
        step = min(self._take(few, 2) for _ in range(2)) / (2 * few)
        self._steps = max(1, min(contender.longest_call, round(seconds / step)))
        self._calls = max(1, round(seconds / (self._steps * step)))
        self._take(self._steps, 1)

    def turn(self) -> dict[str, float]:
        """Steps taken, in how many seconds, and the share of the CPUs that others had meanwhile."""
        while True:
            everybody, own = cpu_seconds(), time.process_time()
            seconds = self._take(self._steps, self._calls)
            own, everybody = time.process_time() - own, cpu_seconds() - everybody
            if seconds > self._seconds / 2:
                break
            # Something was in the way when its speed was first measured.
            self._calls *= 2
        return {
            "steps": self._steps * self._calls,
            "seconds": seconds,
            "others": others(everybody, own, seconds),
        }

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
        answer(**turns.turn())
    return None


if __name__ == "__main__":
    main(*sys.argv[1:])
