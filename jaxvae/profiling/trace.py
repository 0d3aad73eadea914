"""How long did each operation of a program run? From a trace that JAX's profiler wrote."""

import collections
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxvae.profiling.hlo import CONTAINERS, Program


class Timeline(NamedTuple):
    """Sums over all devices, in seconds.

    Every moment of a device between its first operation and its last is counted once. Operations that ran at
    the same time on several threads or streams share it equally; of two nested operations, the inner one gets
    it. A moment in which none ran is counted for the operations that had started on another thread and were
    not finished; if there is none, it is idle.
    """

    seconds: dict[str, float]
    """By operation: an instruction's name in the program."""
    counts: dict[str, int]
    """How often each ran."""
    idle: float
    devices: int


class _Span(NamedTuple):
    """One run of an operation on one thread or stream; in nanoseconds."""

    start: float
    end: float
    operation: str
    finished: float
    """When its last part finished, on any thread; not before ``end``."""


def read_timeline(path: Path, program: Program) -> Timeline:
    """The time of each operation of ``program``, from ``path``, an ``.xplane.pb``."""
    trace: Any = jax.profiler.ProfileData.from_file(str(path))
    known = program.instructions()
    # The operations that containers run have their own events in the trace.
    containers = {name for name, one in known.items() if one.opcode in CONTAINERS}
    rows: dict[Any, list[list[_Span]]] = collections.defaultdict(list)
    for plane in trace.planes:
        reader = _device_rows if plane.name.startswith("/device:") else _host_rows
        for device, spans in reader(plane, program.name, known.keys()):
            rows[device].append(spans)
    seconds, counts, idle = collections.defaultdict(float), collections.Counter(), 0.0
    for threads in rows.values():
        counts.update(span.operation for spans in threads for span in spans)
        idle += _share_out(threads, containers, seconds)
    return Timeline({name: time * 1e-9 for name, time in seconds.items()}, counts, idle * 1e-9, len(rows))


def _device_rows(plane: Any, module: str, known: Iterable[str]) -> Iterator[tuple[Any, list[_Span]]]:
    """The streams of a GPU, the core of a TPU."""
    lines = list(plane.lines)
    ours = [line for line in lines if line.name == "XLA Ops"] or [
        line for line in lines if line.name.startswith("Stream")
    ]
    for line in ours:
        spans = []
        for event in line.events:
            stats = dict(event.stats)
            # On a TPU the event's name is the whole instruction: %name = ...
            name = str(stats.get("hlo_op") or event.name.split(" = ")[0].lstrip("%"))
            if name in known and stats.get("hlo_module", module) == module:
                end = event.start_ns + event.duration_ns
                spans.append(_Span(event.start_ns, end, name, end))
        if spans:
            yield plane.name, spans


def _host_rows(plane: Any, module: str, known: Iterable[str]) -> Iterator[tuple[Any, list[_Span]]]:
    """The threads on which a CPU's operations run; simulated devices may take turns on one thread."""
    begun, finished = [], {}
    for number, line in enumerate(plane.lines):
        for event in line.events:
            if event.name in known:
                stats = dict(event.stats)
                if stats.get("hlo_module") == module:
                    begun.append((number, event.name, event.start_ns, event.duration_ns, stats))
            elif event.name.startswith("end: "):
                finished[event.name[5:], dict(event.stats).get("_c")] = event.start_ns
    rows: dict[Any, list[_Span]] = collections.defaultdict(list)
    for number, name, start, duration, stats in begun:
        done = finished.get((name, stats.get("_p")), 0.0)
        span = _Span(start, start + duration, name, max(start + duration, done))
        rows[stats.get("device_ordinal"), number].append(span)
    for (device, _), spans in rows.items():
        yield device, spans


def _share_out(threads: list[list[_Span]], containers: Iterable[str], seconds: dict[str, float]) -> float:
    """Adds one device's time to ``seconds``; returns its idle time. Both are in nanoseconds."""
    changes: list[tuple[float, int, str, bool]] = []
    for spans in threads:
        changes += [
            (time, change, name, True)
            for start, end, name in _innermost(spans)
            for time, change in ((start, 1), (end, -1))
        ]
        changes += [
            (time, change, span.operation, False)
            for span in spans
            if span.finished > span.end and span.operation not in containers
            for time, change in ((span.end, 1), (span.finished, -1))
        ]
    changes.sort(key=lambda change: change[0])
    running, waited_for = collections.Counter(), collections.Counter()
    idle, before = 0.0, changes[0][0]
    for time, change, name, runs in changes:
        if time > before:
            active = running or waited_for
            for operation, parts in active.items():
                seconds[operation] += (time - before) * parts / active.total()
            idle += 0.0 if active else time - before
            before = time
        counter = running if runs else waited_for
        counter[name] += change
        if counter[name] == 0:
            del counter[name]
    return idle


def _innermost(spans: list[_Span]) -> Iterator[tuple[float, float, str]]:
    """The intervals in which each operation of one thread was the innermost: start, end and name."""
    stack: list[_Span] = []
    time = 0.0
    for span in [*sorted(spans, key=lambda s: (s.start, -s.end)), None]:
        while stack and (span is None or stack[-1].end <= span.start):
            inner = stack.pop()
            if inner.end > time:
                yield time, inner.end, inner.operation
                time = inner.end
        if span is not None:
            if stack and span.start > time:
                yield time, span.start, stack[-1].operation
            time = max(time, span.start) if stack else span.start
            stack.append(span)
