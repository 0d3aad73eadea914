"""How does a contender get a process of its own, and its turn?"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import tables
from benchmarks.rival.quiet import LIMIT

TRIES = 5
"""How often a turn is taken at most until nobody is in the way."""


class Turn(NamedTuple):
    """What a contender did when it was its turn."""

    rate: float
    """Steps a second."""
    others: float
    """The share of the CPUs that other programs had meanwhile."""


class Lost(Exception):
    """Why a contender does not take part, or no longer."""


class Worker:
    """A contender in its own process (``benchmarks.rival.worker``)."""

    def __init__(self, name: str, setting: Path, seconds: float):
        self.name = name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        # Several JAX processes share a GPU here: none may take its memory for itself.
        environment = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false", **os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.rival.worker", name, str(setting), str(seconds)],
            cwd=tables.ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        try:
            self.facts = self._answer()
            """What it says of itself when it is ready."""
        except Lost:
            self.close()
            raise

    def turn(self) -> Turn:
        """A turn in which no other program was in the way; after a few tries, the one in which least was."""
        taken = []
        while not taken or (taken[-1].others > LIMIT and len(taken) < TRIES):
            taken.append(self._turn())
        return min(taken, key=lambda turn: turn.others)

    def _turn(self) -> Turn:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = self._answer()
        return Turn(answer["steps"] / answer["seconds"], answer["others"])

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._log.seek(0)
            said = self._log.read().decode(errors="replace").strip().splitlines()
            raise Lost(f"{self.name} failed: " + "\n".join(said[-15:]))
        answer = json.loads(line)
        if "unavailable" in answer:
            raise Lost(f"{self.name}: {answer['unavailable']}")
        return answer
