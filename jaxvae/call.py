"""How do many steps become one compiled call? With its data on the devices and its order from the host."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxvae import order
from jaxvae.config import Config
from jaxvae.parallel import (
    AXIS,
    Device,
    compile_for,
    local_devices,
    map_over_devices,
    replicate,
    shard,
    split_batch,
)
from jaxvae.state import TrainState
from jaxvae.step import Report, make_train_steps, train_keys


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
    ):
        self._config, self._devices, self.steps = config, devices, steps
        self._size = len(images)
        self._constants = replicate((train_keys(config), images), devices)
        started = time.perf_counter()
        mapped = map_over_devices(
            make_train_steps(config, AXIS),
            devices,
            mapped=(False, True, True, False, False, False),
            donate=(0,),
        )
        self._run: Any = compile_for(mapped, devices, state, *self._arguments(0, False))
        self.compile_seconds = time.perf_counter() - started
        """With several processes it is known after the first call, which compiles."""
        self._ran_before = False

    def __call__(self, state: TrainState, step: int, stop: bool = False) -> tuple[TrainState, Report]:
        """``stop`` is this process's word for ``Report.stop``."""
        arguments = self._arguments(step, stop)
        started = time.perf_counter()
        result = self._run(state, *arguments)
        if not self._ran_before and len(local_devices(self._devices)) < len(self._devices):
            self.compile_seconds += time.perf_counter() - started
        self._ran_before = True
        return result

    def program(self) -> str:
        """The compiled program as XLA prints it, in HLO; only where one process has all the devices."""
        return self._run.as_text()

    def _arguments(self, step: int, stop: bool) -> tuple:
        train, count = self._config.train, len(self._devices)
        positions = self.steps * train.batch_size
        indices = order.indices(self._config.seed, step * train.batch_size, positions, self._size)
        rows = split_batch(indices.reshape(self.steps, train.batch_size), count)
        sharded = shard((rows, np.full(count, stop)), self._devices)
        return *sharded, replicate(np.asarray(step, np.int32), self._devices), *self._constants
