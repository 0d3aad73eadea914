"""Does a run survive what can happen to it? Faults are made, for real, and what comes out is compared.

    python -m benchmarks.faults [--faults kill flip ...] [--share 1.0] [--seed 0]

Each row is a kind of fault: how many times it was made, how many times the run came through, and what was
compared. A run comes through if, after the same command was given again as often as it took, its digest is
that of a run that nothing happened to: the arrays of the last state, every line of metrics but the clock's
fields, and every picture, byte for byte. About an hour on two cores; ``--share 0.1`` makes a tenth of
the trials.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, get_args

os.environ.setdefault("JAX_PLATFORMS", "cpu")
# Eight simulated devices for the crossings; the processes that are started use one.
if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxvae.step
from benchmarks.throughput import device_name
from jaxvae import order
from jaxvae.checkpoint import Checkpoints, Restored
from jaxvae.config import Config, Eval, Model, Train
from jaxvae.data import load
from jaxvae.fit import fit
from jaxvae.manifest import verify
from jaxvae.replay import NonFiniteError
from jaxvae.untrained import untrained_state
from jaxvae.workdir import Workdir

ROOT = Path(__file__).parents[1]
FLAGS = (
    "--config mnist --model.hidden 32 --model.latent_dim 4 --train.batch_size 64 "
    "--train.steps 1200 --train.log_every 50 --train.eval_every 300 --train.checkpoint_every 50 "
    "--train.devices 1 --eval.importance_samples 2 --eval.interim_importance_samples 1"
).split()
CLOCK = ("seconds", "examples_per_second")
LIMIT = 120.0
"""Seconds after which a process counts as hung."""


class Lost(Exception):
    """A run did not come through a fault; says how."""


@dataclasses.dataclass
class Row:
    """What came of one kind of fault."""

    fault: str
    trials: int = 0
    survived: int = 0
    compared: str = ""
    losses: list[str] = dataclasses.field(default_factory=list)

    def survive(self, trial: Callable[[], None], count: int = 1) -> None:
        """Makes a trial (or several in one), and books whether it raised ``Lost``."""
        self.trials += count
        try:
            trial()
            self.survived += count
        except Lost as lost:
            self.losses.append(str(lost))


class Bench:
    """A folder for the runs, and the run to which nothing happens."""

    def __init__(self, folder: Path, flags: Sequence[str] = FLAGS, seed: int = 0):
        self.folder, self.flags, self.random = folder, list(flags), random.Random(seed)

    @functools.cached_property
    def reference(self) -> str:
        """Digest of the undisturbed run; making it also measures ``self.seconds``."""
        started = time.monotonic()
        done = self.start(self.folder / "reference")
        finished(done, 0)
        self.seconds = time.monotonic() - started
        return fingerprint(self.folder / "reference")

    def start(
        self, run: Path, *more: str, wrapper: Sequence[str] = (), env: Mapping[str, str] | None = None
    ) -> subprocess.Popen:
        """The command, as a process of its own."""
        command = [
            *wrapper,
            sys.executable,
            str(ROOT / "train.py"),
            *self.flags,
            "--workdir",
            str(run),
            *more,
        ]
        # As a user would run it, also from a strict test.
        strict = ("JAX_DEBUG_KEY_REUSE", "JAX_NUMPY_RANK_PROMOTION", "JAX_NUMPY_DTYPE_PROMOTION")
        env = {name: value for name, value in (env or os.environ).items() if name not in strict}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)

    def finish(self, run: Path, *more: str) -> str:
        """Gives the command again until the end; raises Lost if the run is not the reference's."""
        output = finished(self.start(run, *more), 0)
        if fingerprint(run) != self.reference:
            raise Lost(f"{run.name} ended with other bits")
        return output

    def half_done(self) -> Path:
        """A run that was stopped at some step in its middle, to copy from."""
        run = self.folder / "half-done"
        if not run.exists():
            process = self.start(run)
            wait_for_checkpoint(process, run, 300)
            process.send_signal(signal.SIGTERM)
            finished(process, 143)
        return run


def finished(process: subprocess.Popen, *codes: int, within: float = LIMIT) -> str:
    """Waits for a process and returns what it printed; raises Lost unless its code is one of ``codes``."""
    try:
        output = process.communicate(timeout=within)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise Lost(f"hung: {process.communicate()[0][-500:]}") from None
    if process.returncode not in codes:
        raise Lost(f"exit code {process.returncode}, not {codes}: {output[-2000:]}")
    return output


def wait_for_checkpoint(process: subprocess.Popen, run: Path, step: int) -> None:
    """Returns once a checkpoint of ``step`` or later is there; raises Lost if the process ends before."""
    deadline = time.monotonic() + LIMIT
    while max(Checkpoints(run / "checkpoints", 1).steps(), default=0) < step:
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise Lost(f"no checkpoint of step {step}: {process.communicate()[0][-2000:]}")
        time.sleep(0.003)


def fingerprint(run: Path) -> str:
    """Digest of the last state, the metrics without the clock's fields, and the pictures."""
    steps = Checkpoints(run / "checkpoints", 1).steps()
    last = verify(run / "checkpoints" / str(steps[-1]), steps[-1])
    digest = hashlib.sha256(last.state.encode())
    lines = read_metrics(run)
    keys = [(line["step"], line["split"] != "train") for line in lines]
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


# --- the process is ended ------------------------------------------------------------------------------


def interrupted(bench: Bench, fault: str, trials: int, *numbers: signal.Signals) -> Row:
    """Ends the process by the signals in turn, at moments drawn uniformly over the time a whole run takes."""
    row = Row(fault, compared="state, metrics and pictures of the run's end")
    assert bench.reference
    while row.trials + len(row.losses) < trials or row.trials == 0:
        run, count, gone = bench.folder / f"{fault}-{row.trials}", 0, False

        def through(run=run) -> None:
            nonlocal count, gone
            while not gone and row.trials + count < trials:
                process = bench.start(run)
                try:
                    output = process.communicate(timeout=bench.random.uniform(0, bench.seconds))[0]
                    gone = True
                    if process.returncode != 0:
                        raise Lost(output[-2000:])
                except subprocess.TimeoutExpired:
                    number = numbers[count % len(numbers)]
                    code = -number if number == signal.SIGKILL else 128 + number
                    process.send_signal(number)
                    count += 1
                    output = finished(process, code, 0)
                    if "Traceback" in output:
                        raise Lost(output[-2000:]) from None
                    if "Stopped at step" in output:
                        step = output.split("Stopped at step ")[1].split()[0]
                        if not (run / "checkpoints" / step).exists():
                            raise Lost(f"step {step} is named but not saved") from None
                read_metrics(run)
            bench.finish(run)

        try:
            through()
            row.survived += count
        except Lost as lost:
            row.losses.append(str(lost))
        row.trials += count
        shutil.rmtree(run, ignore_errors=True)
    return row


# --- files change --------------------------------------------------------------------------------------


def flip(path: Path, chance: random.Random) -> None:
    """Changes one byte at a random offset."""
    content = bytearray(path.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    path.write_bytes(content)


def truncate(path: Path, chance: random.Random) -> None:
    """Cuts a file short at a random offset."""
    path.write_bytes(path.read_bytes()[: chance.randrange(path.stat().st_size)])


def delete(path: Path, chance: random.Random) -> None:
    """Removes a file."""
    path.unlink()


def damaged(bench: Bench, fault: str, damage: Callable, trials: int, continued: int) -> Row:
    """Damages each file of the newest checkpoint in turn, and reads; ``continued`` of the trials also train
    on to the end."""
    row = Row(fault, compared=f"the restored state; to the run's end {continued} times")
    half = bench.half_done()
    older, newest = Checkpoints(half / "checkpoints", 9).steps()[-2:]
    config = Workdir(half).previous()
    assert config is not None
    like = jax.device_get(untrained_state(config, load(config.data).train))
    good = Checkpoints(half / "checkpoints", 9).read(like, until=older)
    assert good is not None
    copy = bench.folder / fault.replace(" ", "-")
    for trial in range(trials):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(half, copy)
        checkpoint = copy / "checkpoints" / str(newest)
        files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size)
        victim = files[trial % len(files)]
        damage(victim, bench.random)

        def detected(victim=victim, checkpoint=checkpoint, trial=trial) -> None:
            found = Checkpoints(copy / "checkpoints", 9).read(like)
            name = victim.relative_to(checkpoint).as_posix()
            if found is None or found.manifest.step != older or name not in found.damaged.get(newest, ""):
                raise Lost(f"{name}: read {found and (found.manifest.step, found.damaged)}")
            if found.manifest.state != good.manifest.state:
                raise Lost(f"{name}: another state was restored")
            if trial < continued:
                output = bench.finish(copy)
                if f"the checkpoint of step {newest} is damaged: {name}" not in output:
                    raise Lost(f"{name}: not said: {output}")

        row.survive(detected)
    shutil.rmtree(copy, ignore_errors=True)
    return row


def all_damaged(bench: Bench) -> Row:
    """Damages every checkpoint: refused with the reasons, and nothing is overwritten."""
    row = Row("every checkpoint damaged", compared="the folder before and after")
    copy = bench.folder / "all-damaged"
    shutil.copytree(bench.half_done(), copy)
    for step in Checkpoints(copy / "checkpoints", 9).steps():
        flip(copy / "checkpoints" / str(step) / "default" / "_METADATA", bench.random)

    def refused() -> None:
        before = tree(copy)
        output = finished(bench.start(copy), 1)
        if tree(copy) != before or "every checkpoint in" not in output:
            raise Lost(output)

    row.survive(refused)
    return row


def tree(folder: Path) -> dict[str, bytes]:
    """Every file's content, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the disk ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def small_disk(megabytes: int) -> Iterator[Path | None]:
    """A file system of its own in memory, or None where one may not be mounted."""
    folder = Path(tempfile.mkdtemp())
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    mounted = sys.platform == "linux" and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=True)
        folder.rmdir()


def disk_trouble(bench: Bench, fault: str, trials: int, break_it, mend, said: str) -> Row:
    """Breaks the disk while a run trains on it; it must stop with code 1, keep what it had, and go on once
    the disk is mended."""
    row = Row(fault, compared="state, metrics and pictures of the run's end")
    for trial in range(trials):
        with small_disk(24) as disk:
            if disk is None:
                row.compared = "not run: no file system may be mounted here"
                return row
            run = disk / "run"

            def through(disk=disk, run=run, trial=trial) -> None:
                process = bench.start(run)
                try:
                    wait_for_checkpoint(process, run, 100 + 100 * trial)
                    break_it(disk)
                    broken = time.monotonic()
                    output = finished(process, 1)
                    if said not in output or "Traceback" in output or "runs" in output.split("error:")[0]:
                        raise Lost(f"said {output}")
                    if time.monotonic() - broken > 30:
                        raise Lost("took more than 30 s to say so")
                finally:
                    mend(disk)
                newest = f"step {Checkpoints(run / 'checkpoints', 9).steps()[-1]} is the newest there"
                if "is the newest there" in output and newest not in output:
                    raise Lost(f"not {newest}: {output}")
                bench.finish(run)

            row.survive(through)
    return row


def fill(disk: Path) -> None:
    """Leaves no room for a checkpoint."""
    with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


def remount(disk: Path, mode: str) -> None:
    """Makes a mounted file system read-only (ro) or writable (rw)."""
    # Read-only is refused while a file is open for writing, unless it is bind-mounted so.
    if mode == "ro":
        subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)
    else:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def file_size_limit(bench: Bench) -> Row:
    """No file may grow beyond 16 blocks, less than a checkpoint needs: works without a disk of its own."""
    row = Row("file-size limit", compared="state, metrics and pictures of the run's end")
    run = bench.folder / "limited"

    def through() -> None:
        output = finished(bench.start(run, wrapper=("sh", "-c", 'ulimit -f 16; exec "$@"', "sh")), 1)
        if "could not be saved" not in output or "Traceback" in output:
            raise Lost(output)
        if Checkpoints(run / "checkpoints", 1).steps():
            raise Lost("a step is named that was not saved")
        bench.finish(run)

    row.survive(through)
    return row


# --- numbers that are not finite -----------------------------------------------------------------------


SMALL = Config(
    model=Model(latent_dim=3, hidden=(16,)),
    train=Train(
        steps=48, batch_size=16, log_every=4, eval_every=24, checkpoint_every=8, steps_per_call=4, devices=1
    ),
    eval=Eval(importance_samples=2, interim_importance_samples=1, grid=4),
)
"""A run of seconds, for faults that are made inside this process."""


def replace(config: Config, section: str, **fields) -> Config:
    """The configuration with some fields of a section changed."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **fields)})


@contextlib.contextmanager
def bad_image(value: float) -> Iterator[None]:
    """Training images whose first pixel is odd become ``value`` everywhere: damaged data."""
    good = jaxvae.step.preprocess

    def bad(pixels, key, mode):
        x = good(pixels, key, mode)
        return jnp.where(pixels[0, 0, 0] % 2 == 1, jnp.full_like(x, value), x)

    jaxvae.step.preprocess = bad
    try:
        yield
    finally:
        jaxvae.step.preprocess = good


def marked(count: int, at: int):
    """The images of SMALL, of which the one that is visited at step ``at`` bears ``bad_image``'s mark."""
    dataset = load(SMALL.data)
    train = dataset.train[:count].copy()
    train[:, 0, 0, 0] = 0
    visited = order.indices(SMALL.seed, at * SMALL.train.batch_size, SMALL.train.batch_size, count)
    train[visited[3], 0, 0, 0] = 1
    return dataset._replace(train=train)


def not_finite(bench: Bench, trials: int) -> list[Row]:
    """NaN and infinity from the data, at random steps, and from the learning rate."""
    by_data = Row("NaN or infinity from the data", compared="the step that is named; no later checkpoint")
    skipped = Row("the same, skipped", compared="the number of steps skipped; a finite end")
    original = jaxvae.fit.load
    for trial in range(trials):
        at, value = bench.random.randrange(48), bench.random.choice([np.nan, np.inf])
        data = marked(800, at)
        jaxvae.fit.load = lambda _, data=data: data
        run = bench.folder / f"bad-{trial}"
        try:
            with bad_image(value):

                def stops(at=at, run=run) -> None:
                    try:
                        fit(SMALL, run)
                    except NonFiniteError as error:
                        steps = Checkpoints(run / "checkpoints", 9).steps()
                        if (
                            error.step != at
                            or any(step > at for step in steps)
                            or "distortion" not in str(error)
                        ):
                            raise Lost(f"step {at}: said {error}, saved {steps}") from None
                    else:
                        raise Lost("it went on")

                by_data.survive(stops)

                def goes_on(run=run) -> None:
                    skips = replace(SMALL, "train", non_finite="skip")
                    summary = fit(skips, run)
                    count = sum(line.get("skipped", 0) for line in read_metrics(run))
                    if count != 1 or not np.isfinite(summary["test"]["nll"]):
                        raise Lost(f"skipped {count}, {summary['test']}")

                skipped.survive(goes_on)
        finally:
            jaxvae.fit.load = original
    by_rate = Row("learning rate of 1e18", compared="the message, and its replay")

    def diverges() -> None:
        run, flags = bench.folder / "diverged", ("--optimizer.learning_rate", "1e18")
        output = finished(bench.start(run, *flags), 1)
        step = output.split("error: step ")[1].split(":")[0]
        if f"--replay {step}" not in output or "log-scale of q(z|x)" not in output:
            raise Lost(output)
        again = finished(bench.start(run, *flags, "--replay", step), 0)
        if again.strip() not in output:
            raise Lost(f"the replay says {again}, the run said {output}")
        if Checkpoints(run / "checkpoints", 1).steps():
            raise Lost("a checkpoint was written")

    by_rate.survive(diverges)
    return [by_data, skipped, by_rate]


# --- other devices, several processes ------------------------------------------------------------------


def crossed(bench: Bench, counts: tuple[int, ...], **train) -> Row:
    """Half a run on some devices, the other half on another number of them, with a moving average.

    Under ``train.reduction`` fixed the last state must be equal to the bit.
    """
    config = replace(replace(SMALL, "train", **train), "optimizer", ema_decay=0.99, schedule="constant")
    names = " ".join(train.values())
    row, worst = Row(f"devices crossed, {names}"), 0.0
    in_order = config.train.reduction == "fixed"
    tolerance = 2e-5 if config.train.precision == "float32" else 2e-2
    like = jax.device_get(untrained_state(config, load(config.data).train))

    def last(run: Path) -> Restored:
        read = Checkpoints(run / "checkpoints", 1).read(like)
        assert read is not None
        return read

    alone = bench.folder / f"alone-{names}"
    fit(config, alone)
    for before, after in itertools.permutations(counts, 2):
        run = bench.folder / f"crossed-{names}-{before}-{after}"
        fit(replace(replace(config, "train", devices=before), "train", steps=24), run)
        fit(replace(config, "train", devices=after), run)

        def agrees(run=run) -> None:
            nonlocal worst
            ours, wanted = last(run), last(alone)
            if in_order and ours.manifest.state != wanted.manifest.state:
                raise Lost(f"{run.name}: other bits")
            pairs = zip(
                jax.tree.leaves(ours.state.average), jax.tree.leaves(wanted.state.average), strict=True
            )
            worst = max(worst, *(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs))
            if worst > tolerance:
                raise Lost(f"{run.name}: parameters differ by {worst:.1e} of the largest")

        row.survive(agrees)
    row.compared = f"averaged weights: within {worst:.0e} of the largest (at most {tolerance:.0e} allowed)"
    if in_order:
        row.compared = "every bit of the last state"
    return row


def several(bench: Bench, count: int, steps: int = 400) -> Row:
    """``count`` processes train together; then one is killed, all must stop, and all are started again."""
    row = Row(f"{count} processes, one killed")
    flags = ["--train.steps", str(steps), "--train.eval_every", "200"]
    alone = Bench(bench.folder, [*bench.flags, *flags])
    index = alone.flags.index("--train.devices")
    alone.flags = alone.flags[:index] + alone.flags[index + 2 :]
    one_device = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}

    def start(run: Path) -> list[subprocess.Popen]:
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        together = ("--coordinator_address", address, "--num_processes", str(count), "--process_id")
        return [alone.start(run, *together, str(i), env=one_device) for i in range(count)]

    def through() -> None:
        whole, killed, single = (bench.folder / f"{count}-{name}" for name in ("whole", "killed", "single"))
        for process in start(whole):
            finished(process, 0, within=300)
        processes = start(killed)
        victim = processes[bench.random.randrange(count)]
        try:
            wait_for_checkpoint(processes[0], killed, 100)
            victim.kill()
            slowest = 0.0
            for process in processes:
                since = time.monotonic()
                output = finished(process, 1, -signal.SIGKILL, -signal.SIGABRT, within=60)
                slowest += time.monotonic() - since
                if process is not victim and not ("another process" in output or "another task" in output):
                    raise Lost(f"does not say why: {output[-2000:]}")
        finally:
            for process in processes:
                process.kill()
        for process in start(killed):
            finished(process, 0, within=300)
        if fingerprint(killed) != fingerprint(whole):
            raise Lost("started again, it ended with other bits")
        simulated = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        finished(alone.start(single, env=simulated), 0)
        ours, wanted = (read_metrics(run)[-1]["elbo"] for run in (whole, single))
        if not np.isclose(ours, wanted, rtol=1e-5):
            raise Lost(f"test ELBO {ours} with {count} processes, {wanted} with one")
        error = abs(ours / wanted - 1)
        row.compared = f"bits of the end; all stopped in {slowest:.0f} s; ELBO of one process to {error:.0e}"

    row.survive(through)
    return row


# --- the table -----------------------------------------------------------------------------------------

Kind = Literal[
    "kill", "flip", "truncate", "delete", "disk", "term", "interrupt", "numbers", "devices", "processes"
]
KINDS: tuple[Kind, ...] = get_args(Kind)


def rows(bench: Bench, kind: Kind, share: float) -> Iterator[Row]:
    """Makes one kind of fault; ``share`` of the usual number of trials."""

    def some(trials: int) -> int:
        return max(1, round(trials * share))

    if kind == "kill":
        yield interrupted(bench, "SIGKILL", some(200), signal.SIGKILL)
    elif kind == "term":
        yield interrupted(bench, "SIGTERM", some(20), signal.SIGTERM)
    elif kind == "interrupt":
        yield interrupted(bench, "SIGINT", some(20), signal.SIGINT)
    elif kind == "flip":
        yield damaged(bench, "one byte changed", flip, some(200), some(10))
        yield all_damaged(bench)
    elif kind == "truncate":
        yield damaged(bench, "a file cut short", truncate, some(20), some(4))
    elif kind == "delete":
        yield damaged(bench, "a file deleted", delete, some(20), some(4))
    elif kind == "disk":
        said = "No space left on device"
        yield disk_trouble(
            bench, "disk full", some(5), fill, lambda disk: (disk / "ballast").unlink(missing_ok=True), said
        )
        yield file_size_limit(bench)
        yield disk_trouble(
            bench,
            "disk read-only",
            some(2),
            lambda disk: remount(disk, "ro"),
            lambda disk: remount(disk, "rw"),
            "Read-only file system",
        )
        yield disk_trouble(
            bench,
            "folder vanished",
            some(2),
            lambda disk: (disk / "run").rename(disk / "away"),
            lambda disk: (disk / "away").rename(disk / "run"),
            "No such file or directory",
        )
    elif kind == "numbers":
        yield from not_finite(bench, some(10))
    elif kind == "devices":
        yield crossed(bench, (1, 2, 4, 8), precision="float32")
        yield crossed(bench, (1, 2, 4, 8), precision="bfloat16")
        yield crossed(bench, (1, 2, 4, 8), reduction="fixed")
    elif kind == "processes":
        yield several(bench, 2)
        yield several(bench, 4)


@dataclasses.dataclass(frozen=True)
class Options:
    """Make faults and print what came of them."""

    faults: tuple[Kind, ...] = KINDS
    """Which kinds."""
    share: float = 1.0
    """The share of the usual number of trials."""
    seed: int = 0
    """Of the random moments, files and offsets."""


def main() -> int:
    """Prints a row as soon as it is known; returns 1 if anything was lost."""
    options = tyro.cli(Options)
    device = jax.devices()[0]
    print(f"{time.strftime('%Y-%m-%d')}, {device_name(device)}, jax {jax.__version__}, seed {options.seed}")
    print(f"{'fault':<32}{'trials':>7}{'survived':>9}{'lost':>5}  compared", flush=True)
    lost = 0
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), seed=options.seed)
        for kind in options.faults:
            with contextlib.redirect_stdout(sys.stderr):
                made = list(rows(bench, kind, options.share))
            for row in made:
                missing = row.trials - row.survived
                lost += missing
                print(
                    f"{row.fault:<32}{row.trials:>7}{row.survived:>9}{missing:>5}  {row.compared}", flush=True
                )
                for loss in row.losses:
                    print(f"    lost: {loss}", flush=True)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
