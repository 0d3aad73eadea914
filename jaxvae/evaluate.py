"""How good is the model? Every test image, exactly once."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, UInt8

from jaxvae.compiler import Compiler
from jaxvae.config import Config
from jaxvae.keys import Stream, fold_in_each, stream
from jaxvae.objectives import Bounds, importance_weighted_bounds
from jaxvae.parallel import AXIS, Device, gather_over_devices, map_over_devices, replicate, shard, split_batch
from jaxvae.preprocessing import preprocess
from jaxvae.vae import VAE

ACTIVE_VARIANCE = 0.01
"""A latent is active if its posterior mean varies more than this over the test set (Burda et al. 2015)."""


class Evaluator:
    """Scores a model on a set of images and draws its pictures.

    The binarisation draw and the noise of an image are functions of (seed, its index): two evaluations
    of the same weights agree, and more importance samples only add draws. Always float32, at the highest
    precision of matrix products that the device has.
    """

    def __init__(
        self,
        config: Config,
        images: UInt8[np.ndarray, "example height width channel"],
        devices: Sequence[Device],
    ):
        self._config = config
        self._count = len(images)
        self._dimensions = math.prod(images.shape[1:])
        self._devices = devices
        self._images, self._keys = replicate(
            (images, tuple(stream(config.seed, name) for name in _STREAMS)), devices
        )
        self._score = self.map_scores(devices)
        self._draw = jax.jit(self._draw_pictures)

    def prepare(self, model: VAE, compiler: Compiler) -> None:
        """Begins to compile, in the background, what will score and draw models like this one, which may be
        only shapes."""
        score = compiler.begin(compiler, self._score, self._devices, model, *self._score_arguments(1))
        draw = compiler.begin(compiler, self._draw, self._devices, model, self._images, self._keys)
        self._score = lambda *arguments: score.result()(*arguments)
        self._draw = lambda *arguments: draw.result()(*arguments)

    def map_scores(self, devices: Sequence[Device]) -> Any:
        """What scores the images, still to be compiled: also for devices that are not here."""
        return map_over_devices(self._score_rows, devices, mapped=(False, True, False, False, False))

    def dispatch(self, model: VAE, samples: int) -> Bounds:
        """Starts scoring; the result's arrays are filled while the host goes on."""
        return self._score(model, *self._score_arguments(samples))

    def _score_arguments(self, samples: int) -> tuple:
        # Rounded up to what the devices can share: an image's score does not depend on the others.
        count = len(self._devices)
        batch_size = -(-self._config.eval.batch_size // count) * count
        rows = -(-self._count // batch_size)
        # The last batch is filled up with image 0, whose extra scores ``summarise`` cuts off.
        indices = np.zeros(rows * batch_size, np.int32)
        indices[: self._count] = np.arange(self._count)
        indices = shard(split_batch(indices.reshape(rows, batch_size), count), self._devices)
        samples_each = replicate(np.asarray(samples, np.int32), self._devices)
        return indices, samples_each, self._keys, self._images

    def summarise(self, bounds: Bounds, samples: int) -> dict[str, Any]:
        """Means over the images and their standard errors, in float64; waits for the scores."""

        host: Any = jax.device_get(bounds)

        def flat(scores: np.ndarray) -> Float[np.ndarray, "example ..."]:
            return scores.astype(np.float64).reshape(-1, *scores.shape[2:])[: self._count]

        rate, distortion = flat(host.terms.rate), flat(host.terms.distortion)
        elbo, log_likelihood = -(rate + distortion), flat(host.importance_weighted)
        gap = log_likelihood - elbo
        variance = np.var(flat(host.posterior_mean), axis=0)
        return {
            "elbo": elbo.mean(),
            "elbo_stderr": self._standard_error(elbo),
            "rate": rate.mean(),
            "distortion": distortion.mean(),
            "nll": -log_likelihood.mean(),
            "nll_stderr": self._standard_error(log_likelihood),
            "gap": gap.mean(),
            "gap_stderr": self._standard_error(gap),
            "active_units": int(np.sum(variance > ACTIVE_VARIANCE)),
            "bits_per_dim": -log_likelihood.mean() / (self._dimensions * math.log(2)),
            "importance_samples": samples,
            "examples": self._count,
        }

    def pictures(self, model: VAE) -> tuple[Array, Array]:
        """Starts drawing ``grid^2`` samples, and half as many test images beside their reconstructions."""
        # Before JAX 0.8 what training returns is on the devices in a way that only pmap takes as it is.
        here = jax.tree.map(lambda leaf: leaf.addressable_shards[0].data, model)
        return self._draw(replicate(here, self._devices), self._images, self._keys)

    def _standard_error(self, values: Float[np.ndarray, " example"]) -> float:
        return values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else math.nan

    def _inputs(self, pixels, keys, indices):
        binarization = fold_in_each(keys[0], indices)
        mode = self._config.data.binarization
        return jax.vmap(preprocess, in_axes=(0, 0, None))(pixels, binarization, mode)

    def _score_rows(
        self,
        model: VAE,
        indices: Int[Array, "row batch"],
        samples: Int[Array, ""],
        keys: tuple[Key[Array, ""], ...],
        images: UInt8[Array, "example height width channel"],
    ) -> Bounds:
        def score(row: Int[Array, " batch"]) -> Bounds:
            x = self._inputs(images[row], keys, row)
            bounds = jax.vmap(importance_weighted_bounds, in_axes=(None, 0, 0, None))
            return bounds(model, x, fold_in_each(keys[1], row), samples)

        with jax.default_matmul_precision("highest"):
            scores = jax.lax.map(score, indices)
        return gather_over_devices(scores, AXIS, axis=1)

    def _draw_pictures(self, model: VAE, images, keys) -> tuple[Array, Array]:
        grid = self._config.eval.grid
        pairs = min(grid * (grid // 2), self._count)
        latents = fold_in_each(keys[2], jnp.arange(grid**2))
        x = self._inputs(images[:pairs], keys, jnp.arange(pairs))
        both = jnp.stack([x, jax.vmap(model.reconstruct)(x)], axis=1)
        return jax.vmap(model.sample)(latents), both.reshape(-1, *x.shape[1:])


_STREAMS = (Stream.TEST_BINARIZATION, Stream.TEST_POSTERIOR, Stream.PICTURES)
