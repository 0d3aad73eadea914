"""What can happen to a run from outside? Its process is ended, its files change, its disk fails."""

import contextlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jaxvae.runs.run import Run
from tests.faults.harness import (
    Bench,
    Lost,
    Outcome,
    contents,
    finished,
    read_metrics,
    saved,
    wait_for_checkpoint,
)


def interrupted(bench: Bench, fault: str, trials: int, *numbers: signal.Signals) -> Outcome:
    """Ends the process by the signals in turn, and starts it again, until the run is through; tells of every
    run, of which hundreds take an hour."""
    outcome, runs = Outcome(fault), 0
    while outcome.trials < trials:
        runs += 1
        run, before = bench.folder / f"{fault}-{runs}", outcome.trials
        try:
            while outcome.trials < trials and interrupt(bench, run, outcome, numbers):
                pass
            bench.finish(run)
            outcome.survived += outcome.trials - before
        except Lost as lost:
            outcome.losses.append(str(lost))
            # A run that fails by itself is a trial too.
            outcome.trials = max(outcome.trials, before + 1)
        print(f"{fault}: {outcome.survived} of {outcome.trials} came through, of {trials}", flush=True)
        shutil.rmtree(run, ignore_errors=True)
    return outcome


def interrupt(bench: Bench, run: Path, outcome: Outcome, numbers: tuple[signal.Signals, ...]) -> bool:
    """Starts the process and ends it at a moment drawn uniformly over the time that a whole run takes.

    Returns False, and books no trial, if it had come to its end before.
    """
    moment = bench.random.uniform(0, bench.seconds)
    process = bench.start(run)
    try:
        output = process.communicate(timeout=moment)[0]
    except subprocess.TimeoutExpired:
        number = numbers[outcome.trials % len(numbers)]
        process.send_signal(number)
        outcome.trials += 1
        code = -number if number == signal.SIGKILL else 128 + number
        output = finished(process, code, 0, within=bench.limit)
        if "Traceback" in output:
            raise Lost(output) from None
        if "Stopped at step" in output:
            step = output.split("Stopped at step ")[1].split()[0]
            if not (run / "checkpoints" / step).exists():
                raise Lost(f"step {step} is named but not saved") from None
        read_metrics(run)
        return True
    if process.returncode != 0:
        raise Lost(output)
    return False


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


def damaged(bench: Bench, fault: str, damage: Callable, trials: int, continued: int) -> Outcome:
    """Damages each file of the newest checkpoint in turn, and reads; ``continued`` of the trials also train
    on to the end."""
    outcome = Outcome(fault, f"the restored state; to the run's end {continued} times")
    half, copy = bench.half_done, bench.folder / fault.replace(" ", "-")
    older, newest = saved(half)[-2:]
    good = Run(half).restored(until=older)
    assert good is not None
    for trial in range(trials):
        shutil.copytree(half, copy)
        checkpoint = copy / "checkpoints" / str(newest)
        files = sorted(path for path in checkpoint.rglob("*") if path.is_file() and path.stat().st_size)
        victim = files[trial % len(files)]
        name = victim.relative_to(checkpoint).as_posix()
        damage(victim, bench.random)
        with outcome.trial():
            found = Run(copy).restored()
            if found is None or found.manifest.step != older or name not in found.damaged.get(newest, ""):
                raise Lost(f"{name}: read {found and (found.manifest.step, found.damaged)}")
            if found.manifest.state != good.manifest.state:
                raise Lost(f"{name}: another state was restored")
            if trial < continued:
                output = bench.finish(copy)
                if f"the checkpoint of step {newest} is damaged: {name}" not in output:
                    raise Lost(f"{name}: not said: {output}")
        shutil.rmtree(copy)
    return outcome


def all_damaged(bench: Bench) -> Outcome:
    """Damages every checkpoint: refused with the reasons, and nothing is overwritten."""
    outcome = Outcome("every checkpoint damaged", "the folder before and after")
    copy = bench.folder / "all-damaged"
    shutil.copytree(bench.half_done, copy)
    for step in saved(copy):
        flip(copy / "checkpoints" / str(step) / "default" / "_METADATA", bench.random)
    before = contents(copy)
    with outcome.trial():
        output = finished(bench.start(copy), 1, within=bench.limit)
        if contents(copy) != before or "every checkpoint in" not in output:
            raise Lost(output)
    return outcome


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


def disk_trouble(bench: Bench, fault: str, trials: int, break_it, mend, said: str) -> Outcome:
    """Breaks the disk while a run trains on it; it must stop with code 1, keep what it had, and go on once
    the disk is mended."""
    outcome = Outcome(fault)
    for trial in range(trials):
        with small_disk(24) as disk:
            if disk is None:
                outcome.compared = "not run: no file system may be mounted here"
                return outcome
            with outcome.trial():
                run = disk / "run"
                process = bench.start(run)
                try:
                    wait_for_checkpoint(process, run, 100 + 100 * trial)
                    break_it(disk)
                    broken = time.monotonic()
                    output = finished(process, 1, within=bench.limit)
                    if said not in output or "Traceback" in output or "runs" in output.split("error:")[0]:
                        raise Lost(f"said {output}")
                    if time.monotonic() - broken > 30:
                        raise Lost("took more than 30 s to say so")
                finally:
                    mend(disk)
                newest = f"step {saved(run)[-1]} is the newest there"
                if "is the newest there" in output and newest not in output:
                    raise Lost(f"not {newest}: {output}")
                bench.finish(run)
    return outcome


def full(bench: Bench, trials: int) -> Outcome:
    """No room is left for a checkpoint."""

    def fill(disk: Path) -> None:
        with contextlib.suppress(OSError), (disk / "ballast").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass

    def empty(disk: Path) -> None:
        (disk / "ballast").unlink(missing_ok=True)

    return disk_trouble(bench, "disk full", trials, fill, empty, "No space left on device")


def read_only(bench: Bench, trials: int) -> Outcome:
    """The disk takes nothing more."""

    # Read-only is refused while a file is open for writing, unless it is bind-mounted so.
    def lock(disk: Path) -> None:
        subprocess.run(["mount", "--bind", str(disk), str(disk)], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", str(disk)], check=True)

    def unlock(disk: Path) -> None:
        subprocess.run(["umount", "-l", str(disk)], check=True)

    return disk_trouble(bench, "disk read-only", trials, lock, unlock, "Read-only file system")


def vanished(bench: Bench, trials: int) -> Outcome:
    """The run's folder is moved away."""

    def take(disk: Path) -> None:
        (disk / "run").rename(disk / "away")

    def bring(disk: Path) -> None:
        (disk / "away").rename(disk / "run")

    return disk_trouble(bench, "folder vanished", trials, take, bring, "No such file or directory")


def file_size_limit(bench: Bench) -> Outcome:
    """No file may grow beyond 16 blocks, less than a checkpoint needs: works without a disk of its own."""
    outcome, run = Outcome("file-size limit"), bench.folder / "limited"
    with outcome.trial():
        output = finished(
            bench.start(run, wrapper=("sh", "-c", 'ulimit -f 16; exec "$@"', "sh")), 1, within=bench.limit
        )
        if "could not be saved" not in output or "Traceback" in output:
            raise Lost(output)
        if saved(run):
            raise Lost("a step is named that was not saved")
        bench.finish(run)
    return outcome
