"""What does it cost to stream images that do not fit on the device? Nothing, if reading keeps up.

    python -m benchmarks.streaming [--gigabytes 10] [--models mlp,conv] [--workers 1,2,3,4] [--json]

Trains on a file of random images, once with all of them on the device and then streamed by one or more
workers, and prints examples a second, what share of the time the device waited for images, and the largest
resident set of the process. Each row is a process of its own; they take turns, medians count, and the file
is put out of the system's memory before each begins, so what is read comes from the disk the first time.
"""

import argparse
import contextlib
import dataclasses
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import tables
from benchmarks.experiments import experiment

BLOCK = 2**25
CALL_STEPS = 40
"""Steps a call, in every row."""
Places = tuple[str, int]
"""resident or stream, and the number of workers."""

COLUMNS = (
    tables.Column("model", lambda row: row["model"]),
    tables.Column("images", lambda row: f"{row['images']:,} of {'x'.join(map(str, row['image_shape']))}"),
    tables.Column("on disk, GB", lambda row: f"{row['bytes'] / 1e9:.1f}"),
    tables.Column("placement", lambda row: row["placement"]),
    tables.Column("workers", lambda row: str(row["workers"] or "")),
    tables.Column("examples/s", lambda row: f"{row['examples_per_second']:,.0f}"),
    tables.Column("of resident", lambda row: f"{row['of_resident']:.2f}"),
    tables.Column("from to", lambda row: "{:.2f}-{:.2f}".format(*row["of_resident_range"])),
    tables.Column("waiting", lambda row: f"{row['waiting']:.1%}"),
    tables.Column("peak memory, GB", lambda row: f"{row['peak_bytes'] / 1e9:.2f}"),
)


def write_images(path: Path, shape: tuple[int, int, int], size: float) -> int:
    """Writes about ``size`` bytes of random images as an .npy file; returns how many there are."""
    count = max(1, int(size // math.prod(shape)))
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        head = {"descr": "|u1", "fortran_order": False, "shape": (count, *shape)}
        np.lib.format.write_array_header_1_0(file, head)
        left = count * math.prod(shape)
        while left:
            file.write(random.bytes(min(BLOCK, left)))
            left -= min(BLOCK, left)
        file.flush()
        os.fsync(file.fileno())
    return count


def forget(path: Path) -> None:
    """Puts a file out of the system's memory, where the system allows it."""
    with path.open("rb") as file, contextlib.suppress(OSError, AttributeError):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def train(path: Path, model: str, placement: str, workers: int, batch_size: int, seconds: float) -> None:
    """Trains on the images for about so long and prints what was measured, as JSON: the child's part."""
    import jax
    import jax.numpy as jnp

    from jaxvae.config import Data
    from jaxvae.data.load import Dataset
    from jaxvae.data.placement import choose_places
    from jaxvae.training.fused_steps import TrainCall, steps_per_call
    from jaxvae.training.parallel import choose_devices, replicate
    from jaxvae.training.state import initial_state

    images = np.load(path, mmap_mode="r")
    config = experiment(model, batch_size)
    longest = dataclasses.replace(config.train, steps=10**6 * CALL_STEPS, steps_per_call=CALL_STEPS)
    longest = dataclasses.replace(longest, log_every=longest.steps)
    config = dataclasses.replace(config, train=longest, data=Data(placement=placement, workers=workers))  # pyright: ignore
    devices, dataset = choose_devices(1), Dataset(images, images[:1])
    places = choose_places(config.data.placement, dataset, devices)
    steps = steps_per_call(config, 0, places.steps_at_most(config, dataset))
    state = replicate(initial_state(config, jnp.full(images.shape[1:], 0.5)), devices)
    with places.feed(config, dataset, devices, 0, config.train.steps, steps) as feed:
        call = TrainCall(config, images, devices, state, steps, feed=feed)
        # The first call after compiling is not like the others.
        state, report = jax.block_until_ready(call(state, 0))
        started, before, step = time.perf_counter(), call.waited, steps
        while time.perf_counter() - started < seconds:
            previous, (state, report) = report, call(state, step)
            step += steps
            jax.block_until_ready(previous)
        jax.block_until_ready(report)
        elapsed = time.perf_counter() - started
        found = {
            "steps_per_call": steps,
            "examples_per_second": (step - steps) * batch_size / elapsed,
            "waiting": (call.waited - before) / elapsed,
            "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "device": tables.device_name(devices[0]),
        }
    print(json.dumps(found))


def measure_model(options: argparse.Namespace, model: str, folder: Path) -> list[tables.Row]:
    """A row for each placement and number of workers."""
    shape = (28, 28, 1) if model == "mlp" else (options.side, options.side, 3)
    path = folder / f"{model}.npy"
    tables.say(f"{model}: writing {options.gigabytes:g} GB of images")
    count = write_images(path, shape, options.gigabytes * 1e9)
    places: list[Places] = [("resident", 0), *(("stream", workers) for workers in options.workers)]
    found: dict[Places, list[tables.Row]] = {place: [] for place in places}
    for repeat in range(options.repeats):
        for placement, workers in places:
            tables.say(f"repeat {repeat + 1} of {options.repeats}: {model}, {placement} {workers or ''}")
            forget(path)
            child = [sys.executable, "-m", "benchmarks.streaming", "--child", placement, "--workers"]
            more = ["--batch-size", str(options.batch_size), "--seconds", str(options.seconds)]
            command = [*child, str(max(1, workers)), "--file", str(path), "--models", model, *more]
            printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=tables.ROOT)
            found[placement, workers].append(json.loads(printed.stdout))
    path.unlink()

    def median(place: Places, name: str) -> float:
        return statistics.median(one[name] for one in found[place])

    rows = []
    for place in places:
        ratios = [
            one["examples_per_second"] / resident["examples_per_second"]
            for one, resident in zip(found[place], found["resident", 0], strict=True)
        ]
        rows.append(
            {
                "model": model,
                "batch_size": options.batch_size,
                "images": count,
                "image_shape": shape,
                "bytes": count * math.prod(shape),
                "placement": place[0],
                "workers": place[1],
                "steps_per_call": found[place][0]["steps_per_call"],
                **{name: median(place, name) for name in ("examples_per_second", "waiting")},
                "of_resident": statistics.median(ratios),
                "of_resident_range": (min(ratios), max(ratios)),
                "peak_bytes": max(one["peak_bytes"] for one in found[place]),
                **tables.provenance(found[place][0]["device"], "grain"),
            }
        )
    return rows


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints."""
    made = tables.parser(__doc__ or "")
    add = made.add_argument
    add("--gigabytes", type=float, default=10.0, help="of images on the disk, for each model")
    add("--models", type=tables.one_or_more("mlp", "conv"), default=("conv", "mlp"),
        help="conv: RGB images; mlp: 28x28 pixels, the most images a second")  # fmt: skip
    add("--side", type=int, default=64, help="conv: pixels along a side")
    add("--workers", type=tables.positive_integers, default=(1, 2, 3, 4), help="how many read ahead")
    add("--batch-size", type=int, default=128, help="images per step")
    add("--repeats", type=int, default=3, help="processes for each row; the median counts")
    add("--seconds", type=float, default=10.0, help="about how long each trains")
    add("--folder", type=Path, help="where to write the images; default: where temporary files go")
    add("--child", choices=("resident", "stream"), help=argparse.SUPPRESS)
    add("--file", type=Path, help=argparse.SUPPRESS)
    options = made.parse_args(arguments)
    if options.child:
        train(options.file, options.models[0], options.child, options.workers[0], options.batch_size,
              options.seconds)  # fmt: skip
        return
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        rows = [row for model in options.models for row in measure_model(options, model, Path(folder))]
    tables.emit(rows, COLUMNS, options.json)


if __name__ == "__main__":
    main()
