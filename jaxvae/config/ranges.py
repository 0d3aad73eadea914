"""Which values of a type can work? A field is declared with one of these types, such as ``Count``."""

import os
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

MOST = 2**31 - 1
MOST_WORKERS = 256
MOST_LAYERS = 256
_TINIEST, _LARGEST = 1.1754944e-38, 3.4028234e38
"""Of float32, without subnormal numbers, which devices may take for zero."""


class Range(NamedTuple):
    """The values of a field that can work; it stands in the field's ``Annotated`` type."""

    holds: Callable[[Any], bool]
    wanted: str
    """What a value must be, in words."""


def at_least(least: float) -> Range:
    """``least`` or more."""
    return Range(lambda value: value >= least, f"{least} or more")


def at_most(most: float, why: str = "") -> Range:
    """``most`` or less."""
    return Range(lambda value: value <= most, f"{most} or less{why}")


def between(least: float, most: float) -> Range:
    """From ``least`` to ``most``."""
    return Range(lambda value: least <= value <= most, f"from {least} to {most}")


def _own_home(path: str) -> bool:
    return not os.path.expanduser(path).startswith("~")


_FITS = at_most(MOST, ": counters have 32 bits")

Seed = Annotated[int, between(0, 2**32 - 1)]
Count = Annotated[int, at_least(1), _FITS]
Whole = Annotated[int, at_least(0), _FITS]
Several = Annotated[int, at_least(2), _FITS]
Workers = Annotated[int, at_least(1), at_most(MOST_WORKERS)]
NotNegative = Annotated[
    float,
    Range(lambda value: value == 0 or _TINIEST <= value <= _LARGEST, "finite in float32 and not negative"),
]
Positive = Annotated[
    float, Range(lambda value: _TINIEST <= value <= _LARGEST, "finite in float32 and above 0")
]
Multiple = Annotated[float, Range(lambda value: 1 < value <= _LARGEST, "above 1, and finite in float32")]
Decay = Annotated[float, Range(lambda value: 0 <= value < 1, "at least 0 and below 1")]
Portion = Annotated[float, between(0, 1)]
Rise = Annotated[float, Range(lambda value: 0 < value <= 1, "above 0 and 1 or less")]
Share = Annotated[float, Range(lambda value: 0 < value < 1, "above 0 and below 1")]
Part = Annotated[
    int | float | Literal["own"],
    Range(
        lambda part: part == "own" or 0 < part < 1 or (isinstance(part, int) and 1 <= part <= MOST),
        "a share above 0 and below 1, a whole number of images, or own",
    ),
]
"""A part of the training images, or a set of its own."""
Scale = Annotated[float, Range(lambda value: 1e-3 <= value <= 1e3, "from 0.001 to 1000")]
Components = Annotated[int, between(1, 1000)]
Widths = Annotated[
    tuple[int, ...],
    Range(lambda widths: all(1 <= width <= MOST for width in widths), f"widths of 1 or more, to {MOST}"),
    Range(lambda widths: len(widths) <= MOST_LAYERS, f"{MOST_LAYERS} widths or fewer"),
]
Channels = Annotated[Widths, Range(lambda widths: len(widths) >= 1, "one number of channels or more")]
Path = Annotated[str, Range(_own_home, "a path, its ~ the folder of a user whom this system knows")]
