"""How do many steps become one compiled call? With its data on the devices and its order from the host."""

import time
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from jaxvae import order
from jaxvae.config import Config
from jaxvae.parallel import AXIS, Device, map_over_devices, replicate, split_batch
from jaxvae.state import TrainState
from jaxvae.step import Report, make_train_steps, train_keys


class TrainCall:
    """``call(state, step) -> (state, report)``: takes ``steps`` steps, beginning with the given one.

    Compiled once, ahead of time: an argument of another shape or placement is an error, never a second
    compilation. The state's memory is reused, so the state that was passed is gone after the call. The
    call returns before the devices are done.
    """

    def __init__(
        self,
        config: Config,
        images: UInt8[np.ndarray, "example height width channel"],
        devices: Sequence[Device],
        state: TrainState,
        steps: int,
    ):
        self._config, self._devices, self.steps = config, len(devices), steps
        self._size = len(images)
        self._constants = replicate((train_keys(config), images), devices)
        started = time.perf_counter()
        mapped = map_over_devices(
            make_train_steps(config, AXIS),
            devices,
            mapped=(False, True, False, False, False),
            out_mapped=False,
            donate=(0,),
        )
        self._compiled = mapped.lower(state, *self._arguments(0)).compile()
        self.compile_seconds = time.perf_counter() - started

    def __call__(self, state: TrainState, step: int) -> tuple[TrainState, Report]:
        return self._compiled(state, *self._arguments(step))

    def _arguments(self, step: int) -> tuple:
        train = self._config.train
        count = self.steps * train.batch_size
        indices = order.indices(self._config.seed, step * train.batch_size, count, self._size)
        rows = split_batch(indices.reshape(self.steps, train.batch_size), self._devices)
        return rows, np.bool_(step % train.log_every == 0), *self._constants
