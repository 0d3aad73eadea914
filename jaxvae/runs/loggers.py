"""Where do a run's numbers and pictures go? To a list of loggers: files, the console, a user's own."""

import abc
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxvae.config import Config
from jaxvae.data.image_grid import write_grid
from jaxvae.runs.checkpoint import Checkpoints, WriteError
from jaxvae.runs.folder import Workdir
from jaxvae.runs.goodput import Goodput
from jaxvae.runs.metrics import MetricsFile
from jaxvae.runs.progress import Watcher


class Logger(abc.ABC):
    """Receives the numbers and pictures of a run while it trains, in ascending order of steps.

    Only the first process of a run calls it. Of one step come the training scalars, the scalars and the
    pictures of an evaluation, each where it is due, and then the checkpoint is written. A run that continues
    sends what comes after its checkpoint: nothing twice if it was stopped by a signal or had ended, but
    after a crash again, with the same values, the steps that no checkpoint holds; and a finished run sends
    its final evaluation again. So (step, split) and (step, name) are keys under which a later value replaces
    an earlier one. An OSError stops the run or is only printed, as ``train.write_errors`` says; whatever
    else is raised stops it.
    """

    @abc.abstractmethod
    def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Takes the numbers of a step, by name; ``split`` is train (means over the steps since the line
        before), test (an evaluation), or, with ``data.validation``, validation; test then comes once, at the
        end, and its ``test_step`` is the step of the checkpoint that was tested."""

    @abc.abstractmethod
    def images(
        self, step: int, name: str, grid: Float[np.ndarray, "image height width channel"], columns: int
    ) -> None:
        """Takes images, values in [0, 1], to be shown row by row, ``columns`` a row; ``name`` is samples or
        reconstructions (each test, or validation, image is followed by its reconstruction)."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends logging: called once, when training has ended or failed; not if the run was refused before
        anything was written."""


class JSONLines(Logger):
    """Scalars as lines of ``metrics.jsonl``."""

    def __init__(self, file: MetricsFile):
        self._file = file

    def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Appends a line, or replaces that of the same step and split."""
        self._file.append({"step": step, "split": split, **values})

    def images(
        self, step: int, name: str, grid: Float[np.ndarray, "image height width channel"], columns: int
    ) -> None:
        """Nothing: pictures are no lines."""

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Console(Logger):
    """Training scalars beside the progress bar, and a line for each evaluation."""

    def __init__(self, watcher: Watcher):
        self._watcher = watcher

    def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Shows the numbers."""
        if split == "train":
            self._watcher.training(values)
        else:
            self._watcher.evaluation(step, values, split)

    def images(
        self, step: int, name: str, grid: Float[np.ndarray, "image height width channel"], columns: int
    ) -> None:
        """Nothing: a terminal shows no pictures."""

    def close(self) -> None:
        """Ends the bar."""
        self._watcher.close()


class PNGFiles(Logger):
    """Pictures as ``NAME-STEP.png`` in a folder."""

    def __init__(self, folder: Path):
        self._folder = folder

    def scalars(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Nothing: numbers are no pictures."""

    def images(
        self, step: int, name: str, grid: Float[np.ndarray, "image height width channel"], columns: int
    ) -> None:
        """Writes one picture, or replaces it."""
        write_grid(self._folder / f"{name}-{step}.png", grid, columns)

    def close(self) -> None:
        """Nothing: each picture is a whole file."""


class Outputs(NamedTuple):
    """Where the first process writes; the others have only a ledger that is never read."""

    checkpoints: Checkpoints | None
    metrics: MetricsFile | None
    goodput: Goodput
    loggers: Sequence[Logger] = ()
    """In the order in which they are called: the first is that of ``metrics``."""
    record: dict[str, Any] | None = None
    """What every checkpoint remembers beside the state."""


@contextlib.contextmanager
def writing(config: Config, folder: Workdir, watcher: Watcher) -> Iterator[None]:
    """Inside, what cannot be written stops the run, or is only printed, as ``train.write_errors`` says."""
    try:
        yield
    except (OSError, WriteError) as error:
        if not isinstance(error, WriteError):
            reason = error.strerror or error
            error = WriteError(f"{error.filename or folder.path} cannot be written: {reason}")
        if config.train.write_errors == "stop":
            raise error from None
        watcher.say(f"Warning: {error}")
