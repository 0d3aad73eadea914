"""3x3 convolutions and all their derivatives, against the sum in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models.convolution import same
from jaxvae.models.same_convolution import convolve, kernel_gradient

IMAGES, HEIGHT, WIDTH, INNER, OUTER = 3, 4, 5, 2, 6


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


X = normal(0, IMAGES, HEIGHT, WIDTH, INNER)
KERNEL = normal(1, 3, 3, INNER, OUTER)
Y = normal(2, IMAGES, HEIGHT, WIDTH, OUTER)


def trilinear(x, kernel, y):
    """``sum(convolve(x, kernel) * y)`` and its derivatives, pixel by pixel in float64."""
    x, kernel, y = (np.asarray(a, np.float64) for a in (x, kernel, y))
    height, width = x.shape[1:3]
    of_x, of_kernel, of_y = np.zeros_like(x), np.zeros_like(kernel), np.zeros_like(y)
    for i in range(height):
        for j in range(width):
            for a in range(max(0, i - 1), min(height, i + 2)):
                for b in range(max(0, j - 1), min(width, j + 2)):
                    entry = (a - i + 1, b - j + 1)
                    of_y[:, i, j] += x[:, a, b] @ kernel[entry]
                    of_x[:, a, b] += y[:, i, j] @ kernel[entry].T
                    of_kernel[entry] += x[:, a, b].T @ y[:, i, j]
    return np.sum(of_y * y), of_x, of_kernel, of_y


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 4), (4, 5)])
def test_it_and_its_gradients_are_the_sums(height, width):
    x, y = normal(3, IMAGES, height, width, INNER), normal(4, IMAGES, height, width, OUTER)
    _, of_x, of_kernel, of_y = trilinear(x, KERNEL, y)
    found, pull = jax.vjp(convolve, x, KERNEL)
    close(found, of_y)
    for ours, theirs in zip(pull(y), (of_x, of_kernel), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(kernel_gradient(x, y), of_kernel, rtol=1e-4, atol=1e-4)


def test_second_derivatives():
    # S = sum(convolve(x, k) * y) is linear in each: d2 S / dx dk in directions (u, v) is S(u, v, y).
    u, v = normal(5, *X.shape), normal(6, *KERNEL.shape)

    def along_u(kernel):
        return jnp.vdot(jax.grad(lambda x: jnp.vdot(convolve(x, kernel), Y))(X), u)

    expected, _, of_kernel, _ = trilinear(u, v, Y)
    close(jnp.vdot(jax.grad(along_u)(KERNEL), v), expected)
    close(jax.grad(along_u)(KERNEL), of_kernel)

    def along_v(x):
        return jnp.vdot(jax.grad(lambda kernel: jnp.vdot(convolve(x, kernel), Y))(KERNEL), v)

    close(jax.grad(along_v)(X), trilinear(u, v, Y)[1])
    close(jax.grad(lambda y: jnp.vdot(kernel_gradient(X, y), v))(Y), trilinear(X, v, Y)[3])
    close(jax.jvp(convolve, (X, KERNEL), (u, v))[1], trilinear(u, KERNEL, Y)[3] + trilinear(X, v, Y)[3])


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "mapped", ["x", pytest.param("kernel", marks=SLOW), pytest.param("both", marks=SLOW)]
)
def test_mapped_over_either_argument(mapped):
    """As one call after the other; mapped axes stand last, so that one taken for another is seen."""
    x = normal(7, *X.shape, 4) if mapped != "kernel" else X
    kernel = normal(8, *KERNEL.shape, 4) if mapped != "x" else KERNEL
    y = normal(9, *Y.shape, 4)
    axes = (-1 if mapped != "kernel" else None, -1 if mapped != "x" else None)

    def one(x, kernel, y):
        found, pull = jax.vjp(convolve, x, kernel)
        return found, *pull(y)

    found = jax.jit(jax.vmap(one, (*axes, -1)))(x, kernel, y)
    for i in range(4):
        args = (x[..., i] if mapped != "kernel" else x, kernel[..., i] if mapped != "x" else kernel)
        _, of_x, of_kernel, of_y = trilinear(*args, y[..., i])
        for ours, theirs in zip(found, (of_y, of_x, of_kernel), strict=True):
            np.testing.assert_allclose(ours[i], theirs, rtol=1e-4, atol=1e-4)


def test_a_gradient_of_mapped_images_is_that_of_their_sum():
    total = jax.grad(lambda k: jnp.vdot(jax.vmap(same, (0, None))(X, k), Y))(KERNEL)
    np.testing.assert_allclose(total, trilinear(X, KERNEL, Y)[2], rtol=1e-4, atol=1e-4)


def test_kernel_gradient_mapped_over_one_argument():
    xs, ys = normal(10, 4, *X.shape), normal(11, 4, *Y.shape)
    by_x = jax.vmap(kernel_gradient, (0, None))(xs, Y)
    by_y = jax.vmap(kernel_gradient, (None, 0))(X, ys)
    for i in range(4):
        np.testing.assert_allclose(by_x[i], trilinear(xs[i], KERNEL, Y)[2], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(by_y[i], trilinear(X, KERNEL, ys[i])[2], rtol=1e-4, atol=1e-4)


def test_bfloat16_stays_bfloat16():
    low = [a.astype(jnp.bfloat16) for a in (X, KERNEL, Y)]
    found, pull = jax.vjp(convolve, *low[:2])
    _, of_x, of_kernel, of_y = trilinear(*low)
    for ours, theirs in zip((found, *pull(low[2])), (of_y, of_x, of_kernel), strict=True):
        assert ours.dtype == jnp.bfloat16
        np.testing.assert_allclose(np.asarray(ours, float), theirs, rtol=0.02, atol=0.05)


def test_shapes_that_do_not_fit_are_refused():
    for x, kernel in [(X, KERNEL[:2]), (X[..., :1], KERNEL), (X[0], KERNEL)]:
        with pytest.raises((AssertionError, TypeError)):
            convolve(x, kernel)


@pytest.mark.parametrize(("platform", "orders"), [("cpu", 1), ("cuda", 2)])
def test_on_cpus_every_convolution_in_a_loop_has_the_order_that_eigen_takes(platform, orders):
    def loss(kernel, x):
        return jnp.sum(jax.vmap(same, (0, None))(jnp.sin(jax.vmap(same, (0, None))(x, kernel)), kernel) ** 2)

    def steps(kernel, x):
        return jax.lax.scan(lambda k, _: (k - jax.grad(loss)(k, x), None), kernel, None, length=3)[0]

    shapes = normal(0, 3, 3, 4, 4), normal(1, 5, 6, 7, 4)
    text = jax.jit(steps).trace(*shapes).lower(lowering_platforms=(platform,)).as_text()
    found = [part.split(",", 3) for part in text.split("dim_numbers = ")[1:]]
    numbers = {part.split("window")[0].strip(" ,") for part in text.split("dim_numbers = ")[1:]}
    assert len(found) == 5  # two forwards, one image's gradient, two kernels'
    assert len(numbers) == orders
    assert "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]" in numbers
