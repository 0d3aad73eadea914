"""What is an analysis given? The model, the run's configuration and images, and keys of its own."""

import dataclasses
import functools
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, PyTree

from jaxvae.analysis.options import Options
from jaxvae.config import Config
from jaxvae.data.load import Dataset
from jaxvae.data.memory_map import gather
from jaxvae.data.placement import choose_places
from jaxvae.models.preprocessing import preprocess
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.evaluation import Evaluator, standard_error
from jaxvae.training.compilation import Compiler
from jaxvae.training.compiled_programs import users_cache
from jaxvae.training.keys import Stream, fold_in_each, stream
from jaxvae.training.parallel import Device


@dataclasses.dataclass(frozen=True)
class Context:
    """A trained model, and what it is studied on.

    Analyses compute on the first device, in float32 at the highest precision of matrix products, a piece of
    ``eval.batch_size`` images at a time. Their random numbers are functions of the run's seed and of an
    image's index.
    """

    config: Config
    """The run's."""
    options: Options
    model: AbstractVAE
    """Precomputed, on every device."""
    dataset: Dataset
    """Its test images are only those that are evaluated."""
    devices: Sequence[Device]
    evaluator: Evaluator
    """Of the test images, on all devices."""
    bounds: Any
    """What it said: ``Bounds`` of every test image, in float64."""
    test: dict[str, Any]
    """The means over the images, as in ``summary.json``."""
    fewer: dict[str, Any] | None
    """The same with an eighth of the importance samples; None if these are few."""
    samples: int
    """The importance samples of each image in them."""
    history: Sequence[dict[str, Any]] = ()
    """What the run logged while it was trained: the rows of ``metrics.jsonl``."""
    say: Callable[[str], None] = lambda line: None
    """For lines about the progress of long work."""

    def key(self, purpose: str) -> Key[Array, ""]:
        """The root of the random numbers of this purpose, apart from all those of training and evaluation."""
        # Streams of a run are folded in by small numbers (``Stream``).
        number = 2**31 + zlib.crc32(purpose.encode()) // 2
        return jax.random.fold_in(jax.random.key(self.config.seed, impl="threefry2x32"), np.uint32(number))

    @property
    def draw_key(self) -> Key[Array, ""]:
        """Root of the draws that are importance samples: folded by the image's index, then by the sample."""
        return stream(self.config.seed, Stream.TEST_POSTERIOR)

    def test_inputs(self, indices: Int[np.ndarray, " some"]) -> Float[Array, "some height width channel"]:
        """Test images as the model sees them, with the binarisation of the run's evaluations."""
        key = stream(self.config.seed, Stream.TEST_BINARIZATION)
        return self._inputs(self.dataset.test, key, indices)

    def train_inputs(self, indices: Int[np.ndarray, " some"]) -> Float[Array, "some height width channel"]:
        """Training images as the model sees them. If every visit binarises or dequantises them anew, this is
        one draw of it."""
        key = stream(self.config.seed, Stream.STATIC_BINARIZATION)
        return self._inputs(self.dataset.train, key, indices)

    def pieces(self, count: int, at_once: int | None = None) -> Iterator[Int[np.ndarray, " some"]]:
        """The indices below ``count``, in pieces of one size, ``eval.batch_size`` or ``at_once`` if that is
        smaller: what is missing at the end is index 0 again."""
        size = min(count, at_once or self.config.eval.batch_size, self.config.eval.batch_size)
        for start in range(0, count, size):
            yield np.pad(
                np.arange(start, min(start + size, count), dtype=np.int32), (0, max(0, start + size - count))
            )

    def over_images(
        self,
        function: Callable[[AbstractVAE, Float[Array, "height width channel"], Key[Array, ""]], PyTree],
        key: Key[Array, ""],
        of_training: bool = False,
        indices: Int[np.ndarray, " some"] | None = None,
        at_once: int | None = None,
        saying: str | None = None,
    ) -> PyTree:
        """``function(model, x, fold_in(key, index))`` of every image, or of those with these indices: of its
        results, arrays with one axis more, the first, on the host. ``at_once`` images are computed together.
        With ``saying``, what is done, its progress is said now and then."""
        inputs = self.train_inputs if of_training else self.test_inputs
        if indices is None:
            indices = np.arange(len(self.dataset.train if of_training else self.dataset.test), dtype=np.int32)
        mapped = jax.jit(jax.vmap(function, in_axes=(None, 0, 0)))
        found, model, progress = [], self.first_model, Progress(self.say, saying, len(indices))
        with jax.default_matmul_precision("highest"):
            for piece in self.pieces(len(indices), at_once):
                chosen = indices[piece]
                found.append(
                    jax.device_get(mapped(model, inputs(chosen), fold_in_each(key, jnp.asarray(chosen))))
                )
                progress.after(len(found) * len(piece))
        return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(indices)], *found)

    @functools.cached_property
    def latent_rates(self) -> tuple[Float[np.ndarray, "example latent"] | None, str]:
        """The rate of each latent of each test image, in float64, where it is known; and its ``kind``, as in
        ``LatentRates``."""

        def of_image(model, x, key):
            return model.latent_rates(model.encode(x), key=jax.random.fold_in(key, 0))

        found = self.over_images(of_image, self.draw_key)
        return None if found.each is None else found.each.astype(np.float64), found.kind

    @functools.cached_property
    def levels(self) -> list[int]:
        """How many latents each level has."""

        def latents(model):
            encoded = model.encode(jnp.zeros(model.image_shape, jnp.float32))
            return model.draw(encoded, key=jax.random.key(0)).latents

        return [leaf.size for leaf in jax.tree.leaves(jax.eval_shape(latents, self.first_model))]

    @functools.cached_property
    def found_before(self) -> dict[str, Any]:
        """What one analysis leaves for another that would compute the same."""
        return {}

    @functools.cached_property
    def first_model(self) -> AbstractVAE:
        """The model on the first device alone."""
        return jax.device_put(jax.device_get(self.model), self.devices[0])

    def _inputs(self, images, key, indices):
        return _preprocessed(
            self.config.data, jnp.asarray(gather(images, indices)), key, jnp.asarray(indices)
        )


@functools.partial(jax.jit, static_argnums=0)
def _preprocessed(data, pixels, key, indices):
    return jax.vmap(preprocess, in_axes=(0, 0, None))(pixels, fold_in_each(key, indices), data)


class Progress:
    """Says how far long work is, at most every ten seconds, and when it will end."""

    def __init__(self, say: Callable[[str], None], what: str | None, count: int):
        self._say, self._what, self._count = say, what, count
        self._started = self._told = time.monotonic()

    def after(self, done: int) -> None:
        """So many images are done."""
        now = time.monotonic()
        if self._what is None or done >= self._count or now - self._told < 10:
            return
        self._told = now
        left = (now - self._started) * (self._count / done - 1)
        self._say(f"{self._what}: {done} of {self._count} images; about {_duration(left)} left.")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def evaluator_of(
    config: Config,
    dataset: Dataset,
    devices: Sequence[Device],
    model: AbstractVAE,
    streamed: bool = False,
) -> Evaluator:
    """What scores models like this one, which is on these devices, on the test images: by the programs that
    training has, so that the bits are the same. ``streamed``: the images are on no device beside the ones
    that are scored, however small they are."""
    streamed = streamed or choose_places(config.data.placement, dataset, devices).test_streams
    evaluator = Evaluator(config, dataset.test, devices, streamed)
    with Compiler(users_cache()) as compiler:
        evaluator.prepare(model, compiler, draws=False).result()
    return evaluator


def mean_and_error(values: Float[np.ndarray, " image"]) -> tuple[float, float]:
    """Mean over images, and its standard error; NaN of a single one."""
    values = values.astype(np.float64)
    return float(values.mean()), float(standard_error(values))


class Analysis(NamedTuple):
    """What can be asked for by the option of its name."""

    analyse: Callable[[Context], dict[str, Any]]
    """Its numbers and arrays, by name; under ``of_each_image``, arrays that ``--scores`` writes too."""
    lines: Callable[[dict[str, Any]], list[str]]
    """The same to be read: lines of text."""
    refuse: Callable[[Options, Config], None] = lambda options, config: None
    """Raises UserError for what cannot work, before anything is computed."""
