import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import config
from jaxvae.config import Config, Model
from jaxvae.models.networks import MLP, ConvDecoder, ConvEncoder, Convolution, MLPDecoder, MLPEncoder
from jaxvae.models.posteriors import DiagonalPosterior
from jaxvae.training.state import state_shapes


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
    encoder = MLPEncoder((4, 4, 1), DiagonalPosterior(3), (8,), "relu", key=jax.random.key(2))
    x = jax.random.normal(jax.random.key(3), (4, 4, 1))
    both = encoder.mlp(x.reshape(-1))
    posterior: Any = encoder(x)
    np.testing.assert_array_equal(posterior.mean, both[:3])
    np.testing.assert_allclose(posterior.log_scale, 8 * np.tanh(both[3:] / 8), rtol=1e-6)
    far: Any = encoder(1e30 * x)
    assert np.all(np.abs(far.log_scale) <= 8)


def test_the_decoder_starts_from_its_output_bias():
    bias = jax.random.normal(jax.random.key(4), (4, 5, 2))
    decoder = MLPDecoder(3, bias, (8,), "relu", key=jax.random.key(5))
    np.testing.assert_array_equal(decoder(jnp.zeros(3)), bias)


def test_a_network_of_bfloat16_weights_computes_in_bfloat16_and_returns_float32():
    mlp = MLP((6, 5, 4), "relu", key=jax.random.key(0))
    low = jax.tree.map(lambda w: w.astype(jnp.bfloat16), mlp)
    x = jnp.linspace(-1, 1, 6)
    assert low(x).dtype == jnp.float32
    np.testing.assert_array_equal(low(x), low(x).astype(jnp.bfloat16).astype(jnp.float32))
    np.testing.assert_allclose(low(x), mlp(x), atol=0.05)


@pytest.mark.parametrize("shape", [(13, 18, 3), (1, 5, 2)])
def test_convolutional_networks_take_images_of_any_size(shape):
    keys = jax.random.split(jax.random.key(0), 4)
    encoder = ConvEncoder(shape, DiagonalPosterior(3), (4, 6), (8,), "gelu", key=keys[0])
    bias = jax.random.normal(keys[1], shape)
    decoder = ConvDecoder(3, bias, (4, 6), (8,), "gelu", key=keys[2])
    x = jax.random.normal(keys[3], shape)
    encode, decode = jax.jit(lambda x: encoder(x)), jax.jit(lambda z: decoder(z))
    posterior = encode(x)
    assert posterior.mean.shape == posterior.log_scale.shape == (3,)
    assert decode(posterior.mean).shape == shape
    np.testing.assert_array_equal(decode(jnp.zeros(3)), bias)
    # Every pixel is seen, and every pixel is drawn.
    assert np.all(np.asarray(jax.jit(jax.grad(lambda x: jnp.sum(encode(x).mean ** 2)))(x)) != 0)
    drawn = jax.jit(jax.jacobian(decode))(posterior.mean)
    assert np.all(np.any(np.asarray(drawn) != 0, axis=-1))


def test_convolutions_start_glorot_uniform_by_what_meets_in_a_pixel():
    keys = jax.random.split(jax.random.key(1))
    for doubles, key in zip((False, True), keys, strict=True):
        kernel = Convolution(32, 64, doubles=doubles, key=key).kernel
        bound = np.sqrt(6 / (16 * 32 + 4 * 64))
        assert 0.999 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(np.std(kernel), bound / np.sqrt(3), rtol=0.02)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("relu", lambda x: max(x, 0.0)),
        ("elu", lambda x: x if x > 0 else math.exp(x) - 1),
        ("tanh", lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1)),
        ("silu", lambda x: x / (1 + math.exp(-x))),
        # The approximation by tanh (Hendrycks and Gimpel 2016, arXiv 1606.08415).
        ("gelu", lambda x: x / (1 + math.exp(-2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    ],
)
def test_activations_are_their_formulas(name, formula):
    mlp = MLP((1, 1, 1), name, key=jax.random.key(0))
    mlp = jax.tree.map(lambda w: jnp.full_like(w, w.ndim == 2), mlp)  # weights 1, biases 0
    for x in (-3.0, -1.0, -0.2, 0.0, 0.5, 1.0, 2.0):
        np.testing.assert_allclose(mlp(jnp.array([x]))[0], formula(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("channels", "flat"), [((), 30), ((2, 3), 2 * 2 * 3)])
def test_every_layer_has_its_width_and_the_decoder_mirrors_the_encoder(channels, flat):
    dense = config.MLP(hidden=(7, 5, 3))
    network = config.Conv(channels=channels, hidden=dense.hidden) if channels else dense
    model: Any = state_shapes(Config(model=Model(latent_dim=4, architecture=network)), (5, 6, 1)).model
    for network, widths in ((model.encoder, (flat, 7, 5, 3, 8)), (model.decoder, (4, 3, 5, 7, flat))):
        pairs = [(layer.weight.shape, layer.bias.shape, layer.inputs_first) for layer in network.mlp.layers]
        wanted = [(n, m) if i == 0 else (m, n) for i, (n, m) in enumerate(itertools.pairwise(widths))]
        assert pairs == [
            (shape, (m,), i == 0) for i, (shape, m) in enumerate(zip(wanted, widths[1:], strict=True))
        ]
    if channels:
        kernels = [layer.kernel.shape for layer in model.encoder.convolutions]
        assert kernels == [(2, 4, 4, 1), (3, 4, 4, 2)]
        kernels = [layer.kernel.shape for layer in model.decoder.convolutions]
        assert kernels == [(4, 4, 2, 3), (4, 4, 1, 2)]
        assert [layer.bias.shape for layer in model.decoder.convolutions] == [(2,), (5, 6, 1)]


@pytest.mark.parametrize("architecture", ["mlp", "conv"])
def test_in_bfloat16_networks_compute_and_all_that_they_say_is_float32(architecture):
    network = config.Conv(channels=(2,), hidden=(4,)) if architecture == "conv" else config.MLP(hidden=(4,))
    model = Model(latent_dim=2, architecture=network, likelihood=config.Gaussian(sigma=0.3))

    def said(vae, x):
        low: Any = vae.in_precision("bfloat16")
        posterior = low.encode(x)
        likelihood = low.decode(posterior.mean)
        parts = (posterior.mean, posterior.log_scale, likelihood.mean, likelihood.log_scale)
        return (low.encoder, low.decoder), (low.likelihood, *parts, likelihood.log_prob(x))

    shapes = state_shapes(Config(model=model), (3, 5, 1)).model
    networks, others = jax.eval_shape(said, shapes, jax.ShapeDtypeStruct((3, 5, 1), jnp.float32))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(networks)} == {"bfloat16"}
    assert {leaf.dtype.name for leaf in jax.tree.leaves(others)} == {"float32"}


def test_sigma_keeps_the_digits_that_bfloat16_has_not(make_vae):
    vae = make_vae(shape=(2, 2, 1), latent_dim=2, hidden=(4,), likelihood=config.Gaussian(sigma=0.3))
    low: Any = vae.in_precision("bfloat16")
    np.testing.assert_allclose(np.exp(float(low.decode(jnp.zeros(2)).log_scale)), 0.3, rtol=1e-5)
