import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.networks import MLP, ConvDecoder, ConvEncoder, Convolution, MLPDecoder, MLPEncoder


def numpy_mlp(mlp, x, activation):
    for layer in mlp.layers[:-1]:
        x = activation(np.asarray(layer.matrix, float) @ x + np.asarray(layer.bias, float))
    last = mlp.layers[-1]
    return np.asarray(last.matrix, float) @ x + np.asarray(last.bias, float)


@pytest.mark.parametrize("widths", [(6, 4), (6, 5, 4), (6, 7, 5, 4)])
def test_an_mlp_is_affine_maps_with_the_activation_between(widths):
    mlp = MLP(widths, "tanh", key=jax.random.key(0))
    x = np.random.default_rng(0).normal(size=6).astype(np.float32)
    np.testing.assert_allclose(mlp(jnp.asarray(x)), numpy_mlp(mlp, x, np.tanh), rtol=1e-5, atol=1e-6)


def test_weights_start_glorot_uniform_and_biases_zero():
    layer = MLP((400, 200), "relu", key=jax.random.key(1)).layers[0]
    bound = np.sqrt(6 / 600)
    assert 0.99 * bound < np.abs(layer.weight).max() <= bound * (1 + 1e-6)
    np.testing.assert_allclose(np.std(layer.weight), bound / np.sqrt(3), rtol=0.01)
    assert np.all(np.asarray(layer.bias) == 0)


def test_the_encoder_gives_a_mean_and_a_bounded_log_scale():
    encoder = MLPEncoder((4, 4, 1), (8,), 3, "relu", key=jax.random.key(2))
    x = jax.random.normal(jax.random.key(3), (4, 4, 1))
    both = encoder.mlp(x.reshape(-1))
    posterior = encoder(x)
    np.testing.assert_array_equal(posterior.mean, both[:3])
    np.testing.assert_allclose(posterior.log_scale, 8 * np.tanh(both[3:] / 8), rtol=1e-6)
    assert np.all(np.abs(encoder(1e30 * x).log_scale) <= 8)


def test_the_decoder_starts_from_its_output_bias():
    bias = jax.random.normal(jax.random.key(4), (4, 5, 2))
    decoder = MLPDecoder((4, 5, 2), (8,), 3, "relu", bias, key=jax.random.key(5))
    np.testing.assert_array_equal(decoder(jnp.zeros(3)), bias)


def test_a_network_of_bfloat16_weights_computes_in_bfloat16_and_returns_float32():
    mlp = MLP((6, 5, 4), "relu", key=jax.random.key(0))
    low = jax.tree.map(lambda w: w.astype(jnp.bfloat16), mlp)
    x = jnp.linspace(-1, 1, 6)
    assert low(x).dtype == jnp.float32
    np.testing.assert_array_equal(low(x), low(x).astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(low(x), mlp(x), atol=0.05)


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 18, 3), (1, 5, 2)])
def test_convolutional_networks_take_images_of_any_size(shape):
    keys = jax.random.split(jax.random.key(0), 4)
    encoder = ConvEncoder(shape, (4, 6), (8,), 3, "gelu", key=keys[0])
    bias = jax.random.normal(keys[1], shape)
    decoder = ConvDecoder(shape, (6, 4), (8,), 3, "gelu", bias, key=keys[2])
    x = jax.random.normal(keys[3], shape)
    posterior = encoder(x)
    assert posterior.mean.shape == posterior.log_scale.shape == (3,)
    assert decoder(posterior.mean).shape == shape
    np.testing.assert_array_equal(decoder(jnp.zeros(3)), bias)
    # Every pixel is seen, and every pixel is drawn.
    assert np.all(np.asarray(jax.grad(lambda x: jnp.sum(encoder(x).mean ** 2))(x)) != 0)
    drawn = jax.jacobian(decoder)(posterior.mean)
    assert np.all(np.any(np.asarray(drawn) != 0, axis=-1))


def test_convolutions_start_glorot_uniform_by_what_meets_in_a_pixel():
    keys = jax.random.split(jax.random.key(1))
    for doubles, key in zip((False, True), keys, strict=True):
        kernel = Convolution(32, 64, doubles=doubles, key=key).kernel
        bound = np.sqrt(6 / (16 * 32 + 4 * 64))
        assert 0.999 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / np.sqrt(3), rtol=0.02)
