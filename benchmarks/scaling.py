"""How does the cost of training grow: with devices, and with batches, latents, images and data?

    python -m benchmarks.scaling [--models mlp,conv] [--devices 1,2,4,8] [--sweeps strong,weak,...] [--json]

Devices are those that are here, if there are several; else simulated ones on the CPU. These share the same
cores, so they cannot be faster than one: their efficiency is the speed relative to one device, and says
only what it costs to share a batch. Of real devices it is the speed relative to that of as many single
ones. The bytes that they all-reduce are counted in the compiled program.

Every sweep changes one thing about a base point, on one device and images of random bytes. What is timed is
the trainer's own compiled call; medians of repeats in which the points of a sweep take turns.
"""

import argparse
import contextlib
import math
import statistics
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax

from benchmarks.experiments import experiment
from benchmarks.tables import (
    Column,
    Row,
    device_name,
    emit,
    one_or_more,
    parser,
    positive_integers,
    provenance,
    say,
)
from benchmarks.timing import Here, Point, Simulated, Training

OVER_DEVICES = ("strong", "weak")
VALUES: dict[str, dict[str, tuple[int, ...]]] = {
    "batch": {"mlp": (32, 128, 512, 2048), "conv": (16, 64, 256)},
    "latent": {"mlp": (5, 20, 80, 320), "conv": (10, 40, 160)},
    "image": {"mlp": (28, 56, 112), "conv": (28, 56, 112)},
    "data": {"mlp": (1_000, 8_000, 60_000, 240_000), "conv": (1_000, 60_000)},
}
"""Per model: images a step, dimensions of z, pixels along a side, images on the device."""


def base(model: str) -> Point:
    """What the sweeps begin from."""
    size = 128 if model == "mlp" else 32
    return Point(model, size, experiment(model, size).model.latent_dim)


def sweep(name: str, model: str) -> dict[int, Point]:
    """The points of a sweep, by the value that changes."""
    field = {"batch": "batch_size", "latent": "latent_dim", "image": "side", "data": "images"}[name]
    point = base(model)
    if name == "image":
        point = point._replace(images=4_000)
    return {value: point._replace(**{field: value}) for value in VALUES[name][model]}


def shared(options: argparse.Namespace, kind: str, count: int) -> dict[str, Point]:
    """What ``count`` devices train on together, by model."""
    size = options.batch_size if kind == "strong" else options.local_batch_size * count
    return {model: base(model)._replace(batch_size=size) for model in options.models}


def over_devices(options: argparse.Namespace, kind: str, simulated: bool) -> list[Row]:
    """Strong scaling (the batch stays) or weak scaling (each device's part of it stays)."""
    with contextlib.ExitStack() as stack:
        places: dict[int, Here | Simulated] = {}
        for count in options.devices:
            say(f"{kind}, {count} devices: compiling")
            points = shared(options, kind, count)
            if simulated:
                places[count] = Simulated(points, count, options.seconds)
            else:
                places[count] = Here(points, jax.devices()[:count], options.seconds)
            stack.callback(places[count].close)
        times: dict[tuple[str, int], list[float]] = {
            (model, count): [] for model in options.models for count in places
        }
        for _ in range(options.repeats):
            for (model, count), seconds in times.items():
                seconds.append(places[count].step_seconds(model))
    rows, alone = [], {}
    for (model, count), seconds in times.items():
        point = shared(options, kind, count)[model]
        row = measured(kind, count, point, seconds)
        rate = row["examples_per_second"]
        alone.setdefault(model, rate)
        rows.append(
            {
                **row,
                "devices": count,
                "simulated": simulated,
                "efficiency": rate / alone[model] / (1 if simulated else count),
                "all_reduce_bytes": places[count].all_reduce_bytes[model],
                "weights": point.weights(),
            }
        )
    return rows


def over_sizes(options: argparse.Namespace, name: str, model: str) -> list[Row]:
    """One sweep of one model, on one device."""
    trainings = {}
    for value, point in sweep(name, model).items():
        say(f"{model}, {name} {value}: compiling")
        trainings[value] = Training(point, jax.devices()[:1], options.seconds)
    times = {value: [] for value in trainings}
    for _ in range(options.repeats):
        for value, training in trainings.items():
            times[value].append(training.step_seconds())
    rows = []
    for value, point in sweep(name, model).items():
        row = measured(name, value, point, times[value])
        reduced = trainings[value].all_reduce_bytes
        rows.append({**row, "devices": 1, "simulated": False, "all_reduce_bytes": reduced})
    return with_growth(rows)


def measured(name: str, value: int, point: Point, seconds: Sequence[float]) -> Row:
    """What every row has; ``seconds`` are repeated measurements of a step."""
    step_seconds = statistics.median(seconds)
    return {
        "sweep": name,
        "model": point.model,
        "value": value,
        **{field: getattr(point, field) for field in ("batch_size", "latent_dim", "side", "images")},
        "flops_per_example": point.flops(),
        "step_seconds": step_seconds,
        "examples_per_second": point.batch_size / step_seconds,
    }


def with_growth(rows: Sequence[Row]) -> list[Row]:
    """Adds how the cost of an example, and its arithmetic, grew.

    ``growth`` and ``flops_growth`` are relative to the first row; ``exponent`` is that of the power of the
    value by which the cost grew since the row before.
    """
    grown = []
    for before, row in zip([None, *rows[:-1]], rows, strict=True):
        cost = rows[0]["examples_per_second"] / row["examples_per_second"]
        exponent = None
        if before is not None:
            step = before["examples_per_second"] / row["examples_per_second"]
            exponent = math.log(step) / math.log(row["value"] / before["value"])
        flops = row["flops_per_example"] / rows[0]["flops_per_example"]
        grown.append({**row, "growth": cost, "exponent": exponent, "flops_growth": flops})
    return grown


def at(row: Row) -> str:
    """The value that changes, with its unit."""
    value = row["value"]
    if row["sweep"] in OVER_DEVICES:
        kind = "simulated device" if row["simulated"] else "device"
        return f"{value} {kind}{'s' if value > 1 else ''}"
    return {
        "batch": f"batches of {value}",
        "latent": f"{value} latents",
        "image": f"{value}x{value} pixels",
        "data": f"{value:,} images",
    }[row["sweep"]]


def all_reduced(row: Row) -> str:
    """The bytes, as four for each weight and what is left."""
    if not row["all_reduce_bytes"]:
        return "0" if row["sweep"] in OVER_DEVICES else ""
    return f"4 x {row['weights']:,} + {row['all_reduce_bytes'] - 4 * row['weights']}"


def _shown(name: str, how: str) -> Any:
    return lambda row: format(row[name], how) if row.get(name) is not None else ""


COLUMNS = (
    Column("sweep", lambda row: row["sweep"]),
    Column("model", lambda row: row["model"]),
    Column("at", at),
    Column("batch", _shown("batch_size", "d")),
    Column("examples/s", _shown("examples_per_second", ",.0f")),
    Column("ms/step", lambda row: f"{1e3 * row['step_seconds']:.2f}"),
    Column("efficiency", _shown("efficiency", ".2f")),
    Column("all-reduced a step, bytes", all_reduced),
    Column("cost of an example", _shown("growth", ".2f")),
    Column("exponent", _shown("exponent", ".2f")),
    Column("its arithmetic", _shown("flops_growth", ".2f")),
)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Every row that is asked for."""
    device, count = jax.devices()[0], jax.device_count()
    simulated = device.platform == "cpu" or count == 1
    if not simulated and max(options.devices) > count:
        raise SystemExit(f"--devices {max(options.devices)}, but there are {count} here")
    for kind in OVER_DEVICES:
        if kind in options.sweeps:
            where = provenance(device_name(jax.devices("cpu")[0] if simulated else device))
            yield from ({**row, **where} for row in over_devices(options, kind, simulated))
    for model in options.models:
        for name in VALUES:
            if name in options.sweeps:
                where = provenance(device_name(device))
                yield from ({**row, **where} for row in over_sizes(options, name, model))


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    made = parser(__doc__ or "")
    sweeps, models = (*OVER_DEVICES, *VALUES), ("mlp", "conv")
    made.add_argument("--models", type=one_or_more(*models), default=models, help="mlp, conv or both")
    made.add_argument("--sweeps", type=one_or_more(*sweeps), default=sweeps, help=",".join(sweeps))
    made.add_argument(
        "--devices", type=positive_integers, default=(1, 2, 4, 8), help="how many, beginning with 1"
    )
    made.add_argument("--batch-size", type=int, default=256, help="strong: images a step, over all devices")
    made.add_argument("--local-batch-size", type=int, default=64, help="weak: images a step and device")
    made.add_argument("--repeats", type=int, default=5, help="measurements of which the median counts")
    made.add_argument("--seconds", type=float, default=0.4, help="about how long one measurement takes")
    options = made.parse_args(given)
    if options.devices[0] != 1:
        made.error(f"--devices {','.join(map(str, options.devices))} must begin with 1, to compare with")
    if uneven := [count for count in options.devices if options.batch_size % count]:
        made.error(f"--batch-size {options.batch_size} cannot be shared evenly by {uneven[0]} devices")
    return options


def main() -> None:
    """Measures and prints; JSON as soon as a sweep is measured."""
    options = arguments()
    if options.json:
        for row in measure(options):
            emit([row], COLUMNS, as_json=True)
            sys.stdout.flush()
        return
    rows = list(measure(options))
    emit(rows, COLUMNS, as_json=False)
    if any(row["simulated"] for row in rows):
        print("\nSimulated devices share the same cores: efficiency is what is left of one device's speed.")


if __name__ == "__main__":
    main()
