"""How do many steps become one compiled call? With its data on the devices and its order from the host."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree, UInt8

from jaxvae import hosts, order
from jaxvae.config import Config
from jaxvae.parallel import (
    AXIS,
    Device,
    compile_for,
    map_over_devices,
    replicate,
    shapes_replicated,
    shard,
    split_batch,
)
from jaxvae.state import TrainState
from jaxvae.step import Report, make_train_steps, train_keys


def map_train_steps(config: Config, devices: Sequence[Device]) -> Any:
    """What a ``TrainCall`` compiles, still to be compiled: also for devices that are not here."""
    return map_over_devices(
        make_train_steps(config, AXIS),
        devices,
        mapped=(False, True, True, False, False, False),
        donate=(0,),
    )


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
    ):
        """``state`` may be only shapes; ``compiler``, if there is one, makes a program of the steps."""
        self._config, self._images, self._devices, self.steps = config, images, devices, steps
        started = time.perf_counter()
        mapped = map_train_steps(config, devices)
        keys = jax.eval_shape(lambda: train_keys(config))
        arguments = (state, *self._arguments(0, False), *shapes_replicated((keys, images), devices))
        self._run: Any = (compiler or compile_for)(mapped, devices, *arguments)
        self.compile_seconds = time.perf_counter() - started
        """With several processes it is known after the first call, which compiles."""
        self._ran_before = False

    def __call__(self, state: TrainState, step: int, stop: bool = False) -> tuple[TrainState, Report]:
        """``stop`` is this process's word for ``Report.stop``."""
        arguments = (*self._arguments(step, stop), *self._constants)
        started = time.perf_counter()
        result = self._run(state, *arguments)
        if not self._ran_before and hosts.count() > 1:
            self.compile_seconds += time.perf_counter() - started
        self._ran_before = True
        return result

    def program(self) -> str:
        """The compiled program as XLA prints it, in HLO; only where one process has all the devices."""
        return self._run.as_text()

    def _arguments(self, step: int, stop: bool) -> tuple:
        train, count = self._config.train, len(self._devices)
        positions = self.steps * train.batch_size
        indices = order.indices(self._config.seed, step * train.batch_size, positions, len(self._images))
        rows = split_batch(indices.reshape(self.steps, train.batch_size), count)
        sharded = shard((rows, np.full(count, stop)), self._devices)
        return *sharded, replicate(np.asarray(step, np.int32), self._devices)

    @functools.cached_property
    def _constants(self) -> PyTree:
        # Made by the first call: compiling needs their shapes only, and may be done by another thread.
        return replicate((train_keys(self._config), self._images), self._devices)
