import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.config import Data
from jaxvae.models.preprocessing import flip_half, preprocess

DYNAMIC = Data(binarization="dynamic")
LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def test_bernoulli_draws_have_probability_pixel_over_255():
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = jax.vmap(preprocess, (None, 0, None))(jnp.asarray(LEVELS), keys, DYNAMIC)
    assert set(np.unique(draws)) == {0.0, 1.0}
    frequency = np.asarray(draws, np.float64).mean(0).reshape(-1)
    p = np.arange(256) / 255
    z = (frequency - p)[1:-1] / np.sqrt(p * (1 - p) / len(keys))[1:-1]
    # 254 nearly independent standard normals.
    assert np.abs(z).max() < 4.5
    assert abs((z**2).mean() - 1) < 0.3
    assert frequency[0] == 0
    assert frequency[255] == 1


def test_the_rule_gives_every_level_its_exact_probability():
    r, d = np.meshgrid(np.arange(256), np.arange(255))
    for level in range(256):
        rule = (r < level) | ((r == level) & (d < level))
        np.testing.assert_array_equal(rule, 255 * r + d < 256 * level)
        assert rule.mean() == level / 255
    # A number of pixels that is no multiple of four uses a part of the last word.
    pixels = jnp.full((3, 3, 1), 255, jnp.uint8)
    assert np.all(preprocess(pixels, jax.random.key(0), Data(binarization="static")) == 1)


def test_pixels_are_independent_up_to_what_they_share():
    keys = jax.random.split(jax.random.key(1), 40_000)
    pixels = jnp.full((6, 6, 1), 100, jnp.uint8)
    draws = np.asarray(jax.vmap(preprocess, (None, 0, None))(pixels, keys, DYNAMIC)).reshape(-1, 36)
    correlations = np.corrcoef(draws.T)[np.triu_indices(36, 1)]
    # 630 pairs, each with a standard error of 1 / 200.
    assert np.abs(correlations).max() < 4.5 / 200
    assert abs(correlations.mean()) < 4 / 200 / math.sqrt(630)


def test_none_and_threshold_are_deterministic():
    key = jax.random.key(0)
    plain, threshold = (
        preprocess(jnp.asarray(LEVELS), key, Data(binarization=mode)) for mode in ("none", "threshold")
    )
    np.testing.assert_allclose(plain, LEVELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(threshold, LEVELS > 127)


def test_dequantised_pixels_are_uniform_within_their_level():
    data = Data(binarization="none", dequantization="uniform")
    keys = jax.random.split(jax.random.key(2), 4_000)
    draws = np.asarray(jax.vmap(preprocess, (None, 0, None))(jnp.asarray(LEVELS), keys, data), np.float64)
    u = draws.reshape(-1, 256) * 256 - np.arange(256)
    assert u.min() >= 0
    assert u.max() < 1
    # Standard errors of the mean and of the variance of a uniform number, over a million draws.
    assert abs(u.mean() - 0.5) < 4 * math.sqrt(1 / 12 / u.size)
    assert abs(u.var() - 1 / 12) < 4 * math.sqrt(1 / 180 / u.size)
    correlations = np.asarray(np.corrcoef(u[:, :40], rowvar=False)).reshape(40, 40)[np.triu_indices(40, 1)]
    assert np.abs(correlations).max() < 4.5 / math.sqrt(len(keys))
    # An odd number of pixels uses half of the last word.
    odd = preprocess(jnp.full((3, 3, 1), 255, jnp.uint8), jax.random.key(0), data)
    assert 255 / 256 <= odd.min() <= odd.max() < 1


def test_half_of_the_images_are_mirrored():
    x = jnp.asarray(LEVELS, jnp.float32)
    keys = jax.random.split(jax.random.key(3), 4_000)
    flipped = np.asarray(jax.vmap(flip_half, (None, 0))(x, keys))
    same, mirrored = (np.all(flipped == image, axis=(1, 2, 3)) for image in np.stack([x, x[:, ::-1]]))
    assert np.all(same ^ mirrored)
    assert abs(mirrored.mean() - 0.5) < 4 * 0.5 / math.sqrt(len(keys))
