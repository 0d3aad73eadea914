import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import convolution
from jaxvae.models.convolution import double, halve, same


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def by_the_sum(x, kernel):
    """The formula in ``halve``'s docstring, in float64."""
    x, kernel = np.asarray(x, float), np.asarray(kernel, float)
    height, width, _ = x.shape
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    return np.array(
        [
            [
                np.einsum("abc,oabc->o", padded[2 * i : 2 * i + 4, 2 * j : 2 * j + 4], kernel)
                for j in range(width // 2)
            ]
            for i in range(height // 2)
        ]
    )


@pytest.mark.parametrize("shape", [(2, 2, 1), (6, 8, 3), (28, 28, 1)])
def test_halve_is_its_sum(shape):
    x, kernel = normal(0, *shape), normal(1, 5, 4, 4, shape[-1])
    np.testing.assert_allclose(halve(x, kernel), by_the_sum(x, kernel), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 5, 1), (7, 6, 3)])
def test_same_is_its_sum(shape):
    x, kernel = normal(0, *shape), normal(1, 3, 3, shape[-1], 5)
    padded = np.pad(np.asarray(x, float), ((1, 1), (1, 1), (0, 0)))
    expected = [
        [np.einsum("abc,abco->o", padded[i : i + 3, j : j + 3], kernel) for j in range(shape[1])]
        for i in range(shape[0])
    ]
    np.testing.assert_allclose(same(x, kernel), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(2, 2, 1), (6, 8, 3)])
def test_double_is_the_adjoint_of_halve(shape):
    height, width, channel = shape
    x, y, kernel = normal(0, *shape), normal(1, height // 2, width // 2, 5), normal(2, 4, 4, channel, 5)
    ours = np.sum(np.asarray(double(y, kernel) * x, float))
    assert ours == pytest.approx(
        np.sum(np.asarray(y, float) * by_the_sum(x, jnp.moveaxis(kernel, -1, 0))), 1e-4
    )


@pytest.mark.parametrize(
    ("matrix", "native", "shapes"),
    [
        (convolution._halve_by_matrix, convolution._halve_natively, ((6, 8, 3), (5, 4, 4, 3))),
        (convolution._double_by_matrix, convolution._double_natively, ((3, 4, 5), (4, 4, 3, 5))),
    ],
)
def test_both_forms_and_their_gradients_agree(matrix, native, shapes):
    image, kernel = (normal(seed, *shape) for seed, shape in enumerate(shapes))

    def loss(form):
        return lambda image, kernel: jnp.sum(jnp.sin(form(image, kernel)))

    np.testing.assert_allclose(matrix(image, kernel), native(image, kernel), rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(
        jax.grad(loss(matrix), (0, 1))(image, kernel),
        jax.grad(loss(native), (0, 1))(image, kernel),
        strict=True,
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("function", [halve, double])
def test_each_platform_gets_its_form(function):
    kernel = (5, 4, 4, 3) if function is halve else (4, 4, 3, 5)
    image = jax.ShapeDtypeStruct((7, 6, 8, kernel[-1]), jnp.float32)

    def loss(image, kernel):
        return jnp.sum(jax.vmap(function, in_axes=(0, None))(image, kernel) ** 2)

    traced = jax.jit(jax.grad(loss, argnums=(0, 1))).trace(image, jax.ShapeDtypeStruct(kernel, jnp.float32))
    on_cpu, on_gpu = (traced.lower(lowering_platforms=(name,)).as_text() for name in ("cpu", "cuda"))
    assert "stablehlo.convolution" not in on_cpu
    assert on_gpu.count("stablehlo.convolution") >= 3  # forwards, and the gradient of either argument
    assert "stablehlo.dot_general" in on_cpu
    assert "stablehlo.dot_general" not in on_gpu
