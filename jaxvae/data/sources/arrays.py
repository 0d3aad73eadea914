"""How does an array become images? By its axes, and by numbers that can be 8-bit levels in one way only.

What is not meant without doubt is refused, with the NumPy expression that says it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from jaxvae.config import Data
from jaxvae.data.dataset import Picture, Pictures
from jaxvae.data.sources.decoding import scale
from jaxvae.data.sources.resizing import adjust
from jaxvae.errors import UserError

BLOCK_BYTES = 2**24
"""So much of an array is looked at at once, since it may be larger than memory."""


class Stored(NamedTuple):
    """An array in a file, of which only the head was read."""

    name: str
    """What messages call it."""
    shape: tuple[int, ...]
    dtype: np.dtype
    load: Callable[[], np.ndarray]


def check(stored: Stored, trains: bool) -> None:
    """Raises UserError if the array cannot be images by its axes or its type; one that ``trains``, also if it
    can be a single image."""
    name, shape, kind = stored.name, stored.shape, stored.dtype.kind
    if shape[:1] == (0,):
        raise UserError(f"{name} holds no images")
    problem = (_problem_of_few(shape) if trains and len(shape) in (3, 4) else None) or _problem(shape)
    if problem is not None:
        raise UserError(f"{name} has the shape {shape}{problem}")
    if kind not in "buif":
        raise UserError(
            f"{name} holds numbers of type {stored.dtype}: images are 8-bit numbers from 0 to 255, of type "
            "uint8"
        )


def _problem(shape: tuple[int, ...]) -> str | None:
    """What is wrong with the shape, and what to type; None if it can be images."""
    wanted = ": images are example x height x width, with a last axis for the channels if they have several"
    if len(shape) not in (3, 4) or 0 in shape:
        return wanted + (_flattened(shape[1]) if len(shape) == 2 and shape[1] else "")
    second, third, last = (*shape[1:], 1)[:3]
    if last <= 4:
        return None
    if second <= 4 or (second != third == last):
        frames = f"; x.reshape(-1, {third}, {last}) if they are frames" * (second > 4)
        return f", with the channels first: numpy.moveaxis(x, 1, -1) puts them last{frames}"
    if third <= 4:
        return ", with the examples last: numpy.moveaxis(x, -1, 0) puts them first"
    return None


def _problem_of_few(shape: tuple[int, ...]) -> str | None:
    """The same for what could be a few images, which no model is trained on, but rather is something else."""
    first, second, last = shape[0], shape[1], shape[-1]
    if len(shape) == 4:
        if first <= 4 and min(shape[1:]) > 4:
            return ", with the channels before the examples: numpy.moveaxis(x, 0, -1) puts them last"
        return None
    if last in (1, 3, 4) and min(first, second) >= 8:
        return (
            f": one image of {first} x {second} is x[None], and two at least are needed; {first} images of "
            f"{second} x {last} are x[..., None]"
        )
    if first == 3 and min(second, last) >= 8:
        return (
            ": one image with the channels first is numpy.moveaxis(x, 0, -1)[None], and two at least are "
            f"needed; 3 images of {second} x {last} are x[..., None]"
        )
    if min(first, second) >= 8 and (first == second < last or 3 * max(first, second) < last):
        return (
            f": {last} images of {first} x {second} are numpy.moveaxis(x, -1, 0); {first} images of "
            f"{second} x {last} are x[..., None]"
        )
    return None


def _flattened(size: int) -> str:
    side, colored = math.isqrt(size), math.isqrt(size // 3)
    if side**2 == size and side > 1:
        return f"; x.reshape(-1, {side}, {side}) if they are flattened"
    if 3 * colored**2 == size and colored > 1:
        return (
            f"; if they are flattened, x.reshape(-1, {colored}, {colored}, 3), or "
            f"x.reshape(-1, 3, {colored}, {colored}).transpose(0, 2, 3, 1) where the channels come first"
        )
    return "; x.reshape(-1, HEIGHT, WIDTH) if they are flattened"


class _Range(NamedTuple):
    low: float
    high: float
    whole: bool
    """Whether all numbers are whole."""
    levels: bool
    """Whether all are k / 255 for whole k, to the rounding of their type."""


def pictures(arrays: Sequence[tuple[str, np.ndarray]], data: Data) -> list[Pictures]:
    """Pictures from named arrays of one set.

    Whole numbers from 0 to 255 are taken as they are, truth values and numbers that are all 0 or 1 as black
    and white, k / 255 as k, and 16 bits as ``data.sixteen_bit`` says. Raises UserError for others.
    """
    convert, remark = _reading([(name, array) for name, array in arrays if array.dtype != np.bool_], data)

    def picture(name: str, array: np.ndarray) -> Pictures:
        to_levels = convert if array.dtype != np.bool_ else _spread

        def read(number: int) -> Picture:
            image = to_levels(np.asarray(array[number]))
            return adjust(image if image.ndim == 3 else image[..., None], f"{name}, image {number}", data)

        return Pictures(len(array), read, lambda number: f"{name}, image {number}", remark)

    return [picture(name, array) for name, array in arrays]


def prepared(arrays: Sequence[tuple[str, np.ndarray]], title: str) -> list[np.ndarray] | None:
    """Training, test and maybe validation images of 8 bits that can be used where they are; None if they must
    be written anew.

    Raises UserError if their shapes differ.
    """
    if any(not array.flags.c_contiguous for _, array in arrays):
        return None
    if _reading(arrays, Data())[1]:
        return None
    sets = [array if array.ndim == 4 else array[..., None] for _, array in arrays]
    refuse_other_shapes([images.shape[1:] for images in sets], f"{title}: ")
    return sets


def refuse_other_shapes(shapes: Sequence[tuple[int, ...]], where: str = "") -> None:
    """Raises UserError unless the images of all sets, training, test and maybe validation, have one shape."""
    for shape, name in zip(shapes, ("training", "test", "validation"), strict=False):
        if shape != shapes[0]:
            raise UserError(
                f"{where}training and {name} images have the shapes {shapes[0]} and {shape}, which must be "
                "equal"
            )


def _as_bytes(image: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    return image.astype(np.uint8)


def _spread(image: Shaped[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """0 to 1 as 0 to 255."""
    return np.round(image.astype(np.float64) * 255).astype(np.uint8)


def _reading(arrays: Sequence[tuple[str, np.ndarray]], data: Data) -> tuple[Callable, str]:
    """How all of the arrays are to be read alike, and what to say of that."""
    ranges = {name: _look(name, array) for name, array in arrays}
    high = max((found.high for found in ranges.values()), default=0)
    for name, array in arrays:
        _check_range(name, array.dtype, ranges[name], data)
    wide = [name for name, array in arrays if array.dtype.kind in "iu" and array.dtype.itemsize > 1]
    if data.sixteen_bit == "scale" and wide and high <= 255:
        raise UserError(
            f"{wide[0]} holds numbers to {high:g}, which are 8 bits: --data.sixteen_bit scale is for numbers "
            "to 65535"
        )
    if high > 255:
        return scale, "numbers of 16 bits scaled to 8"
    units = [name for name, found in ranges.items() if found.levels]
    wholes = [name for name, found in ranges.items() if found.whole]
    if len(units) == len(ranges) and high > 0:
        binary = len(wholes) == len(ranges)
        return _spread, "0 and 1 read as black and white" if binary else "numbers k / 255 read as k"
    odd = [name for name, found in ranges.items() if found.levels and found.high > 0]
    if len(wholes) < len(ranges) or odd:
        listed = ", ".join(f"{name} from {found.low:g} to {found.high:g}" for name, found in ranges.items())
        raise UserError(
            f"training and {'other' if len(ranges) > 2 else 'test'} images must have one range, but {listed}"
        )
    return _as_bytes, ""


def _check_range(name: str, dtype: np.dtype, found: _Range, data: Data) -> None:
    held = f"{name} holds numbers from {found.low:g} to {found.high:g}"
    if dtype.kind == "f" and not (found.levels or (found.whole and found.low >= 0 and found.high <= 255)):
        if found.low >= 0 and found.high <= 1:
            typed = "numpy.round(255 * x).astype('uint8')"
        elif found.low >= -1 and found.high <= 1:
            typed = "numpy.round(127.5 * (x + 1)).astype('uint8')"
        elif found.low >= 0 and 16 < found.high <= 255:
            typed = "numpy.round(x).astype('uint8')"
        else:
            typed = "numpy.round(255 * (x - x.min()) / (x.max() - x.min())).astype('uint8')"
        raise UserError(
            f"{held} of type {dtype}, which are not 8-bit levels exactly: {typed} rounds them to such, from "
            "0 to 255"
        )
    if dtype.kind != "f" and not (found.low >= 0 and found.high <= 255):
        if found.low >= 0 and found.high <= 65535 and data.sixteen_bit == "scale":
            return
        hint = ""
        if found.low >= 0 and found.high <= 65535:
            hint = "; --data.sixteen_bit scale makes 8 bits of 16"
        elif dtype == np.int8:
            hint = "; x.view('uint8') if they are bytes that were taken for int8"
        raise UserError(f"{held}: pixels are from 0 to 255{hint}")


def _look(name: str, array: np.ndarray) -> _Range:
    """The range of all numbers; of bytes, only until one is above 1, for then nothing is left to ask."""
    low, high, whole, levels = math.inf, -math.inf, True, True
    for block in _blocks(array):
        low, high = min(low, block.min()), max(high, block.max())
        if array.dtype == np.uint8 and high > 1:
            return _Range(0, 255, True, False)
        if array.dtype.kind != "f":
            continue
        if not np.isfinite(low) or not np.isfinite(high):
            raise UserError(f"{name} holds numbers that are not finite")
        numbers = block.astype(np.float64)
        whole = whole and bool((numbers == np.round(numbers)).all())
        levels = levels and _are_levels(numbers, array.dtype)
    levels = levels if array.dtype.kind == "f" else low >= 0 and high <= 1
    return _Range(float(low), float(high), whole, levels)


def _are_levels(numbers: Shaped[np.ndarray, "..."], dtype: np.dtype) -> bool:
    """Whether all are k / 255, as it comes out in their type or in float32, by a division or by a product
    with 1 / 255."""
    scaled = 255 * numbers
    nearest = np.round(scaled)
    half = dtype.itemsize == 2
    tolerance = nearest * (np.finfo(np.float16).eps if half else 2 * np.finfo(np.float32).eps)
    return bool((numbers >= 0).all() and (numbers <= 1).all() and (abs(scaled - nearest) <= tolerance).all())


def _blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    count = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, len(array), count):
        yield array[start : start + count]
