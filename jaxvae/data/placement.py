"""Where do the images live during a run? On every device if they fit there; else they are streamed."""

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

from jaxvae.config import Config, Data
from jaxvae.config.fields import Placement
from jaxvae.data.load import Dataset
from jaxvae.data.memory_needs import describe_bytes, needs
from jaxvae.data.streaming import TrainFeed, import_grain, rows_at_most
from jaxvae.errors import UserError
from jaxvae.system.platforms import host_memory
from jaxvae.training import processes
from jaxvae.training.fused_steps import steps_per_call
from jaxvae.training.parallel import Device, local_devices

SHARE = 0.5
"""The share of a device's memory that images may fill; the rest is left to the model."""


class Places(NamedTuple):
    """Which of the sets are streamed."""

    train_streams: bool
    test_streams: bool
    memory: int
    """Bytes of memory of one device, of which images may fill ``SHARE``."""
    validation_streams: bool | None = None
    """None: there are no validation images."""

    @property
    def any_streams(self) -> bool:
        """Whether any set is streamed."""
        return bool(self.train_streams or self.test_streams or self.validation_streams)

    def steps_at_most(self, config: Config, dataset: Dataset) -> int:
        """How many steps one call may take."""
        return (
            rows_at_most(config.train.batch_size, dataset.train) if self.train_streams else config.train.steps
        )

    @contextlib.contextmanager
    def feed(
        self, config: Config, dataset: Dataset, devices: Sequence[Device], start: int, stop: int, steps: int
    ) -> Iterator[TrainFeed | None]:
        """The stream of images for calls of ``steps`` steps from ``start`` to ``stop``; None if resident."""
        if not self.train_streams:
            yield None
            return
        with contextlib.closing(TrainFeed(config, dataset.train, devices, start, stop, steps)) as stream:
            yield stream

    def check(self, data: Data) -> None:
        """Raises UserError if ``data.workers`` was set but nothing is streamed."""
        if not self.any_streams and data.workers != Data().workers:
            raise UserError(
                f"--data.workers {data.workers} does nothing: the images are {self.describe()}, and nothing "
                "is streamed. Add --data.placement stream, or leave it out"
            )

    def describe(self) -> str:
        """The placement in words, for messages."""
        limit = f"{SHARE * self.memory / 1e9:.1f} GB would fit"
        streams = {"training": self.train_streams, "test": self.test_streams}
        if self.validation_streams is not None:
            streams = {"training": self.train_streams, "validation": self.validation_streams} | streams
        if len({*streams.values()}) == 1:
            return f"{'streamed' if self.train_streams else 'on each device'} ({limit})"
        streamed = " and ".join(name for name, streams_ in streams.items() if streams_)
        held = " and ".join(name for name, streams_ in streams.items() if not streams_)
        streamed, held = f"the {streamed} images streamed ({limit})", f"the {held} images on each device"
        return f"{streamed}, {held}" if self.train_streams else f"{held}, {streamed}"


def choose_places(placement: Placement, dataset: Dataset, devices: Sequence[Device]) -> Places:
    """Where each set lives: as ``placement`` says, or for ``auto`` by size: resident as long as they fit, in
    the order in which they are needed: training, validation, test images. With several processes, the first
    process decides.

    If anything is streamed this imports Grain, so it must be called before other threads import anything.
    Raises UserError if Grain is not installed.
    """
    places = _choose(placement, dataset, device_memory(local_devices(devices)))
    if places.any_streams:
        import_grain()
    return places


def _choose(placement: Placement, dataset: Dataset, memory: int) -> Places:
    validates = dataset.validation is not None
    if placement != "auto":
        streams = placement == "stream"
        return Places(streams, streams, memory, streams if validates else None)
    room, found = SHARE * memory, []
    for images in dataset.sets():
        found.append(images.nbytes > room)
        room -= 0 if found[-1] else images.nbytes
    *found, memory = processes.broadcast(np.asarray([*found, memory], np.int64)).tolist()
    train, *validation, test = map(bool, found)
    return Places(train, test, memory, *validation)


def device_memory(devices: Sequence[Device]) -> int:
    """Bytes of a device's memory. CPU devices share the machine's memory, and each holds its own copy."""
    stats = devices[0].memory_stats() if devices[0].platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"]
    return host_memory() // len(devices)


def refuse_what_cannot_fit(
    config: Config, tests: int, image_shape: tuple[int, ...], state: PyTree, devices: Sequence[Device]
) -> None:
    """Raises UserError if something needs more than a device's memory; the message lists each such need with
    its bytes and the fields that determine it. ``state`` holds the shapes of the run's state, for images of
    ``image_shape``, of which ``tests`` are test images."""
    local = local_devices(devices)
    memory, kind, size = device_memory(local), local[0].device_kind, state_bytes(state)
    found = [
        f"{need.what} {describe_bytes(need.size)} at least: --"
        + ", --".join(f"{name} {value}" for name, value in need.fields.items())
        for need in needs(config, tests, image_shape, size, len(devices), steps_per_call(config, 0))
        if need.size > memory
    ]
    if found:
        reasons = "\n".join(found)
        raise UserError(f"a device ({kind}) has {describe_bytes(memory)} of memory, and {reasons}")


def state_bytes(state: PyTree) -> int:
    """Bytes of all arrays, or shapes, in a tree."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
