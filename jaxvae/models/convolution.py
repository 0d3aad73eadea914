"""How is an image halved or doubled in size by a convolution, or convolved at its size?

Two kinds suffice: 4x4 kernels, stride 2, and 3x3 kernels, stride 1, with one pixel of zeros around an image.
On a CPU those of stride 2 are one matrix product over patches, since XLA's own convolutions are several
times slower there inside loops, but for those of ``same_convolution``; elsewhere they are the native ones.
Kernels of stride 2 are matrices from inputs to outputs, the outputs' axes first: that way the product for the
kernel's gradient need not transpose the patches.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.same_convolution import convolve

SIZE = 4
"""Pixels along a side of a kernel."""


def halve(
    x: Float[Array, "height width inner"], kernel: Float[Array, "outer 4 4 inner"]
) -> Float[Array, "half_height half_width outer"]:
    """``y[i, j, o] = sum_{a, b, c} x[2i + a - 1, 2j + b - 1, c] kernel[o, a, b, c]``; x is zero outside."""
    return jax.lax.platform_dependent(x, kernel, cpu=_halve_by_matrix, default=_halve_natively)


def double(
    y: Float[Array, "half_height half_width outer"], kernel: Float[Array, "4 4 inner outer"]
) -> Float[Array, "height width inner"]:
    """A transposed convolution: ``x[2i + a - 1, 2j + b - 1, c] += y[i, j, o] kernel[a, b, c, o]``.

    With the kernel's last axis moved to the front, the adjoint of ``halve``:
    ``sum(double(y, k) * x) = sum(y * halve(x, k))``.
    """
    return jax.lax.platform_dependent(y, kernel, cpu=_double_by_matrix, default=_double_natively)


def same(
    x: Float[Array, "height width inner"], kernel: Float[Array, "3 3 inner outer"]
) -> Float[Array, "height width outer"]:
    """``y[i, j, o] = sum_{a, b, c} x[i + a - 1, j + b - 1, c] kernel[a, b, c, o]``; x is zero outside."""
    return convolve(x[None], kernel)[0]


# --- as a matrix product ------------------------------------------------------------------------------
# A patch's entries are ordered (A, B, a, b, channel), for its pixel (2 A + a, 2 B + b).


def _halve_by_matrix(x: Array, kernel: Array) -> Array:
    outer, _, _, inner = kernel.shape
    matrix = kernel.reshape(outer, 2, 2, 2, 2, inner).swapaxes(2, 3).reshape(outer, SIZE**2 * inner)
    return _patches(x) @ matrix.T


def _double_by_matrix(y: Array, kernel: Array) -> Array:
    _, _, inner, outer = kernel.shape
    matrix = kernel.reshape(2, 2, 2, 2, inner, outer).swapaxes(1, 2).reshape(SIZE**2 * inner, outer)
    return _add_patches(y @ matrix.T)


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


# --- native ---------------------------------------------------------------------------------------------


def _halve_natively(x: Array, kernel: Array) -> Array:
    one = jax.lax.conv_general_dilated(
        x[None], kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "OHWI", "NHWC")
    )
    return one[0]


def _double_natively(y: Array, kernel: Array) -> Array:
    # As a convolution of the image with zeros put between its pixels; JAX's own transposition, under vmap,
    # makes one of as many groups as there are images.
    one = jax.lax.conv_general_dilated(
        y[None],
        jnp.flip(kernel, (0, 1)),
        (1, 1),
        ((2, 2), (2, 2)),
        lhs_dilation=(2, 2),
        dimension_numbers=("NHWC", "HWOI", "NHWC"),
    )
    return one[0]
