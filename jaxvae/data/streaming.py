"""How do images that do not fit on the devices reach them? Grain reads ahead, one call's images at a time."""

import math
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxvae.config import Config
from jaxvae.data.memory_map import Images, file_status, gather
from jaxvae.errors import RunError, UserError
from jaxvae.training.fused_steps import call_indices
from jaxvae.training.parallel import Device, local_part, shard_local

CHUNK_BYTES = 2**26
"""The most bytes that one call's images may take, unless a single batch is larger."""


def rows_at_most(batch_size: int, images: Images) -> int:
    """How many batches one chunk may hold."""
    return max(1, CHUNK_BYTES // (batch_size * math.prod(images.shape[1:])))


class ImageStream:
    """Chunks of images on the devices, each ready before it is requested if reading keeps up.

    ``rows(i)`` gives the indices of the images of chunk i for this process's devices, which are its leading
    axis. ``workers`` threads of Grain gather chunks in that order, and one more thread copies the next chunk
    to the devices. Threads are used and not Grain's processes: reading bytes does not hold Python's lock, and
    threads start at once, share memory and cannot outlive a run that is killed. About ``workers + 4`` chunks
    are in memory at any time.
    """

    def __init__(
        self,
        images: Images,
        rows: Callable[[int], Int[np.ndarray, "device row local"]],
        count: int,
        devices: Sequence[Device],
        workers: int,
    ):
        self.waited = 0.0
        self._left, self._devices = count, devices
        self._thread = ThreadPoolExecutor(1, "stream")
        self._chunks = _read_ahead(import_grain(), _Chunks(images, rows, count), workers)
        self._next: Future[Array] | None = None
        self._begin()

    def next(self, running: Any) -> UInt8[Array, "device row local height width channel"]:
        """The next chunk. Time until ``running``, the current computation, is ready does not count."""
        assert self._next is not None, "there is no further chunk"
        if not self._next.done():
            jax.block_until_ready(running)
            started = time.perf_counter()
            self._next.exception()
            self.waited += time.perf_counter() - started
        chunk = self._next.result()
        self._begin()
        return chunk

    def close(self) -> None:
        """Stops reading."""
        self._left = 0
        self._thread.shutdown(cancel_futures=True)
        self._chunks.close()
        self._next = None

    def _begin(self) -> None:
        self._next = self._thread.submit(self._fetch) if self._left > 0 else None
        self._left -= 1

    def _fetch(self) -> Array:
        return jax.block_until_ready(shard_local(next(self._chunks), self._devices))


class _Chunks:
    """Chunks by number, in the form that Grain requires of a data source."""

    def __init__(self, images: Images, rows: Callable[[int], np.ndarray], count: int):
        self._images: Any = images
        self._rows, self._count = rows, count
        self._status = file_status(images)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> np.ndarray:
        if file_status(self._images) != self._status:
            raise RunError(f"{self._images.filename} was changed while the run read images from it")
        return gather(self._images, self._rows(index))


def import_grain() -> Any:
    """Imports Grain, which takes a while. The main thread must call this before it starts other threads:
    Grain's import replaces ``import`` in the whole process for a time, and a module that another thread
    imports meanwhile would be a stand-in. Raises UserError if Grain is not installed.
    """
    try:
        import grain
        from absl import flags
    except ImportError as error:
        raise UserError(f"streaming images needs Grain ({error}): pip install grain") from error
    # Grain reads absl's flags, which are not parsed because our command line does not use absl.
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    return grain


def _read_ahead(grain: Any, chunks: _Chunks, workers: int) -> Generator[np.ndarray, None, None]:
    # A generator, so that this runs only when the first chunk is requested, in the thread that requests it.
    options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers)
    yield from grain.MapDataset.source(chunks).to_iter_dataset(options)


class TrainFeed(ImageStream):
    """The ``Feed`` of calls of ``steps`` steps, from step ``start`` to ``stop``.

    The images of a call depend only on the seed and the call's first step, so a run that continues needs
    nothing but that step.
    """

    def __init__(
        self,
        config: Config,
        images: Images,
        devices: Sequence[Device],
        start: int,
        stop: int,
        steps: int,
    ):
        def rows(number: int) -> Int[np.ndarray, "device step local"]:
            step = start + number * steps
            return local_part(call_indices(config, len(images), step, steps, len(devices)), devices)

        self._step, self._steps = start, steps
        super().__init__(images, rows, (stop - start) // steps, devices, config.data.workers)

    def images_for(self, step: int, running: Any) -> UInt8[Array, "device step local height width channel"]:
        """The images of the call that begins with ``step``, which must be the next in order."""
        assert step == self._step, (step, self._step)
        self._step += self._steps
        return self.next(running)
