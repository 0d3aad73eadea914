"""How do many steps become one compiled call? The host supplies their images and the order of these."""

import functools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np
from jaxtyping import Array, Int, PyTree

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
from jaxvae.training.step import CallReport, make_train_steps, train_keys


@runtime_checkable
class Feed(Protocol):
    """The source of a call's images, if they are not all on the devices."""

    waited: float
    """Seconds so far in which the devices were idle because images had not arrived."""

    def images_for(self, step: int, running: Any) -> Array:
        """The images of the call that begins with ``step``, on the devices. ``running`` are the results of
        the previous call: time before they are ready does not count as waiting."""
        ...


@runtime_checkable
class ImageArray(Protocol):
    """Images of 8 bits, example x height x width x channel: an array, or what ``numpy.asarray`` makes one."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    def __len__(self) -> int: ...
    def __array__(self) -> np.ndarray: ...


def map_train_steps(config: Config, devices: Sequence[Device], streamed: bool = False) -> Any:
    """The function that a ``TrainCall`` compiles, not yet compiled. The devices need not be present."""
    return map_over_devices(
        make_train_steps(config, AXIS, streamed),
        devices,
        mapped=(False, True, True, False, False, streamed),
        donate=(0,),
    )


def call_indices(
    config: Config, examples: int, step: int, steps: int, devices: int
) -> Int[np.ndarray, "device step local"]:
    """Indices of the training images that each device sees in ``steps`` steps from ``step``."""
    batch = config.train.batch_size
    indices = order.indices(config.seed, step * batch, steps * batch, examples)
    return split_batch(indices.reshape(steps, batch), devices)


def steps_per_call(config: Config, start: int, at_most: int | None = None) -> int:
    """How many steps one compiled call runs: the largest number, up to ``train.steps_per_call`` and
    ``at_most``, that divides the run's length, its first step, and every cadence shorter than the run."""
    train = config.train
    cadences = (train.log_every, train.eval_every, train.checkpoint_every)
    common = math.gcd(train.steps, start, *(every for every in cadences if every < train.steps))
    return largest_divisor(common, min(train.steps_per_call, at_most or common))


def largest_divisor(number: int, at_most: int) -> int:
    """The largest divisor of ``number`` that is no more than ``at_most``."""
    small = (n for n in range(1, math.isqrt(number) + 1) if number % n == 0)
    return max(n for pair in small for n in (pair, number // pair) if n <= at_most)


class TrainCall:
    """``call(state, step) -> (state, report)``: runs ``steps`` training steps from the given one.

    It is compiled once, ahead of time: an argument of another shape or placement is an error and never a
    second compilation. The state's memory is donated, so the state that was passed is invalid after the call.
    The call returns before the devices finish. Every transfer to or from the devices is explicit.
    """

    def __init__(
        self,
        config: Config,
        images: ImageArray,
        devices: Sequence[Device],
        state: TrainState,
        steps: int,
        compiler: Callable[..., Callable] | None = None,
        feed: Feed | None = None,
    ):
        """``state`` may consist of shapes; ``compiler``, if given, compiles the steps. The ``images`` are
        copied to every device, unless a ``feed`` supplies those of each call."""
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
        """With several processes, the first call compiles; the value is complete only after it."""
        self._ran_before = False
        self._report: CallReport | None = None

    @property
    def streamed(self) -> bool:
        """Whether a feed supplies the images."""
        return self._feed is not None

    @property
    def waited(self) -> float:
        """Seconds so far in which the devices were idle because images had not arrived."""
        return 0.0 if self._feed is None else self._feed.waited

    def __call__(self, state: TrainState, step: int, stop: bool = False) -> tuple[TrainState, CallReport]:
        """Runs the steps. ``stop`` is this process's contribution to ``CallReport.stop``."""
        arguments = (*self._arguments(step, stop), self._keys)
        images = self._resident if self._feed is None else self._feed.images_for(step, self._report)
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

    # These are computed by the first call and not in ``__init__``: compiling needs only their shapes, and it
    # may run in another thread.

    @functools.cached_property
    def _keys(self) -> PyTree:
        return replicate(train_keys(self._config), self._devices)

    @functools.cached_property
    def _resident(self) -> PyTree:
        return replicate(np.asarray(self._images), self._devices)
