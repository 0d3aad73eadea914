"""What can go wrong inside a run? Its numbers, its devices, the processes that train with it."""

import contextlib
import dataclasses
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import jaxvae.training.step
from jaxvae.config import ELBO, MLP, Config, Eval, Ladder, Model, Train
from jaxvae.data.load import Dataset, load
from jaxvae.runs.checkpoint import Restored
from jaxvae.runs.checkpoint_manifest import verify
from jaxvae.runs.fit import fit
from jaxvae.runs.replay import NonFiniteError
from jaxvae.runs.run import Run
from jaxvae.training import order
from tests.faults.harness import (
    LIMIT,
    Bench,
    Lost,
    Outcome,
    fingerprint,
    finished,
    read_metrics,
    saved,
    wait_for_checkpoint,
)

SMALL = Config(
    model=Model(latent_dim=3, architecture=MLP(hidden=(16,))),
    train=Train(
        steps=48, batch_size=16, log_every=4, eval_every=24, checkpoint_every=8, steps_per_call=4, devices=1
    ),
    eval=Eval(importance_samples=2, interim_importance_samples=1, grid=4),
)
"""A run of seconds, for faults that are made inside this process."""
LADDER = dataclasses.replace(
    SMALL,
    model=Model(latent_dim=1, architecture=Ladder(groups="4x1 7x1", channels=6, blocks=1)),
    objective=ELBO(beta_warmup_steps=30, beta_balance=True),
)
"""The same with a hierarchy."""


def replace(config: Config, section: str, **fields) -> Config:
    """The configuration with some fields of a section changed."""
    return dataclasses.replace(config, **{section: dataclasses.replace(getattr(config, section), **fields)})


# --- numbers that are not finite -----------------------------------------------------------------------


@contextlib.contextmanager
def bad_image(value: float, at: int) -> Iterator[Dataset]:
    """One training image, which ``SMALL`` visits at step ``at`` alone, becomes ``value`` everywhere."""
    good_preprocess = jaxvae.training.step.preprocess
    dataset, count = load(SMALL.data), SMALL.train.steps * SMALL.train.batch_size
    train = dataset.train[:count].copy()
    # Its mark: a first pixel that is odd.
    train[:, 0, 0, 0] = 0
    visited = order.indices(SMALL.seed, at * SMALL.train.batch_size, SMALL.train.batch_size, count)
    train[visited[3], 0, 0, 0] = 1

    def bad_preprocess(pixels, key, mode):
        x = good_preprocess(pixels, key, mode)
        return jnp.where(pixels[0, 0, 0] % 2 == 1, jnp.full_like(x, value), x)

    # Pixels are 8-bit numbers, of which none is bad: that happens on the way to the model.
    jaxvae.training.step.preprocess = bad_preprocess
    try:
        yield dataset._replace(train=train)
    finally:
        jaxvae.training.step.preprocess = good_preprocess


def bad_data(bench: Bench, trials: int) -> list[Outcome]:
    """NaN and infinity from the data, at random steps: the run stops there, or leaves the step out."""
    stops = Outcome("NaN or infinity from the data", "the step that is named; no later checkpoint")
    skips = Outcome("the same, skipped", "the number of steps skipped; a finite end")
    for trial in range(trials):
        at, value = bench.random.randrange(SMALL.train.steps), bench.random.choice([np.nan, np.inf])
        run = bench.folder / f"bad-{trial}"
        with bad_image(value, at) as images:
            with stops.trial():
                try:
                    fit(SMALL, run, dataset=images)
                except NonFiniteError as error:
                    later = [step for step in saved(run) if step > at]
                    if error.step != at or later or "distortion" not in str(error):
                        raise Lost(f"step {at}: said {error}, saved {later}") from None
                else:
                    raise Lost("it went on")
            with skips.trial():
                summary = fit(replace(SMALL, "train", non_finite="skip"), run, dataset=images)
                count = sum(line.get("skipped", 0) for line in read_metrics(run))
                if count != 1 or not np.isfinite(summary["test"]["nll"]):
                    raise Lost(f"skipped {count}, {summary['test']}")
    return [stops, skips]


def diverging(bench: Bench) -> Outcome:
    """A learning rate that no weights survive: stops, says what it saw, and can say it again."""
    outcome = Outcome("learning rate of 1e18", "the message, and its replay")
    run, flags = bench.folder / "diverged", ("--optimizer.learning_rate", "1e18")
    with outcome.trial():
        output = finished(bench.start(run, *flags), 1, within=bench.limit)
        step = output.split("error: step ")[1].split(":")[0]
        if f"--replay {step}" not in output or "log-scale of q(z|x)" not in output:
            raise Lost(output)
        again = finished(bench.start(run, *flags, "--replay", step), 0, within=bench.limit)
        if again.strip() not in output:
            raise Lost(f"the replay says {again}, the run said {output}")
        if saved(run):
            raise Lost("a checkpoint was written")
    return outcome


# --- other devices, several processes ------------------------------------------------------------------


def crossed(bench: Bench, counts: tuple[int, ...], small: Config = SMALL, **train) -> Outcome:
    """Half a run on some devices, the other half on another number of them, with a moving average.

    Under ``train.reduction`` fixed the last state must be equal to the bit.
    """
    config = replace(replace(small, "train", **train), "optimizer", ema_decay=0.99, schedule="constant")
    names = " ".join([small.model.architecture.kind, *train.values()])
    outcome, worst = Outcome(f"devices crossed, {names}"), 0.0
    in_order = config.train.reduction == "fixed"
    if in_order:
        # Whose weights are of the whole batch.
        config = dataclasses.replace(config, objective=ELBO())
    tolerance = 2e-5 if config.train.precision == "float32" else 2e-2

    def last(run: Path) -> Restored:
        read = Run(run).restored()
        assert read is not None
        return read

    fit(config, bench.folder / f"alone-{names}")
    wanted = last(bench.folder / f"alone-{names}")
    for before, after in itertools.permutations(counts, 2):
        run = bench.folder / f"crossed-{names}-{before}-{after}"
        fit(replace(replace(config, "train", devices=before), "train", steps=24), run)
        fit(replace(config, "train", devices=after), run)
        with outcome.trial():
            ours = last(run)
            if in_order and ours.manifest.state != wanted.manifest.state:
                raise Lost(f"{run.name}: other bits")
            pairs = zip(*map(jax.tree.leaves, (ours.state.average, wanted.state.average)), strict=True)
            worst = max(worst, *(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs))
            if worst > tolerance:
                raise Lost(f"{run.name}: parameters differ by {worst:.1e} of the largest")
    outcome.compared = (
        f"averaged weights: within {worst:.0e} of the largest (at most {tolerance:.0e} allowed)"
    )
    if in_order:
        outcome.compared = "every bit of the last state"
    return outcome


def several(bench: Bench, count: int, steps: int = 400) -> Outcome:
    """``count`` processes train together; then one is killed, all must stop, and all are started again."""
    outcome = Outcome(f"{count} processes, one killed")
    many = Bench(
        bench.folder, [*on_all_devices(bench.flags), "--train.steps", str(steps), "--train.eval_every", "200"]
    )
    whole, killed, single = (bench.folder / f"{count}-{name}" for name in ("whole", "killed", "single"))
    with outcome.trial():
        for process in together(many, whole, count):
            finished(process, 0, within=5 * LIMIT)
        slowest = kill_one(together(many, killed, count), killed, bench.random.randrange(count))
        for process in together(many, killed, count):
            finished(process, 0, within=5 * LIMIT)
        if fingerprint(killed) != fingerprint(whole):
            raise Lost("started again, it ended with other bits")
        simulated = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={count}"}
        finished(many.start(single, env=simulated), 0, within=5 * LIMIT)
        ours, wanted = (read_metrics(run)[-1]["elbo"] for run in (whole, single))
        if not np.isclose(ours, wanted, rtol=1e-5):
            raise Lost(f"test ELBO {ours} with {count} processes, {wanted} with one")
        error = abs(ours / wanted - 1)
        outcome.compared = (
            f"bits of the end; all stopped in {slowest:.0f} s; ELBO of one process to {error:.0e}"
        )
    return outcome


def several_stream(bench: Bench, count: int, steps: int = 400) -> Outcome:
    """Several processes of one device each, to which images are streamed until one is killed, and which then
    go on with all images on their devices; against one process on whose one device all images are. Batches
    are summed in the same order. Of images that validate, both choose the same best checkpoint."""
    outcome = Outcome(f"{count} processes, images streamed, one killed")
    flags = [*bench.flags, "--train.reduction", "fixed", "--train.steps", str(steps)]
    # Which weighs by rates of the whole batch.
    flags += ["--objective.beta_balance", "False"] if "hvae_small" in flags else []
    flags += ["--data.validation", "2000", "--train.eval_every", str(steps // 4)]
    shared, held = on_all_devices(flags), ("--data.placement", "resident")
    streaming = Bench(bench.folder, [*shared, "--data.placement", "stream"])
    killed, single = (bench.folder / f"{count}-streamed-{name}" for name in ("killed", "single"))
    outcome.compared = "bits of the last state: those of one process with all images on its device"
    with outcome.trial():
        kill_one(together(streaming, killed, count), killed, bench.random.randrange(count))
        if steps in saved(killed):
            raise Lost("nothing was killed: all had come to their end")
        for process in together(Bench(bench.folder, [*shared, *held]), killed, count):
            finished(process, 0, within=5 * LIMIT)
        finished(Bench(bench.folder, [*flags, *held]).start(single), 0, within=5 * LIMIT)
        ours, wanted = (verify(run / "checkpoints" / str(steps), steps) for run in (killed, single))
        if ours.state != wanted.state:
            raise Lost(f"{count} processes ended with other bits")
        if ours.best is None or wanted.best is None or ours.best.step != wanted.best.step:
            raise Lost(f"the best checkpoint is {ours.best} of {count} processes, {wanted.best} of one")
    return outcome


def on_all_devices(flags: Sequence[str]) -> list[str]:
    """The flags without that for the number of devices."""
    index = flags.index("--train.devices")
    return [*flags[:index], *flags[index + 2 :]]


def together(bench: Bench, run: Path, count: int) -> list[subprocess.Popen]:
    """Processes that train one run together, each with a device of its own."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    flags = ("--coordinator_address", address, "--num_processes", str(count), "--process_id")
    env = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    return [bench.start(run, *flags, str(i), env=env) for i in range(count)]


def kill_one(processes: list[subprocess.Popen], run: Path, number: int) -> float:
    """Kills one of them in mid-run; returns how many seconds the others took to stop and say why."""
    try:
        wait_for_checkpoint(processes[0], run, 100)
        processes[number].kill()
        killed = time.monotonic()
        for process in processes:
            output = finished(process, 1, -signal.SIGKILL, -signal.SIGABRT, within=60)
            said = "another process" in output or "another task" in output
            if process is not processes[number] and not said:
                raise Lost(f"does not say why: {output}")
        return time.monotonic() - killed
    finally:
        for process in processes:
            process.kill()
