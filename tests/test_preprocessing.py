import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.preprocessing import preprocess

LEVELS = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def test_bernoulli_draws_have_probability_pixel_over_255():
    keys = jax.random.split(jax.random.key(0), 20_000)
    draws = jax.vmap(preprocess, (None, 0, None))(jnp.asarray(LEVELS), keys, "dynamic")
    assert set(np.unique(draws)) == {0.0, 1.0}
    frequency = np.asarray(draws, np.float64).mean(0).reshape(-1)
    p = np.arange(256) / 255
    z = (frequency - p)[1:-1] / np.sqrt(p * (1 - p) / len(keys))[1:-1]
    # 254 nearly independent standard normals.
    assert np.abs(z).max() < 4.5
    assert abs((z**2).mean() - 1) < 0.3
    assert frequency[0] == 0
    assert frequency[255] == 1


def test_the_threshold_of_every_level_is_right_to_eight_millionths():
    level = np.arange(256)
    probability = (257 * level + (level > 127)) / 65536
    assert np.abs(probability - level / 255).max() < 8e-6
    # Odd sizes use the last word's first half.
    pixels = jnp.full((3, 3, 1), 255, jnp.uint8)
    assert np.all(preprocess(pixels, jax.random.key(0), "static") == 1)


def test_none_and_threshold_are_deterministic():
    key = jax.random.key(0)
    np.testing.assert_allclose(preprocess(jnp.asarray(LEVELS), key, "none"), LEVELS / 255, rtol=1e-6)
    np.testing.assert_array_equal(preprocess(jnp.asarray(LEVELS), key, "threshold"), LEVELS > 127)
