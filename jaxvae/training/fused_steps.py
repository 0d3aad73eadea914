"""How do many steps become one compiled call? With its images and their order from the host."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Int, PyTree, UInt8

from jaxvae.config import Config
from jaxvae.training import order, processes
from jaxvae.training.parallel import (
    AXIS,
    Device,
    compile_for,
    map_over_devices,
    replicate,
    shape_sharded,
    shapes_replicated,
    shard,
    split_batch,
)
from jaxvae.training.state import TrainState
from jaxvae.training.step import Report, make_train_steps, train_keys


@runtime_checkable
class Feed(Protocol):
    """Where a call's images come from, if they are not all on the devices."""

    waited: float
    """Seconds, so far, in which the devices had nothing to do because images had not come."""

    def take(self, step: int, running: Any) -> Array:
        """The images of the call that begins with ``step``, on the devices. ``running`` are results of the
        call before: until those are there, nobody waits."""
        ...


def map_train_steps(config: Config, devices: Sequence[Device], streamed: bool = False) -> Any:
    """What a ``TrainCall`` compiles, still to be compiled: also for devices that are not here."""
    return map_over_devices(
        make_train_steps(config, AXIS, streamed),
        devices,
        mapped=(False, True, True, False, False, streamed),
        donate=(0,),
    )


def call_indices(
    config: Config, examples: int, step: int, steps: int, devices: int
) -> Int[np.ndarray, "device step local"]:
    """Which of the training images each device sees in ``steps`` steps from ``step``."""
    batch = config.train.batch_size
    indices = order.indices(config.seed, step * batch, steps * batch, examples)
    return split_batch(indices.reshape(steps, batch), devices)


def steps_per_call(config: Config, start: int, at_most: int | None = None) -> int:
    """How many steps a compiled call runs: the largest number up to ``train.steps_per_call``, and
    ``at_most``, that divides the run's length, where it starts, and every cadence that falls due before its
    end."""
    train = config.train
    cadences = (train.log_every, train.eval_every, train.checkpoint_every)
    common = math.gcd(train.steps, start, *(every for every in cadences if every < train.steps))
    return largest_divisor(common, min(train.steps_per_call, at_most or common))


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor of ``number`` that is no more than ``at_most``."""
    small = (n for n in range(1, math.isqrt(number) + 1) if number % n == 0)
    return max(n for pair in small for n in (pair, number // pair) if n <= at_most)


class TrainCall:
    """``call(state, step) -> (state, report)``: takes ``steps`` steps, beginning with the given one.

    Compiled once, ahead of time: an argument of another shape or placement is an error, never a second
    compilation. The state's memory is reused, so the state that was passed is gone after the call. The
    call returns before the devices are done, and moves nothing to or from them but what it must, and that
    explicitly.
    """

    def __init__(
        self,
        config: Config,
        images: UInt8[np.ndarray, "example height width channel"],
        devices: Sequence[Device],
        state: TrainState,
        steps: int,
        compiler: Callable[..., Callable] | None = None,
        feed: Feed | None = None,
    ):
        """``state`` may be only shapes; ``compiler``, if there is one, makes a program of the steps. The
        ``images`` go to every device, unless a ``feed`` brings those of each call."""
        self._config, self._images, self._devices, self.steps = config, images, devices, steps
        self._feed = feed
        started = time.perf_counter()
        mapped = map_train_steps(config, devices, streamed=self.streamed)
        keys = shapes_replicated(jax.eval_shape(lambda: train_keys(config)), devices)
        if feed is None:
            pixels = shapes_replicated(images, devices)
        else:
            shape = (steps, config.train.batch_size // len(devices), *images.shape[1:])
            pixels = shape_sharded(shape, images.dtype, devices)
        arguments = (state, *self._arguments(0, False), keys, pixels)
        self._run: Any = (compiler or compile_for)(mapped, devices, *arguments)
        self.compile_seconds = time.perf_counter() - started
        """With several processes it is known after the first call, which compiles."""
        self._ran_before = False
        self._report: Report | None = None

    @property
    def streamed(self) -> bool:
        """Whether a feed brings the images."""
        return self._feed is not None

    @property
    def waited(self) -> float:
        """Seconds, so far, in which the devices had nothing to do because images had not come."""
        return 0.0 if self._feed is None else self._feed.waited

    def __call__(self, state: TrainState, step: int, stop: bool = False) -> tuple[TrainState, Report]:
        """``stop`` is this process's word for ``Report.stop``."""
        arguments = (*self._arguments(step, stop), self._keys)
        images = self._resident if self._feed is None else self._feed.take(step, self._report)
        started = time.perf_counter()
        result = self._run(state, *arguments, images)
        if not self._ran_before and processes.count() > 1:
            self.compile_seconds += time.perf_counter() - started
        self._ran_before, self._report = True, result[1]
        return result

    def program(self) -> str:
        """The compiled program as XLA prints it, in HLO; only where one process has all the devices."""
        return self._run.as_text()

    def _arguments(self, step: int, stop: bool) -> tuple:
        count = len(self._devices)
        rows = call_indices(self._config, len(self._images), step, self.steps, count)
        sharded = shard((rows, np.full(count, stop)), self._devices)
        return *sharded, replicate(np.asarray(step, np.int32), self._devices)

    # Made by the first call: compiling needs their shapes only, and may be done by another thread.

    @functools.cached_property
    def _keys(self) -> PyTree:
        return replicate(train_keys(self._config), self._devices)

    @functools.cached_property
    def _resident(self) -> PyTree:
        return replicate(self._images, self._devices)
