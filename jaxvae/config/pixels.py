"""Which pixels does a model see, and which likelihood gives a density, or a probability, of them?"""

from typing import Literal

Pixels = Literal["binary", "levels", "unit", "real"]
"""Of data, what their pixels are; of a likelihood, its support.

- ``binary``: 0 or 1.
- ``levels``: the 256 levels of 8 bits, k / 255.
- ``unit``: any number from 0 to 1, such as dequantised pixels.
- ``real``: any number (only a support).

A likelihood of ``binary`` or ``levels`` gives probabilities; of ``unit`` or ``real``, densities, which exist
of every pixel, but are no probability of one that is 0 or 1, or one of 256 levels."""

TAKES: dict[Pixels, tuple[Pixels, ...]] = {
    "binary": ("binary",),
    "levels": ("levels",),
    "unit": ("binary", "levels", "unit"),
    "real": ("binary", "levels", "unit"),
}
"""Of which data's pixels each support gives a density or a probability."""

ARE: dict[Pixels, str] = {
    "binary": "0 or 1",
    "levels": "256 levels, k / 255",
    "unit": "from 0 to 1",
    "real": "any numbers",
}
"""What pixels are, in words."""

_FLAGS: dict[Pixels, str] = {
    "binary": "--data.binarization dynamic, static or threshold",
    "levels": "--data.binarization none --data.dequantization none",
    # So that densities bound the probability of the 8-bit image.
    "unit": "--data.binarization none --data.dequantization uniform",
    "real": "--data.binarization none --data.dequantization uniform",
}


def flags_for(support: Pixels, found: Pixels) -> str:
    """What makes pixels, which are ``found``, such as a likelihood with this support takes."""
    also = "--data.dequantization none " if support == "binary" and found == "unit" else ""
    return also + _FLAGS[support]


def is_discrete(support: Pixels) -> bool:
    """Whether a likelihood with this support gives probabilities, and no densities."""
    return support in ("binary", "levels")
