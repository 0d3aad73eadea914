"""How is an image halved or doubled in size by a convolution?

One kind suffices: 4x4 kernels, stride 2, one pixel of zeros around an image of even sides. ``halve`` and
``double`` are each other's adjoint, so each one's derivative is the other. On a CPU both are written as one
matrix product over patches, since XLA's own convolutions are several times slower there inside loops (JAX
issue 12868); elsewhere they are the native ones.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

SIZE = 4
"""Pixels along a side of a kernel."""


@jax.custom_vjp
def halve(
    x: Float[Array, "height width inner"], kernel: Float[Array, "4 4 inner outer"]
) -> Float[Array, "half_height half_width outer"]:
    """``y[i, j, o] = sum_{a, b, c} x[2i + a - 1, 2j + b - 1, c] kernel[a, b, c, o]``; x is zero outside."""
    return jax.lax.platform_dependent(x, kernel, cpu=_halve_by_matrix, default=_halve_natively)


@jax.custom_vjp
def double(
    y: Float[Array, "half_height half_width outer"], kernel: Float[Array, "4 4 inner outer"]
) -> Float[Array, "height width inner"]:
    """The adjoint of ``halve``: ``sum(double(y, k) * x) = sum(y * halve(x, k))`` for every x and y.

    A transposed convolution; the kernel's axes are named from the image's side.
    """
    return jax.lax.platform_dependent(y, kernel, cpu=_double_by_matrix, default=_double_natively)


def _kernel_gradient(x: Array, y: Array) -> Array:
    return jax.lax.platform_dependent(x, y, cpu=_kernel_gradient_by_matrix, default=_kernel_gradient_natively)


halve.defvjp(
    lambda x, kernel: (halve(x, kernel), (x, kernel)),
    lambda kept, g: (double(g, kept[1]), _kernel_gradient(kept[0], g)),
)
double.defvjp(
    lambda y, kernel: (double(y, kernel), (y, kernel)),
    lambda kept, g: (halve(g, kept[1]), _kernel_gradient(g, kept[0])),
)


# --- as a matrix product: patches are rows, and a row's entries are ordered (A, B, a, b, channel), for the
# kernel's pixel (2 A + a, 2 B + b) --------------------------------------------------------------------


def _patches(x: Array) -> Array:
    """Every 4x4 patch of the padded image: blocks of 2x2 pixels, and each with its three neighbours."""
    height, width, channel = x.shape
    rows, columns = height // 2 + 1, width // 2 + 1
    padded = jnp.pad(x, ((1, 1), (1, 1), (0, 0)))
    blocks = padded.reshape(rows, 2, columns, 2, channel).swapaxes(1, 2).reshape(rows, columns, 4 * channel)
    return jnp.concatenate([blocks[:-1, :-1], blocks[:-1, 1:], blocks[1:, :-1], blocks[1:, 1:]], axis=-1)


def _add_patches(patches: Array) -> Array:
    """The adjoint of ``_patches``: overlapping patches are added up."""
    rows, columns, size = patches.shape
    channel = size // SIZE**2
    parts = jnp.split(patches, 4, axis=-1)
    shifts = (((0, 1), (0, 1)), ((0, 1), (1, 0)), ((1, 0), (0, 1)), ((1, 0), (1, 0)))
    padded = [jnp.pad(part, (*shift, (0, 0))) for part, shift in zip(parts, shifts, strict=True)]
    blocks = padded[0] + padded[1] + padded[2] + padded[3]
    blocks = blocks.reshape(rows + 1, columns + 1, 2, 2, channel).swapaxes(1, 2)
    return blocks.reshape(2 * rows + 2, 2 * columns + 2, channel)[1:-1, 1:-1]


def _matrix(kernel: Array) -> Array:
    inner, outer = kernel.shape[2:]
    return kernel.reshape(2, 2, 2, 2, inner, outer).swapaxes(1, 2).reshape(SIZE**2 * inner, outer)


def _halve_by_matrix(x: Array, kernel: Array) -> Array:
    return _patches(x) @ _matrix(kernel)


def _double_by_matrix(y: Array, kernel: Array) -> Array:
    return _add_patches(y @ _matrix(kernel).T)


def _kernel_gradient_by_matrix(x: Array, y: Array) -> Array:
    gradient = jnp.einsum("ijp,ijo->po", _patches(x), y)
    inner, outer = x.shape[-1], y.shape[-1]
    return gradient.reshape(2, 2, 2, 2, inner, outer).swapaxes(1, 2).reshape(SIZE, SIZE, inner, outer)


# --- native ---------------------------------------------------------------------------------------------


def _halve_natively(x: Array, kernel: Array) -> Array:
    one = jax.lax.conv_general_dilated(
        x[None], kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return one[0]


def _double_natively(y: Array, kernel: Array) -> Array:
    height, width = y.shape[:2]
    image = jax.ShapeDtypeStruct((2 * height, 2 * width, kernel.shape[2]), y.dtype)
    return jax.linear_transpose(lambda x: _halve_natively(x, kernel), image)(y)[0]


def _kernel_gradient_natively(x: Array, y: Array) -> Array:
    kernel = jax.ShapeDtypeStruct((SIZE, SIZE, x.shape[-1], y.shape[-1]), x.dtype)
    return jax.linear_transpose(lambda k: _halve_natively(x, k), kernel)(y)[0]
