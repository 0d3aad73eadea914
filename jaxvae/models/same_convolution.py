"""How are images convolved by 3x3 kernels of stride 1, at full speed on CPUs too?

XLA hands a convolution to Eigen only if its axes have one certain order, and brings others into that order
only outside of loops (``ConvCanonicalization`` looks at a program's entry alone). The gradients that JAX
derives have other orders, so that inside a loop they run in scalar code, 20 times slower (JAX issue 12868).
Here a convolution is a primitive of its own whose derivatives have the order that Eigen takes.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

PIXEL_OF_ZEROS = ((1, 1), (1, 1))
"""Around an image."""
EIGEN = ("NHWC", "HWIO", "NHWC")
"""The only order of axes that Eigen takes."""


def convolve(
    x: Float[Array, "image height width inner"], kernel: Float[Array, "3 3 inner outer"]
) -> Float[Array, "image height width outer"]:
    """``y[n, i, j, o] = sum_{a, b, c} x[n, i + a - 1, j + b - 1, c] kernel[a, b, c, o]``; x is zero outside.

    Can be differentiated any number of times, and mapped over either argument.
    """
    return _convolve.bind(x, kernel)


def kernel_gradient(
    x: Float[Array, "image height width inner"], y: Float[Array, "image height width outer"]
) -> Float[Array, "3 3 inner outer"]:
    """``k[a, b, c, o] = sum_{n, i, j} x[n, i + a - 1, j + b - 1, c] y[n, i, j, o]``: the derivative of
    ``sum(convolve(x, k) * y)`` by k."""
    return _kernel_gradient.bind(x, y)


def _adjoint(kernel: Array) -> Array:
    """The kernel ``k'`` of ``sum(convolve(x, k) * y) = sum(x * convolve(y, k'))``."""
    return jnp.flip(kernel, (0, 1)).swapaxes(2, 3)


def convolve_by_xla(x: Array, kernel: Array) -> Array:
    """The same as XLA and JAX have it, with their derivatives."""
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), PIXEL_OF_ZEROS, dimension_numbers=EIGEN)


def _kernel_gradient_on_cpu(x: Array, y: Array) -> Array:
    # Images are summed over as channels are, pixels of y as a kernel's.
    found = jax.lax.conv_general_dilated(
        x.transpose(3, 1, 2, 0), y.transpose(1, 2, 0, 3), (1, 1), PIXEL_OF_ZEROS, dimension_numbers=EIGEN
    )
    return found.transpose(1, 2, 0, 3)


def _kernel_gradient_elsewhere(x: Array, y: Array) -> Array:
    return jax.lax.conv_general_dilated(
        x, y, (1, 1), PIXEL_OF_ZEROS, dimension_numbers=("CHWN", "IHWO", "HWNC")
    )


_convolve = Primitive("convolve_3x3")
_kernel_gradient = Primitive("convolve_3x3_kernel_gradient")


@_convolve.def_abstract_eval
def _(x: Any, kernel: Any) -> Any:
    fits = x.ndim == kernel.ndim == 4 and kernel.shape[:3] == (3, 3, x.shape[-1]) and x.dtype == kernel.dtype
    assert fits, (x, kernel)
    return x.update(shape=(*x.shape[:3], kernel.shape[3]), weak_type=False)


@_kernel_gradient.def_abstract_eval
def _(x: Any, y: Any) -> Any:
    fits = x.ndim == y.ndim == 4 and x.shape[:3] == y.shape[:3] and x.dtype == y.dtype
    assert fits, (x, y)
    return x.update(shape=(3, 3, x.shape[3], y.shape[3]), weak_type=False)


_convolve.def_impl(jax.jit(convolve))
_kernel_gradient.def_impl(jax.jit(kernel_gradient))
mlir.register_lowering(_convolve, mlir.lower_fun(convolve_by_xla, multiple_results=False))
mlir.register_lowering(_kernel_gradient, mlir.lower_fun(_kernel_gradient_elsewhere, multiple_results=False))
mlir.register_lowering(
    _kernel_gradient, mlir.lower_fun(_kernel_gradient_on_cpu, multiple_results=False), platform="cpu"
)

# Both are linear in either argument. Each rule's first argument is the gradient by the result.
ad.defbilinear(
    _convolve,
    lambda y, x, kernel: convolve(y, _adjoint(kernel)),
    lambda y, x, kernel: kernel_gradient(x, y),
)
ad.defbilinear(
    _kernel_gradient,
    lambda k, x, y: convolve(y, _adjoint(k)),
    lambda k, x, y: convolve(x, k),
)


def _convolve_many(arguments: Any, axes: Any) -> tuple[Array, int]:
    """Images under one kernel become more images, kernels for the same images more outputs."""
    (x, kernel), (of_x, of_kernel) = arguments, axes
    if of_kernel is None:
        x = jnp.moveaxis(x, of_x, 0)
        y = convolve(x.reshape(-1, *x.shape[2:]), kernel)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    kernel = jnp.moveaxis(kernel, of_kernel, -2)
    count, outer = kernel.shape[-2:]
    if of_x is None:
        y = convolve(x, kernel.reshape(*kernel.shape[:3], -1))
        return y.reshape(*y.shape[:-1], count, outer), y.ndim - 1
    both = jnp.moveaxis(x, of_x, 0), jnp.moveaxis(kernel, -2, 0)
    return jax.lax.map(lambda each: convolve(*each), both), 0


def _kernel_gradient_many(arguments: Any, axes: Any) -> tuple[Array, int]:
    (x, y), (of_x, of_y) = arguments, axes
    if of_x is None:
        y = jnp.moveaxis(y, of_y, -2)
        k = kernel_gradient(x, y.reshape(*y.shape[:3], -1))
        return k.reshape(*k.shape[:3], *y.shape[3:]), 3
    if of_y is None:
        x = jnp.moveaxis(x, of_x, -2)
        k = kernel_gradient(x.reshape(*x.shape[:3], -1), y)
        return k.reshape(*k.shape[:2], *x.shape[3:], k.shape[-1]), 2
    both = jnp.moveaxis(x, of_x, 0), jnp.moveaxis(y, of_y, 0)
    return jax.lax.map(lambda each: kernel_gradient(*each), both), 0


batching.primitive_batchers[_convolve] = _convolve_many
batching.primitive_batchers[_kernel_gradient] = _kernel_gradient_many
