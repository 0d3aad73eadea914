"""What does a training step spend its time on? ``train.py --profile`` measures it with JAX's profiler."""

import math
import time
from pathlib import Path
from typing import NamedTuple

import jax

from jaxvae.config import Config
from jaxvae.config.validation import validate
from jaxvae.data.load import load
from jaxvae.data.placement import choose_places
from jaxvae.errors import RunError, UserError
from jaxvae.profiling.hlo import Program, describe, part_of_step, read_program
from jaxvae.profiling.trace import Timeline, read_timeline
from jaxvae.runs.folder import Workdir
from jaxvae.runs.run import state_before
from jaxvae.training import processes
from jaxvae.training.fused_steps import TrainCall, steps_per_call
from jaxvae.training.parallel import devices_for, replicate
from jaxvae.training.state import TrainState

STEPS = 100
"""The least number of steps that are profiled, in at least two compiled calls."""
ROWS = 10


class Operation(NamedTuple):
    """The cost of an operation of the train program, per step and device."""

    name: str
    what: str
    """What it computes, and the shape of the result."""
    part: str
    """The part of the step that it belongs to."""
    share: float
    """Its share of the time in which any operation ran."""
    seconds: float
    times: float


def profile(config: Config, path: str | Path) -> str:
    """Profiles some steps of the run in the folder ``path``; returns the most expensive operations as text.

    Starts from the newest undamaged checkpoint, or from the initial state if there is none. Writes the trace
    to ``path/profile`` and changes nothing else of the run. Raises UserError if the folder holds a run of
    another configuration, or cannot be written.
    """
    config = validate(config)
    devices = devices_for(config.train)
    if processes.count() > 1:
        raise UserError("--profile watches the devices of one process: give the command to one process alone")
    folder = Workdir(path)
    folder.check(config)
    dataset = load(config.data)
    state, start = state_before(config, folder, dataset)
    places = choose_places(config.data.placement, dataset, devices)
    places.check(config.data)
    folder.prepare_profile()
    state = replicate(state, devices)
    steps = steps_per_call(config, start, places.steps_at_most(config, dataset))
    calls = max(2, math.ceil(STEPS / steps))
    with places.feed(config, dataset, devices, start, start + 3 * calls * steps, steps) as feed:
        call = TrainCall(config, dataset.train, devices, state, steps, feed=feed)
        runs = _Runs(call, state, start, calls)
        runs.seconds()  # the first call after compiling takes longer than the others
        usual = runs.seconds()
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0
        with jax.profiler.trace(folder.profile, profiler_options=options):
            watched = runs.seconds()
    trace = newest_trace(folder.profile)
    program = read_program(call.program())
    timeline = read_timeline(trace, program)
    per_step = (f"{1e3 * seconds / runs.steps:.3f} ms" for seconds in (usual, watched))
    return "\n".join(
        [
            f"{folder.path}, {runs.steps} steps after step {start}, on {len(devices)} x "
            f"{devices[0].device_kind}: "
            "{} a step; {} while it was watched.".format(*per_step),
            *report(timeline, program, runs.steps),
            f"The whole trace is in {trace.parent}",
            f"  open {trace.with_suffix('').with_suffix('.trace.json.gz').name} at https://ui.perfetto.dev,",
            f"  or: pip install xprof, then xprof --logdir {folder.profile}",
        ]
    )


class _Runs:
    """Training call after call, whose results are discarded."""

    def __init__(self, call: TrainCall, state: TrainState, start: int, calls: int):
        self._call, self._state, self._step, self._calls = call, state, start, calls
        self.steps = calls * call.steps

    def seconds(self) -> float:
        """The time that ``steps`` further steps take, dispatched as in a run."""
        started, report = time.perf_counter(), None
        for _ in range(self._calls):
            previous = report
            self._state, report = self._call(self._state, self._step)
            self._step += self._call.steps
            jax.block_until_ready(previous)
        jax.block_until_ready((self._state, report))
        return time.perf_counter() - started


def newest_trace(folder: Path) -> Path:
    """The newest ``.xplane.pb`` under ``folder``; raises RunError if there is none."""
    found = sorted(folder.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime_ns)
    if not found:
        raise RunError(f"the profiler wrote no trace under {folder}: is there room on that disk?")
    return found[-1]


def report(timeline: Timeline, program: Program, steps: int) -> list[str]:
    """The lines of the table of the most expensive operations, and the time that it leaves out."""
    operations = most_expensive(timeline, program, steps)
    if not operations:
        return ["The trace names no operation of the train program, so there is no table."]
    total, runs = sum(timeline.seconds.values()), 1e-3 * steps * timeline.devices
    shown = sum(one.share for one in operations)
    name = max(len(one.name) for one in operations)
    what = max(len(one.what) for one in operations)
    return [
        f"   share  ms/step  times/step  {'operation':<{name}}  {'what':<{what}}  part of the step",
        *(
            f"{one.share:>8.1%}{1e3 * one.seconds:>9.3f}{one.times:>12.4g}  "
            f"{one.name:<{name}}  {one.what:<{what}}  {one.part}"
            for one in operations
        ),
        f"{shown:>8.1%}{shown * total / runs:>9.3f}  in these {len(operations)} of "
        f"{len(timeline.seconds)} operations. One ran for {total / runs:.3f} ms a step, none for "
        f"{timeline.idle / runs:.3f}.",
        "Operations that ran at the same moment of a device share that moment.",
    ]


def most_expensive(
    timeline: Timeline, program: Program, steps: int, rows: int | None = ROWS
) -> list[Operation]:
    """The ``rows`` most expensive operations in ``steps`` steps, in descending order; None: all."""
    known, total = program.instructions(), sum(timeline.seconds.values())
    runs = steps * timeline.devices
    ordered = sorted(timeline.seconds, key=lambda name: -timeline.seconds[name])
    return [
        Operation(
            name,
            describe(program, known[name]),
            part_of_step(known[name].op_name),
            timeline.seconds[name] / total,
            timeline.seconds[name] / runs,
            timeline.counts[name] / runs,
        )
        for name in ordered[:rows]
    ]
