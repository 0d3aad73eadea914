"""Did a run come through? Starts it as a user would, waits for it, and compares what it left."""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jaxvae.runs.checkpoint import Checkpoints
from jaxvae.runs.checkpoint_manifest import verify
from jaxvae.system.platforms import cores

ROOT = Path(__file__).parents[2]
COMMON = (
    "--train.batch_size 64 --train.steps 1200 --train.log_every 50 --train.eval_every 300 "
    "--train.checkpoint_every 50 --train.devices 1 --eval.importance_samples 2 "
    "--eval.interim_importance_samples 1"
).split()
FLAGS = [*"--config mnist --model.architecture.hidden 32 --model.latent_dim 4".split(), *COMMON]
LADDER_FLAGS = [
    *("--config", "hvae_small", "--model.architecture.groups", "4x1 7x2", *COMMON),
    *"--model.architecture.channels 8 --model.architecture.blocks 1 --train.steps 400".split(),
    *"--objective.beta_warmup_steps 300 --optimizer.skip_norm 3".split(),
]
"""A hierarchy, with all that such a run remembers beside its weights."""
CLOCK = ("seconds", "examples_per_second", "data_wait")
LIMIT = 120.0
"""Seconds after which a process counts as hung; more where the machine is so slow that this is no sign."""
SPIN = """
import os, sys

while os.getppid() == int(sys.argv[1]):
    for _ in range(10**6):
        pass
"""
"""Keeps a core busy until the process that started it ends, however it ends."""


class Lost(Exception):
    """A run did not come through a fault; says how."""


@dataclasses.dataclass
class Outcome:
    """What came of one kind of fault."""

    fault: str
    compared: str = "state, metrics and pictures of the run's end"
    trials: int = 0
    survived: int = 0
    losses: list[str] = dataclasses.field(default_factory=list)

    @contextlib.contextmanager
    def trial(self) -> Iterator[None]:
        """Books a trial: survived, unless ``Lost`` is raised in it."""
        self.trials += 1
        try:
            yield
            self.survived += 1
        except Lost as lost:
            self.losses.append(str(lost))


class Bench:
    """A folder for the runs, and the run to which nothing happens."""

    def __init__(self, folder: Path, flags: Sequence[str] = FLAGS, seed: int = 0):
        self.folder, self.flags, self.random = folder, list(flags), random.Random(seed)

    def with_flags(self, *more: str) -> "Bench":
        """The same reference, but runs that have more flags, which must not change what comes out."""
        other = Bench(self.folder, [*self.flags, *more])
        other.random, other._undisturbed = self.random, self._undisturbed
        return other

    @functools.cached_property
    def _undisturbed(self) -> tuple[str, float]:
        started = time.monotonic()
        finished(self.start(self.folder / "reference"), 0, within=10 * LIMIT)
        seconds = time.monotonic() - started
        return fingerprint(self.folder / "reference"), seconds

    @property
    def reference(self) -> str:
        """Digest of the undisturbed run."""
        return self._undisturbed[0]

    @property
    def seconds(self) -> float:
        """How long the undisturbed run took."""
        return self._undisturbed[1]

    @property
    def limit(self) -> float:
        """Seconds after which a process counts as hung on this machine, beside what else runs there."""
        return max(LIMIT, 20 * self.seconds)

    def start(
        self, run: Path, *more: str, wrapper: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.Popen:
        """The command, as a process of its own."""
        program = [*wrapper, sys.executable, str(ROOT / "train.py")]
        command = [*program, *self.flags, "--workdir", str(run), *more]
        # As a user would run it, also from a strict test.
        strict = ("JAX_DEBUG_KEY_REUSE", "JAX_NUMPY_RANK_PROMOTION", "JAX_NUMPY_DTYPE_PROMOTION")
        env = {name: value for name, value in (env or os.environ).items() if name not in strict}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def finish(self, run: Path, *more: str) -> str:
        """Gives the command again until the end; raises Lost if the run is not the reference's."""
        output = finished(self.start(run, *more), 0, within=self.limit)
        if fingerprint(run) != self.reference:
            raise Lost(f"{run.name} ended with other bits")
        return output

    @functools.cached_property
    def half_done(self) -> Path:
        """A run that was stopped at some step in its middle, to copy from."""
        run = self.folder / "half-done"
        process = self.start(run)
        wait_for_checkpoint(process, run, 300)
        process.send_signal(signal.SIGTERM)
        finished(process, 143, within=10 * LIMIT)
        return run


@contextlib.contextmanager
def every_core_busy() -> Iterator[None]:
    """Inside, as many processes as there are cores do nothing but keep them busy, at normal priority."""
    spin = [sys.executable, "-S", "-c", SPIN, str(os.getpid())]
    processes = [subprocess.Popen(spin) for _ in range(cores() or 1)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def finished(process: subprocess.Popen, *codes: int, within: float = LIMIT) -> str:
    """Waits for a process and returns what it printed; raises Lost unless its code is one of ``codes``."""
    try:
        output = process.communicate(timeout=within)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise Lost(f"hung: {process.communicate()[0]}") from None
    if process.returncode not in codes:
        raise Lost(f"exit code {process.returncode}, not {codes}: {output}")
    return output


def wait_for_checkpoint(process: subprocess.Popen, run: Path, step: int) -> None:
    """Returns once a checkpoint of ``step`` or later is there; raises Lost if the process ends before."""
    deadline = time.monotonic() + 5 * LIMIT
    while max(saved(run), default=0) < step:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Lost(f"no checkpoint of step {step}: {process.communicate()[0]}")
        time.sleep(0.003)


def saved(run: Path) -> list[int]:
    """Steps of the checkpoints that a run has, ascending."""
    return Checkpoints(run / "checkpoints", 1).steps()


def fingerprint(run: Path) -> str:
    """Digest of the last state, the metrics without the clock's fields, and the pictures."""
    last = saved(run)[-1]
    digest = hashlib.sha256(verify(run / "checkpoints" / str(last), last).state.encode())
    lines = read_metrics(run)
    keys = [(line["step"], ["train", "validation", "test"].index(line["split"])) for line in lines]
    if keys != sorted(set(keys)):
        raise Lost(f"{run.name}: metrics.jsonl is not ascending, or has duplicates")
    for line in lines:
        digest.update(json.dumps({k: v for k, v in line.items() if k not in CLOCK}).encode())
    for picture in sorted((run / "images").iterdir()):
        digest.update(picture.name.encode() + picture.read_bytes())
    left = [path.name for path in run.rglob("*") if ".partial" in path.name or "-tmp" in path.name]
    if left or (run / "lock").exists():
        raise Lost(f"{run.name}: left behind {left}, lock {(run / 'lock').exists()}")
    return digest.hexdigest()


def read_metrics(run: Path) -> list[dict]:
    """The lines of ``metrics.jsonl``; raises Lost if it, config.json or summary.json is not whole."""
    try:
        for name in ("config.json", "summary.json"):
            if (run / name).exists():
                json.loads((run / name).read_text())
        if not (run / "metrics.jsonl").exists():
            return []
        return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    except ValueError as error:
        raise Lost(f"{run.name}: {error}") from error


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's content, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
