"""Which checkpoint is the best so far, by its bound on validation images?

Every checkpoint records which one that is, so a run that continues goes on choosing as if it had never ended;
and none is the best that is not on the disk.
"""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jaxvae.errors import RunError
from jaxvae.runs.checkpoint_manifest import Best, DamagedError, verify


class Selection:
    """The candidates of a run so far, each better than the one before it."""

    def __init__(self, best: Best | None):
        """``best``: what the checkpoint that the run continues from has recorded."""
        self._found = [] if best is None else [best]

    def offer(self, step: int, nll: float, saved: Collection[int]) -> bool:
        """Whether a state is better than the best of the ``saved`` steps, and is to be saved; of two with
        the same bound, the earlier is the better."""
        best, nll = self.best(saved), float(nll)
        is_better = nll < best.nll if best is not None else math.isfinite(nll)
        if is_better:
            self._found.append(Best(step, nll))
        return is_better

    def best(self, saved: Collection[int]) -> Best | None:
        """The best of the ``saved`` steps: if the newest candidate could not be written, the one before."""
        return next((found for found in reversed(self._found) if found.step in saved), None)

    def record(self, saved: Collection[int]) -> dict[str, Any]:
        """What a checkpoint records of the best of the ``saved`` steps."""
        best = self.best(saved)
        return {} if best is None else {"best": best._asdict()}


def damage(checkpoints: Path, best: Best, is_finished: bool) -> dict[int, str]:
    """What is wrong with the best checkpoint's files, by its step; nothing if they are whole.

    Raises RunError if the run is finished: it cannot be tested again, nor find a better one.
    """
    try:
        verify(checkpoints / str(best.step), best.step)
    except DamagedError as error:
        if is_finished:
            raise lost(checkpoints, best.step, str(error)) from error
        return {best.step: f"{error}; it was the best so far, and the next evaluation begins anew"}
    return {}


def lost(checkpoints: Path, step: int, reason: str) -> RunError:
    """The error of a best checkpoint that cannot be tested any more."""
    return RunError(
        f"the checkpoint of step {step} in {checkpoints}, the best of this run, which is to be tested, is "
        f"damaged: {reason}. Nothing was changed. Put back a copy of it, or continue the run with more "
        "--train.steps"
    )
