"""How good is the model? Every test, or validation, image, exactly once."""

import contextlib
import functools
import math
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from jaxvae.config import Config
from jaxvae.data.memory_map import Images, gather
from jaxvae.data.streaming import ImageStream, rows_at_most
from jaxvae.models.objectives import Bounds, importance_weighted_bounds
from jaxvae.models.preprocessing import preprocess
from jaxvae.models.vae import AbstractVAE
from jaxvae.training.compilation import Compiler
from jaxvae.training.keys import Stream, fold_in_each, stream
from jaxvae.training.parallel import (
    AXIS,
    Device,
    gather_over_devices,
    local_part,
    map_over_devices,
    replicate,
    shape_sharded,
    shard,
    split_batch,
)

ACTIVE_VARIANCE = 0.01
"""A latent is active if its posterior mean varies more than this over the test set (Burda et al. 2015); the
variance that a mean has because it is estimated from draws is not counted."""


class Evaluator:
    """Scores a model on a set of images and draws its pictures.

    The binarisation draw and the noise of an image are functions of (seed, its index): two evaluations
    of the same weights agree, and more importance samples only add draws. Always float32, at the highest
    precision of matrix products that the device has. The images are on every device, or, ``streamed``, are
    read again for each evaluation; the scores are the same. Each ``split`` has draws of its own.
    """

    def __init__(
        self,
        config: Config,
        images: Images,
        devices: Sequence[Device],
        streamed: bool = False,
        split: Literal["test", "validation"] = "test",
    ):
        self._config, self._devices, self._streamed = config, devices, streamed
        self._count = len(images)
        self._dimensions = math.prod(images.shape[1:])
        self._on_host = images
        pairs = min(config.eval.grid * (config.eval.grid // 2), self._count)
        shown = gather(images, np.arange(pairs))
        keys = tuple(stream(config.seed, name) for name in _STREAMS[split])
        self._keys, self._shown = replicate((keys, shown), devices)
        self._images = None if streamed else replicate(np.asarray(images), devices)
        self._score = self.map_scores(devices)
        self._draw = jax.jit(self._draw_pictures)

    def prepare(self, model: AbstractVAE, compiler: Compiler, draws: bool = True) -> Future[Any]:
        """Begins to compile, in the background, what will score and, if it ``draws``, draw models like this
        one, which may be only shapes. Returns what will score."""
        images: Any = self._images
        if self._streamed:
            _, rows, batch = self._pieces[0].shape
            shape = (rows, batch, *self._on_host.shape[1:])
            images = shape_sharded(shape, self._on_host.dtype, self._devices)
        arguments = *self._score_arguments(self._pieces[0], 1), images
        score = compiler.begin(compiler, self._score, self._devices, model, *arguments)
        self._score = lambda *arguments: score.result()(*arguments)
        if draws:
            draw = compiler.begin(compiler, self._draw, self._devices, model, self._shown, self._keys)
            self._draw = lambda *arguments: draw.result()(*arguments)
        return score

    def map_scores(self, devices: Sequence[Device]) -> Any:
        """What scores the images, still to be compiled: also for devices that are not here."""
        mapped = (False, True, False, False, self._streamed)
        return map_over_devices(self._score_rows, devices, mapped=mapped)

    def dispatch(self, model: AbstractVAE, samples: int) -> list[Bounds]:
        """Starts scoring, in one piece or, if images are streamed, several; the results' arrays are filled
        while the host goes on."""
        pieces, scores = self._pieces, []
        if not self._streamed:
            return [self._score(model, *self._score_arguments(pieces[0], samples), self._images)]

        def rows(number: int) -> Int[np.ndarray, "device row local"]:
            return local_part(pieces[number], self._devices)

        ahead = ImageStream(self._on_host, rows, len(pieces), self._devices, self._config.data.workers)
        with contextlib.closing(ahead):
            for piece in pieces:
                # No more pieces on the devices than the one that is scored, and the next.
                jax.block_until_ready(scores[-2:-1])
                images = ahead.next(scores[-1:])
                scores.append(self._score(model, *self._score_arguments(piece, samples), images))
        return scores

    @functools.cached_property
    def _pieces(self) -> list[Int[np.ndarray, "device row local"]]:
        """The images' indices, as they are scored at once: pieces of as many rows, rows of as many images."""
        # As few rows as ``eval.batch_size`` allows, as even as the devices can share them: an image's score
        # does not depend on the others, but a row that is filled up is computed whole. Whether images are
        # streamed must not show in it: a matrix product's bits may depend on its size.
        count = len(self._devices)
        rows = -(-self._count // (-(-self._config.eval.batch_size // count) * count))
        size = -(-self._count // (rows * count)) * count
        pieces = -(-rows // rows_at_most(size, self._on_host)) if self._streamed else 1
        each = -(-rows // pieces)
        # What is missing at the end is image 0 again, whose extra scores ``summarise`` cuts off.
        indices = np.zeros(pieces * each * size, np.int32)
        indices[: self._count] = np.arange(self._count)
        return [split_batch(piece, count) for piece in indices.reshape(-1, each, size)]

    def _score_arguments(self, piece: Int[np.ndarray, "device row local"], samples: int) -> tuple:
        samples_each = replicate(np.asarray(samples, np.int32), self._devices)
        return shard(piece, self._devices), samples_each, self._keys

    def of_each_image(self, bounds: list[Bounds]) -> Any:
        """The scores of every image in its order, as one ``Bounds`` of float64; waits for them."""
        pieces: Any = jax.device_get(bounds)

        def flat(*parts: np.ndarray) -> Float[np.ndarray, "example ..."]:
            scores = np.concatenate(parts)
            return scores.astype(np.float64).reshape(-1, *scores.shape[2:])[: self._count]

        return jax.tree.map(flat, *pieces)

    def summarise(self, bounds: list[Bounds], samples: int) -> dict[str, Any]:
        """Means over the images and their standard errors, in float64; waits for the scores.

        ``nll_bias`` and ``nll_draw_stderr`` are by how much the NLL is too high in expectation, and its
        standard error over draws, because there are finitely many: to first order ``c^2 / (2 K)`` and
        ``c / sqrt(K)`` of an image, ``c^2 = K / effective_samples - 1`` the variance of its weights by the
        square of their mean. ``rate_level_1`` and so on are what the rate of a model with several levels
        of latents is the sum of, in the model's order.

        Bits per dimension are those of the 8-bit image where its pixels are dequantised, because the density
        is one over pixels / 256, and where the likelihood gives probabilities of levels.
        """

        each = self.of_each_image(bounds)
        bits = 8 if self._config.data.dequantization == "uniform" else 0
        # Levels are added in the precision in which they came.
        rate = each.terms.rates.astype(np.float32).sum(-1).astype(np.float64)
        levels = each.terms.rates.mean(axis=0)
        distortion = each.terms.distortion
        elbo, log_likelihood = -(rate + distortion), each.importance_weighted
        gap, effective = log_likelihood - elbo, each.effective_samples
        # The squared coefficient of variation of each image's weights.
        spread = samples / effective - 1
        variance = variance_of_means(each)
        used = None if variance is None else int(np.sum(variance > ACTIVE_VARIANCE))
        return {
            "elbo": elbo.mean(),
            "elbo_stderr": standard_error(elbo),
            "rate": rate.mean(),
            **{f"rate_level_{i}": level for i, level in enumerate(levels, 1) if len(levels) > 1},
            "distortion": distortion.mean(),
            "nll": -log_likelihood.mean(),
            "nll_stderr": standard_error(log_likelihood),
            "nll_bias": spread.mean() / (2 * samples),
            "nll_draw_stderr": math.sqrt((spread / samples).sum()) / self._count,
            "effective_samples": effective.mean(),
            "gap": gap.mean(),
            "gap_stderr": standard_error(gap),
            "active_units": used,
            "bits_per_dim": -log_likelihood.mean() / (self._dimensions * math.log(2)) + bits,
            "importance_samples": samples,
            "examples": self._count,
        }

    def pictures(self, model: AbstractVAE) -> tuple[Array, Array]:
        """Starts drawing ``grid^2`` samples, and half as many images beside their reconstructions."""
        # Before JAX 0.8 what training returns is on the devices in a way that only pmap takes as it is.
        here = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, model)
        return self._draw(replicate(here, self._devices), self._shown, self._keys)

    def _inputs(self, pixels, keys, indices):
        return jax.vmap(preprocess, in_axes=(0, 0, None))(
            pixels, fold_in_each(keys[0], indices), self._config.data
        )

    def _score_rows(
        self,
        model: AbstractVAE,
        indices: Int[Array, "row batch"],
        samples: Int[Array, ""],
        keys: tuple[Key[Array, ""], ...],
        images: UInt8[Array, "... height width channel"],
    ) -> Bounds:
        def score(scored: tuple) -> Bounds:
            row, pixels = scored
            x = self._inputs(images[row] if pixels is None else pixels, keys, row)
            bounds = jax.vmap(importance_weighted_bounds, in_axes=(None, 0, 0, None))
            return bounds(model, x, fold_in_each(keys[1], row), samples)

        with jax.default_matmul_precision("highest"):
            scores = jax.lax.map(score, (indices, images if self._streamed else None))
        return gather_over_devices(scores, AXIS, axis=1)

    def _draw_pictures(self, model: AbstractVAE, images, keys) -> tuple[Array, Array]:
        latents = fold_in_each(keys[2], jnp.arange(self._config.eval.grid**2, dtype=jnp.int32))
        x = self._inputs(images, keys, jnp.arange(len(images), dtype=jnp.int32))
        both = jnp.stack([x, jax.vmap(model.reconstruct)(x)], axis=1)
        return jax.vmap(model.sample)(latents), both.reshape(-1, *x.shape[1:])


def standard_error(values: Float[np.ndarray, " example"]) -> float:
    """Of the mean of values in float64; NaN of a single one."""
    return values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def variance_of_means(each: Bounds) -> Float[np.ndarray, " latent"] | None:
    """How much each latent's posterior mean varies over the images of ``Evaluator.of_each_image``, less the
    variance of its estimate; None if the model does not say the means."""
    means: Any = each.posterior_mean
    if means is None:
        return None
    noise: Any = each.posterior_mean_variance
    return np.var(means, axis=0) - noise.mean(axis=0)


_STREAMS = {
    "test": (Stream.TEST_BINARIZATION, Stream.TEST_POSTERIOR, Stream.PICTURES),
    "validation": (Stream.VALIDATION_BINARIZATION, Stream.VALIDATION_POSTERIOR, Stream.PICTURES),
}
