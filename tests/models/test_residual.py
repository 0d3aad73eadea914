"""Residual and gated networks against plain float64 NumPy that shares no code with them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Config, GatedMLP, Model, ResNet
from jaxvae.models.build import build_vae
from jaxvae.models.networks.residual import Block
from jaxvae.training.state import state_shapes

SHAPES = [(7, 10, 3), *(pytest.param(shape, marks=pytest.mark.slow) for shape in [(28, 28, 1), (1, 5, 2)])]


def shaken(module, seed=7, scale=0.3):
    """The module with all its weights drawn anew, so that none is zero."""
    leaves, tree = jax.tree.flatten(module)
    rng = np.random.default_rng(seed)
    return tree.unflatten([jnp.asarray(rng.normal(0, scale, leaf.shape), jnp.float32) for leaf in leaves])


def elu(x):
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def convolved(x, kernel):
    """3x3, stride 1."""
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    height, width, _ = x.shape
    return np.array(
        [
            [np.einsum("abc,abco->o", padded[i : i + 3, j : j + 3], kernel) for j in range(width)]
            for i in range(height)
        ]
    )


def halved(x, kernel):
    """4x4, stride 2, of an image made even by zeros at its end."""
    x = np.pad(x, ((1, 1 + x.shape[0] % 2), (1, 1 + x.shape[1] % 2), (0, 0)))
    rows, columns = x.shape[0] // 2 - 1, x.shape[1] // 2 - 1
    return np.array(
        [
            [
                np.einsum("abc,oabc->o", x[2 * i : 2 * i + 4, 2 * j : 2 * j + 4], kernel)
                for j in range(columns)
            ]
            for i in range(rows)
        ]
    )


def doubled(y, kernel):
    """The transposed convolution, by adding patches up."""
    rows, columns, _ = y.shape
    x = np.zeros((2 * rows + 2, 2 * columns + 2, kernel.shape[2]))
    for i in range(rows):
        for j in range(columns):
            x[2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("abco,o->abc", kernel, y[i, j])
    return x[1:-1, 1:-1]


def by_hand(block, x, shape):
    w = jax.tree.map(lambda leaf: np.asarray(leaf, float), block)
    if block.size == "half":
        long = halved(elu(x), w.first)
        even = np.pad(x, ((0, x.shape[0] % 2), (0, x.shape[1] % 2), (0, 0)), mode="edge")
        short = (even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    elif block.size == "double":
        long = doubled(elu(x), w.first)[: shape[0], : shape[1]]
        short = np.kron(x, np.ones((2, 2, 1)))[: shape[0], : shape[1]]
    else:
        long, short = convolved(elu(x), w.first), x
    long = convolved(elu(long + w.first_bias), w.second) + w.second_bias
    return long + (short if block.shortcut is None else short @ w.shortcut)


@pytest.mark.parametrize(
    ("size", "inner", "outer", "shape", "result"),
    [
        ("same", 3, 3, (5, 4), (5, 4)),
        ("same", 3, 2, (2, 7), (2, 7)),
        ("half", 2, 4, (6, 8), (3, 4)),
        ("half", 3, 3, (7, 5), (4, 3)),
        ("double", 4, 2, (3, 4), (6, 8)),
        ("double", 3, 3, (4, 3), (7, 5)),
    ],
)
def test_a_block_is_its_formula(size, inner, outer, shape, result):
    block = shaken(Block(inner, outer, size, "elu", key=jax.random.key(0)))
    x = np.random.default_rng(1).normal(size=(*shape, inner)).astype(np.float32)
    ours = block(jnp.asarray(x), result)
    assert ours.shape == (*result, outer)
    np.testing.assert_allclose(ours, by_hand(block, x.astype(float), result), rtol=1e-4, atol=1e-5)


def test_a_block_begins_as_its_shortcut():
    x = jax.random.normal(jax.random.key(1), (4, 6, 3))
    same = Block(3, 3, "same", "relu", key=jax.random.key(0))
    np.testing.assert_array_equal(same(x, (4, 6)), x)
    half = Block(3, 3, "half", "relu", key=jax.random.key(0))
    means = np.asarray(x).reshape(2, 2, 3, 2, 3).mean((1, 3))
    np.testing.assert_allclose(half(x, (2, 3)), means, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "network", [ResNet(channels=(4, 6), hidden=(8,), activation="elu"), GatedMLP((8, 5))]
)
def test_images_of_any_size_begin_at_their_mean_and_every_pixel_is_seen_and_drawn(shape, network):
    mean = jnp.asarray(np.random.default_rng(0).uniform(0.1, 0.9, shape), jnp.float32)
    model: Any = build_vae(Model(latent_dim=3, architecture=network), mean, key=jax.random.key(0))
    np.testing.assert_allclose(jax.jit(lambda z: model.decode(z))(jnp.zeros(3)).mean, mean, rtol=1e-5)
    model = shaken(model)
    x = jax.random.uniform(jax.random.key(3), shape)
    encode, decode = jax.jit(lambda x: model.encoder(x)), jax.jit(lambda z: model.decoder(z))
    posterior = encode(x)
    assert posterior.mean.shape == posterior.log_scale.shape == (3,)
    assert decode(posterior.mean).shape == shape
    assert np.all(np.asarray(jax.jit(jax.grad(lambda x: jnp.sum(encode(x).mean ** 2)))(x)) != 0)
    drawn = jax.jit(lambda z, dz: jax.jvp(decode, (z,), (dz,))[1])(posterior.mean, jnp.ones(3))
    assert np.all(np.asarray(drawn) != 0)


def test_a_resnet_has_the_blocks_that_its_kind_says():
    network = ResNet(channels=(4, 6, 6), blocks=2, hidden=(9,))
    model: Any = state_shapes(Config(model=Model(latent_dim=3, architecture=network)), (28, 28, 1)).model
    sizes = ["half", "same", "same"] * 3
    assert [block.size for block in model.encoder.blocks] == sizes
    assert [block.size for block in model.decoder.blocks] == ["same", "same", "double"] * 2 + ["same", "same"]
    assert model.encoder.shapes == ((28, 28, 1), (14, 14, 4), (7, 7, 6), (4, 4, 6))
    assert model.decoder.last.kernel.shape == (4, 4, 1, 4)
    assert [layer.bias.shape for layer in model.encoder.mlp.layers] == [(9,), (6,)]


def test_every_block_begins_with_weights_of_its_own():
    network = ResNet(channels=(3,), blocks=2, hidden=())
    model: Any = build_vae(
        Model(latent_dim=2, architecture=network), jnp.full((4, 4, 1), 0.5), key=jax.random.key(0)
    )
    kernels = [block.first for block in (*model.encoder.blocks[1:], *model.decoder.blocks)]
    assert len(kernels) == 4
    assert len({np.asarray(kernel).tobytes() for kernel in kernels}) == 4
    bound = np.sqrt(6 / (9 * 3 + 9 * 3))
    assert 0.9 * bound < np.max([np.abs(kernel).max() for kernel in kernels]) <= bound


def test_a_gated_network_is_its_formula():
    model: Any = build_vae(
        Model(latent_dim=3, architecture=GatedMLP((6, 5))), jnp.full((2, 3, 1), 0.5), key=jax.random.key(0)
    )
    mlp = shaken(model.encoder.mlp)
    x = np.random.default_rng(2).uniform(size=6)
    expected = x
    for i, layer in enumerate(mlp.layers):
        expected = np.asarray(layer.matrix, float) @ expected + np.asarray(layer.bias, float)
        if i < 2:
            half = len(expected) // 2
            expected = expected[:half] / (1 + np.exp(-expected[half:]))
    np.testing.assert_allclose(mlp(jnp.asarray(x, jnp.float32)), expected, rtol=1e-5)
    assert [layer.bias.shape for layer in mlp.layers] == [(12,), (10,), (6,)]
    assert [layer.bias.shape for layer in model.decoder.mlp.layers] == [(10,), (12,), (6,)]
