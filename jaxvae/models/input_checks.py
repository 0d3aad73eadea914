"""What may a caller give to a model, and what is said about anything else?

Types and shapes are looked at when a function is traced, and values only where they are known then, so
nothing of this is in a compiled program. A wrong type raises TypeError, a wrong shape or value ValueError.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, Int, Key

ArrayLike = Any
"""An array, or anything that NumPy makes one of."""


def image(
    x: ArrayLike, shape: tuple[int, int, int], method: str, beyond: float = 0.0
) -> Float[Array, "height width channel"]:
    """``x`` as float32, if it is one image of this shape with values in [0, 1], or ``beyond`` by so much.

    ``method`` is what the caller called.
    """
    x = _floats(x, method)
    if x.shape != shape:
        raise ValueError(
            f"{method} takes an image of shape {shape}, not {x.shape}: {_advice(x, shape, method)}"
        )
    _check_range(x, method, beyond)
    return x


def latents(z: ArrayLike, size: int, method: str) -> Float[Array, " latent"]:
    """``z`` as float32, if it is one vector of so many latents; whole numbers will do."""
    z = _array(z, method)
    if jnp.issubdtype(z.dtype, jnp.integer):
        z = z.astype(jnp.float32)
    z = _floats(z, method)
    if z.shape != (size,):
        many = z.ndim > 1 and z.shape[-1] == size
        advice = f": jax.vmap(model.{method})(z) takes many" if many else ""
        raise ValueError(f"{method} takes latents of shape {(size,)}, not {z.shape}{advice}")
    return z


def value(x: ArrayLike, shape: tuple[int, ...], *, in_unit: bool) -> Float[Array, "*shape"]:
    """``x`` as float32, if it is what a distribution over arrays of this shape can say the density of.

    ``in_unit``: its values must lie in [0, 1].
    """
    x = _floats(x, "log_prob")
    if x.shape != shape:
        raise ValueError(f"log_prob takes an array of shape {shape}, not {x.shape}")
    if in_unit:
        _check_range(x, "log_prob", 0.0)
    return x


def levels(x: ArrayLike, shape: tuple[int, ...]) -> Int[Array, "*shape"]:
    """``k`` of an array of levels ``k / 255``, if it is of this shape, and of such levels."""
    k = 255 * value(x, shape, in_unit=True)
    known = _known(k)
    if known is not None and (apart := np.abs(known - np.round(known))).max(initial=0) > 255 * _ROUNDING:
        wrong = float(known.reshape(-1)[apart.argmax()])
        raise ValueError(
            f"log_prob takes levels k / 255, not {wrong / 255:.6g}, which is {wrong:.4g} / 255: "
            "jnp.round(255 * x) / 255 is the nearest"
        )
    return jnp.round(k).astype(jnp.int32)


def one_key(key: Any, method: str) -> Key[Array, ""]:
    """The key, if it is one, and not many."""
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raw = dtype == np.uint32
        advice = "jax.random.wrap_key_data(key) makes one of these words" if raw else "jax.random.key(seed)"
        raise TypeError(f"{method} takes a key of jax.random.key, not {_kind(key)}: {advice}")
    if key.shape != ():
        raise ValueError(f"{method} takes one key, not {key.shape} of them: jax.vmap({method}) takes many")
    return key


def _kind(x: Any) -> str:
    return f"an array of {x.dtype}" if hasattr(x, "dtype") else type(x).__name__


def _array(x: Any, method: str) -> Any:
    if isinstance(x, jax.Array):
        return x
    try:
        array = np.asarray(x)
    except (TypeError, ValueError, RuntimeError):
        array = np.asarray(None)
    if array.dtype.kind not in "biufcV":  # V: bfloat16 and its kind
        raise TypeError(f"{method} takes an array of numbers, not {_kind(x)}")
    return array


def _floats(x: Any, method: str) -> Array:
    x = _array(x, method)
    if jnp.issubdtype(x.dtype, jnp.integer):
        largest = 65535 if x.dtype == np.uint16 else 255
        raise TypeError(
            f"{method} takes floats in [0, 1], not {x.dtype}: x / {largest}, or x.astype(float) where x is "
            "0 and 1 alone"
        )
    if not (jnp.issubdtype(x.dtype, jnp.floating) or x.dtype == np.bool_):
        raise TypeError(f"{method} takes floats, not {_kind(x)}")
    return jnp.asarray(x, jnp.float32)


def _advice(x: Array, shape: tuple[int, int, int], method: str) -> str:
    """What to type to get one image of ``shape`` out of ``x``."""
    height, width, channel = shape
    changes = {
        (height * width * channel,): f"x.reshape{shape}",
        (width, height, channel): "x.swapaxes(0, 1)",
        (channel, height, width): "jnp.moveaxis(x, 0, -1)",
        **({(height, width): "x[..., None]"} if channel == 1 else {}),
        # Last: of square images some of the others are the same.
        shape: "x",
    }
    if x.shape in changes:
        return changes[x.shape]
    if (change := changes.get(x.shape[1:])) is not None:
        one = f"model.{method}" if change == "x" else f"lambda x: model.{method}({change})"
        return f"jax.vmap({one})(x) takes many images"
    if isinstance(x, Tracer) and x.shape == shape[1:]:
        return "without jax.vmap it takes one image"
    channels = f"{channel} channel{'s' * (channel > 1)}"
    if x.ndim == 3 and x.shape[:2] == (height, width):
        return f"an image of {channels} is needed"
    if x.ndim == 3 and x.shape[2] == channel:
        return f'jax.image.resize(x, {shape}, "linear") gives an image that size'
    return f"an image of {height} x {width} pixels and {channels} is needed"


_ROUNDING = 1e-3


def _check_range(x: Array, method: str, beyond: float) -> None:
    known = _known(x)
    if known is None or known.size == 0:
        return
    low, high = float(known.min()), float(known.max())
    if -beyond - _ROUNDING <= low and high <= 1 + beyond + _ROUNDING:
        return
    if not np.isfinite(known).all():
        raise ValueError(f"{method} takes values in [0, 1], and some are not finite (NaN or infinity)")
    if low >= 0 and high > 2:
        advice = f"x / {255 if high <= 255 else 65535}"
    elif low >= -1 and high <= 1:
        advice = "(x + 1) / 2"
    else:
        advice = "jnp.clip(x, 0, 1) if it is a little beyond; the model's encoder itself takes any"
    raise ValueError(f"{method} takes values in [0, 1], not from {low:.4g} to {high:.4g}: {advice}")


def _known(x: Any) -> np.ndarray | None:
    """The values of ``x``, of all images at once where ``jax.vmap`` is at work; None while compiling."""
    # Outside of compiled functions, the arrays that vmap and grad wrap are there to be looked at.
    while isinstance(x, Tracer):
        x = getattr(x, "val", getattr(x, "primal", None))
    if isinstance(x, np.ndarray):
        # What vmap was given: JAX has not made an array of its own of it yet.
        return x
    if not isinstance(x, jax.Array) or not x.is_fully_addressable:
        return None
    return jax.device_get(x)
