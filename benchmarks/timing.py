"""How long does a training step take: at some size, on some devices, real or simulated?

Simulated devices run in a process for each number of them: one with eight has eight threads, which alone
changes the speed of one device. ``python -m benchmarks.timing POINTS SECONDS`` is that process.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.costs import step_all_reduces
from benchmarks.experiments import experiment, matrix_flops, weights
from benchmarks.tables import ROOT
from jaxvae.config import Config
from jaxvae.data.load import pixel_mean
from jaxvae.profiling.hlo import read_program
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import replicate
from jaxvae.training.state import initial_state

CPU_CALL_FLOPS = 1.5e10
"""A CPU is given calls of about so much arithmetic; other devices always the trainer's usual length."""


class Point(NamedTuple):
    """One size to train at."""

    model: str
    batch_size: int
    latent_dim: int
    side: int = 28
    images: int = 60_000

    def config(self) -> Config:
        """The experiment, at this size."""
        config = experiment(self.model, self.batch_size)
        model = dataclasses.replace(config.model, latent_dim=self.latent_dim)
        return dataclasses.replace(config, model=model)

    def flops(self) -> int:
        """Of the matrix products that one image costs in a step."""
        return matrix_flops(self.config(), (self.side, self.side, 1))

    def weights(self) -> int:
        """How many numbers the model has."""
        return weights(self.config(), (self.side, self.side, 1))


class Training:
    """The trainer's own call at one point, on images of random bytes, compiled and ready to be timed."""

    def __init__(self, point: Point, devices: Sequence[Any], seconds: float):
        """``seconds`` is about how long one measurement takes."""
        config = point.config()
        shape = (point.images, point.side, point.side, 1)
        images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        mean = jnp.asarray(pixel_mean(images[:1000], config.data))
        state = replicate(initial_state(config, mean), devices)
        steps = config.train.steps_per_call
        if devices[0].platform == "cpu":
            steps = min(steps, max(2, round(CPU_CALL_FLOPS / (point.flops() * point.batch_size))))
        self._call = TrainCall(config, images, devices, state, steps)
        self._state, self._step, self._calls = state, 0, 1
        reduces = step_all_reduces(read_program(self._call.program()))
        self.all_reduce_bytes = sum(one.bytes for one in reduces)
        self.step_seconds()
        self._calls = max(1, round(seconds / (self.step_seconds() * steps)))

    def step_seconds(self) -> float:
        """The time of one step, from one measurement of many."""
        started, report = time.perf_counter(), None
        for _ in range(self._calls):
            self._state, report = self._call(self._state, self._step)
            self._step += self._call.steps
        jax.block_until_ready((self._state, report))
        return (time.perf_counter() - started) / (self._calls * self._call.steps)


class Here:
    """Trainings on some of this process's devices, by name."""

    def __init__(self, points: Mapping[str, Point], devices: Sequence[Any], seconds: float):
        self._trainings = {name: Training(point, devices, seconds) for name, point in points.items()}
        self.all_reduce_bytes = {name: one.all_reduce_bytes for name, one in self._trainings.items()}

    def step_seconds(self, name: str) -> float:
        """Of one measurement."""
        return self._trainings[name].step_seconds()

    def close(self) -> None:
        """Forgets them."""
        self._trainings.clear()


class Simulated:
    """The same on ``count`` simulated devices, which share the CPU's cores, in a process of their own."""

    def __init__(self, points: Mapping[str, Point], count: int, seconds: float):
        flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={count}"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.timing", json.dumps(points), str(seconds)],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.all_reduce_bytes: dict[str, int] = json.loads(self._answer())

    def step_seconds(self, name: str) -> float:
        """Of one measurement."""
        assert self._process.stdin is not None
        print(name, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process with simulated devices ended with code {self._process.wait()}")
        return line


def main() -> None:
    """Answers a ``Simulated``: first with the bytes, then a line for each line."""
    points = {name: Point(*values) for name, values in json.loads(sys.argv[1]).items()}
    here = Here(points, jax.devices(), float(sys.argv[2]))
    print(json.dumps(here.all_reduce_bytes), flush=True)
    for line in sys.stdin:
        print(here.step_seconds(line.strip()), flush=True)


if __name__ == "__main__":
    main()
