"""How many images a second does the trainer's own step train on, and how many could it at most?

    python -m benchmarks.throughput [--models mlp mnist] [--batch-sizes 128 512] [--json]

Training alone, on what the trainer itself compiles: binarisation, noise, gradients, clipping, Adam;
compile time apart. The bound is what the model's matrix products alone would allow, at the highest rate
of a matrix product measured in the same run. Medians of repeats in which models and bound take turns.
"""

import dataclasses
import datetime
import itertools
import json
import os
import re
import runpy
import statistics
import sys
import time
from pathlib import Path
from typing import Literal

import jax
import numpy as np
import tyro

from jaxvae.call import TrainCall
from jaxvae.config import Config, Model, Precision, Train
from jaxvae.data import load
from jaxvae.parallel import Device, choose_devices, replicate
from jaxvae.untrained import untrained_state

CONFIGS = Path(__file__).parents[1] / "configs"
PEAK_SIZES = (512, 1024, 2048)


@dataclasses.dataclass(frozen=True)
class Options:
    """Measure the throughput of training on the devices that are here."""

    models: tuple[Literal["mlp", "mnist"], ...] = ("mlp", "mnist")
    """mlp: 784-400-20-400-784, ReLU. mnist: the model of configs/mnist.py."""
    batch_sizes: tuple[int, ...] = (128, 512)
    """Images per step, over all devices."""
    precision: Precision = "float32"
    """Arithmetic of the networks."""
    devices: int | None = 1
    """How many devices; None: all."""
    repeats: int = 9
    """Timed calls of each measurement; the median counts."""
    seconds: float = 0.5
    """About how long one timed call lasts."""
    json: bool = False
    """One JSON object a line instead of the table."""


def experiment(name: str, batch_size: int, options: Options) -> Config:
    """The configuration to measure."""
    if name == "mlp":
        config = Config(model=Model(latent_dim=20, hidden=(400,), activation="relu"))
    else:
        config = runpy.run_path(str(CONFIGS / f"{name}.py"))["config"]
    train = Train(batch_size=batch_size, precision=options.precision, log_every=10**6)
    return dataclasses.replace(config, train=train)


def matrix_flops(config: Config, pixels: int) -> int:
    """FLOPs of the matrix products that one image costs in a training step.

    Two for each weight forwards, two for the weight's gradient, and two for the gradient of the layer's
    input, which the encoder's first layer does not need.
    """
    hidden, latent = config.model.hidden, config.model.latent_dim
    encoder, decoder = (pixels, *hidden, 2 * latent), (latent, *hidden[::-1], pixels)
    weights = [n * m for widths in (encoder, decoder) for n, m in itertools.pairwise(widths)]
    return 6 * sum(weights) - 2 * weights[0]


class Training:
    """One model at one batch size, compiled and ready to be timed."""

    def __init__(self, name: str, batch_size: int, options: Options, dataset, devices):
        self.name, self.batch_size = name, batch_size
        config = experiment(name, batch_size, options)
        self.flops = matrix_flops(config, dataset.train[0].size)

        def fresh():
            return replicate(untrained_state(config, dataset.train), devices)

        probe = TrainCall(config, dataset.train, devices, fresh(), 10)
        self.compile_seconds = probe.compile_seconds
        self._state, self._step, self.call = fresh(), 0, probe
        self.time()
        steps = max(10, round(10 * options.seconds / self.time()))
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


class MatrixProduct:
    """A square matrix product, repeated inside one compiled call, on one device."""

    def __init__(self, size: int, precision: Precision, seconds: float):
        self._size = size
        self._operands = [
            jax.random.normal(key, (size, size), precision) for key in jax.random.split(jax.random.key(0))
        ]

        def product(a, b, count):
            return jax.lax.fori_loop(0, count, lambda _, c: (c @ b) * (1 / np.sqrt(size)).astype(c.dtype), a)

        self._product, self._count = jax.jit(product), 1
        self.flops_per_second()
        self._count = max(1, round(seconds * self.flops_per_second() / (2 * size**3)))

    def flops_per_second(self) -> float:
        """Of one timed call."""
        started = time.perf_counter()
        jax.block_until_ready(self._product(*self._operands, self._count))
        return 2 * self._size**3 * self._count / (time.perf_counter() - started)


def measure(options: Options) -> list[dict]:
    """A row for each model and batch size."""
    devices = choose_devices(options.devices)
    dataset = load(Config().data)
    products = [MatrixProduct(n, options.precision, options.seconds / 5) for n in PEAK_SIZES]
    trainings = [
        Training(name, n, options, dataset, devices) for name in options.models for n in options.batch_sizes
    ]
    peaks: list[float] = []
    times: dict[Training, list[float]] = {training: [] for training in trainings}
    for _ in range(options.repeats):
        peaks.append(max(product.flops_per_second() for product in products))
        for training in trainings:
            times[training].append(training.time())
    peak = statistics.median(peaks) * len(devices)
    rows = []
    for training, seconds in times.items():
        rate = training.examples_per_second(statistics.median(seconds))
        rows.append(
            {
                "model": training.name,
                "batch_size": training.batch_size,
                "precision": options.precision,
                "examples_per_second": rate,
                "flops_per_second": rate * training.flops,
                "bound_examples_per_second": peak / training.flops,
                "bound_fraction": rate * training.flops / peak,
                "compile_seconds": training.compile_seconds,
                "device": f"{len(devices)} x {device_name(devices[0])}",
            }
        )
    return rows


def device_name(device: Device) -> str:
    """What the device calls itself; for a CPU also the processor's name and the cores that JAX may use."""
    if device.platform != "cpu":
        return device.device_kind
    names = (
        re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
        if sys.platform == "linux"
        else []
    )
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu ({names[0]}, {cores} cores)"


def main() -> None:
    """Measures and prints."""
    options = tyro.cli(Options, config=(tyro.conf.FlagCreatePairsOff,))
    rows = measure(options)
    if options.json:
        print("\n".join(json.dumps(row) for row in rows))
        return
    today = datetime.date.today().isoformat()
    print(f"{today}, {rows[0]['device']}, jax {jax.__version__}, {options.precision}")
    print("model     batch   examples/s       bound  fraction   GFLOP/s  compile s")
    for row in rows:
        print(
            f"{row['model']:<8}{row['batch_size']:>7}{row['examples_per_second']:>13,.0f}"
            f"{row['bound_examples_per_second']:>12,.0f}{row['bound_fraction']:>10.2f}"
            f"{row['flops_per_second'] / 1e9:>10.0f}{row['compile_seconds']:>11.1f}"
        )


if __name__ == "__main__":
    main()
