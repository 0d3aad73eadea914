"""How many images a second does the trainer's own step train on, and how many could it at most?

Training alone, on what the trainer itself compiles: binarisation, noise, gradients, clipping, Adam; compile
time apart. The bound is the longer of two times: that of the model's matrix products and convolutions at the
highest rate of a matrix product, and that of reading and writing weights, gradients and Adam's two averages
at the highest rate of a copy, both measured in the same run. Medians of repeats in which all take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import tables
from benchmarks.experiments import EVERY_MODEL, MODELS, experiment, matrix_flops
from jaxvae.config import Config
from jaxvae.config.fields import Precision
from jaxvae.data.load import load
from jaxvae.runs.run import untrained_state
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import choose_devices, replicate

STATE_PASSES = 8
"""How often a step passes over as many bytes as there are weights, at least: it reads and writes the weights
and Adam's averages, and writes and reads the gradient."""

COLUMNS = (
    tables.Column("model", lambda row: row["model"]),
    tables.Column("precision", lambda row: row["precision"]),
    tables.Column("batch", lambda row: str(row["batch_size"])),
    tables.Column("examples/s", lambda row: f"{row['examples_per_second']:,.0f}"),
    tables.Column("GFLOP/s", lambda row: f"{row['flops_per_second'] / 1e9:,.0f}"),
    tables.Column("of the bound", lambda row: f"{row['bound_fraction']:.2f}"),
    tables.Column("bound by", lambda row: row["bound_by"]),
    tables.Column("compile s", lambda row: f"{row['compile_seconds']:.1f}"),
)


class Training:
    """One model at one batch size, compiled and ready to be timed."""

    def __init__(self, config: Config, dataset: Any, devices: list, seconds: float):
        self.batch_size = config.train.batch_size
        self.flops = matrix_flops(config, dataset.train.shape[1:])
        self._state = replicate(untrained_state(config, dataset.train), devices)
        self.weights = sum(leaf.size for leaf in jax.tree.leaves(self._state.model))
        self._step, self.call = 0, TrainCall(config, dataset.train, devices, self._state, 2)
        self.compile_seconds = self.call.compile_seconds
        self.time()
        steps = max(2, round(2 * seconds / self.time()))
        self.call = TrainCall(config, dataset.train, devices, self._state, steps)
        self.time()

    def time(self) -> float:
        """Seconds of one call."""
        started = time.perf_counter()
        self._state, report = self.call(self._state, self._step)
        jax.block_until_ready((self._state, report))
        self._step += self.call.steps
        return time.perf_counter() - started

    def examples_per_second(self, seconds: float) -> float:
        """Images trained on in a call that took so long."""
        return self.call.steps * self.batch_size / seconds


class Repeated:
    """An operation on arrays, repeated inside one compiled call for about ``seconds``, on one device."""

    def __init__(self, operation: Callable, operands: tuple, amount: float, seconds: float):
        self._amount, self._operands = amount, operands

        def repeat(count, first, *others):
            return jax.lax.fori_loop(0, count, lambda _, value: operation(value, *others), first)

        self._run, self._count = jax.jit(repeat), 1
        self.rate()
        self._count = max(1, round(seconds * self.rate() / amount))

    def rate(self) -> float:
        """FLOPs or bytes a second, in one timed call."""
        started = time.perf_counter()
        jax.block_until_ready(self._run(self._count, *self._operands))
        return self._amount * self._count / (time.perf_counter() - started)


def matrix_product(size: int, precision: Precision, seconds: float) -> Repeated:
    """A square matrix product, in FLOPs."""
    keys = jax.random.split(jax.random.key(0))
    operands = tuple(jax.random.normal(key, (size, size), precision) for key in keys)
    scale = np.asarray(size**-0.5, operands[0].dtype)
    return Repeated(lambda a, b: scale * (a @ b), operands, 2.0 * size**3, seconds)


def copy(size: int, seconds: float) -> Repeated:
    """An array read and another written, in bytes."""
    return Repeated(lambda a: a * np.float32(1.0000001), (jnp.ones(size),), 8.0 * size, seconds)


def measure(options: argparse.Namespace) -> list[tables.Row]:
    """A row for each model and batch size."""
    devices = choose_devices(options.devices)
    dataset = load(Config().data)
    trainings: dict[tuple[str, int], Training] = {}
    for name in options.models:
        for batch_size in options.batch_sizes:
            tables.say(f"compiling {name} at batch size {batch_size}")
            config = experiment(name, batch_size, options.precision)
            trainings[name, batch_size] = Training(config, dataset, devices, options.seconds)
    sizes = (512, 1024, 2048) if devices[0].platform == "cpu" else (2048, 4096, 8192)
    products = [matrix_product(size, options.precision, options.seconds / 5) for size in sizes]
    copies = {n: copy(3 * n, options.seconds / 5) for n in {t.weights for t in trainings.values()}}
    peaks: list[float] = []
    bandwidths: dict[int, list[float]] = {n: [] for n in copies}
    times: dict[tuple[str, int], list[float]] = {key: [] for key in trainings}
    for repeat in range(options.repeats):
        tables.say(f"repeat {repeat + 1} of {options.repeats}")
        peaks.append(max(product.rate() for product in products))
        for n, made in copies.items():
            bandwidths[n].append(made.rate())
        for key, training in trainings.items():
            times[key].append(training.time())
    peak = statistics.median(peaks) * len(devices)
    origin = tables.provenance(tables.device_name(devices[0], len(devices)))
    rows = []
    for (name, batch_size), seconds in times.items():
        training = trainings[name, batch_size]
        rate = training.examples_per_second(statistics.median(seconds))
        bandwidth = statistics.median(bandwidths[training.weights])
        bounds = {
            "matrix products": batch_size * training.flops / peak,
            "memory": STATE_PASSES * 4 * training.weights / bandwidth,
        }
        bound_by = max(bounds, key=lambda bound: bounds[bound])
        rows.append(
            {
                "model": name,
                "batch_size": batch_size,
                "precision": options.precision,
                "examples_per_second": rate,
                "flops_per_second": rate * training.flops,
                "bound_fraction": rate / batch_size * bounds[bound_by],
                "bound_by": bound_by,
                "peak_flops_per_second": peak,
                "peak_bytes_per_second": bandwidth,
                "compile_seconds": training.compile_seconds,
                **origin,
            }
        )
    return rows


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = tables.parser(__doc__ or "")
    add = made.add_argument
    add("--models", type=tables.one_or_more(*EVERY_MODEL), default=MODELS, help=f"of {','.join(EVERY_MODEL)}")
    add("--batch-sizes", type=tables.positive_integers, default=(32, 128, 512, 2048),
        help="images per step, over all devices")  # fmt: skip
    add("--precision", choices=("float32", "bfloat16"), default="float32", help="of the networks")
    add("--devices", type=int, default=1, help="how many devices share each batch")
    add("--repeats", type=int, default=7, help="timed calls of each; the median counts")
    add("--seconds", type=float, default=0.5, help="about how long one timed call lasts")
    return made


def main(arguments: list[str] | None = None) -> None:
    """Measures and prints."""
    options = parser().parse_args(arguments)
    tables.emit(measure(options), COLUMNS, options.json)


if __name__ == "__main__":
    main()
