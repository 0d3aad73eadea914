"""What can a TPU chip do at most, and how well do a model's products fill its matrix units?"""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from benchmarks.experiments import channels, hidden
from jaxvae.config import Config, Model

SUBLANES = 8
"""Rows that enter a matrix unit at a time."""
TAPS = 16
"""Pixels of a kernel: 4 x 4 (``jaxvae/convolution.py``, which would import JAX)."""


class Chip(NamedTuple):
    """Peak rates and sizes, as Google states them (Cloud TPU documentation, pages TPU v5e, v5p and v6e)."""

    kinds: tuple[str, ...]
    """What JAX calls it."""
    flops_per_second: float
    """In bfloat16, which is also what a TPU makes of float32 operands unless told otherwise."""
    bytes_per_second: float
    """To and from main memory (HBM)."""
    memory_bytes: float
    link_bytes_per_second: float
    """To and from other chips, both directions and all links together."""
    side: int
    """Of its matrix units: 128 x 128 or 256 x 256."""


CHIPS = {
    "v5e": Chip(("TPU v5 lite", "TPU v5e"), 197e12, 819e9, 16e9, 400e9, 128),
    "v5p": Chip(("TPU v5", "TPU v5p"), 459e12, 2765e9, 95e9, 1200e9, 128),
    "v6e": Chip(("TPU v6 lite", "TPU v6e"), 918e12, 1640e9, 32e9, 800e9, 256),
}


def bounds(
    chip: Chip, chips: int, flops: float, memory_bytes: float, all_reduce_bytes: float
) -> dict[str, float]:
    """Seconds that a step takes at the very least, for its arithmetic, its memory and its sums over chips.

    All three may go on at once, so the largest is the bound. Of B bytes to sum over n chips each must send
    ``2 (n - 1) / n B`` (Patarasuk and Yuan 2009), and half of the links' bandwidth is for sending.
    """
    sent = 2 * (chips - 1) / chips * all_reduce_bytes
    return {
        "compute": flops / chip.flops_per_second,
        "memory": memory_bytes / chip.bytes_per_second,
        "interconnect": sent / (chip.link_bytes_per_second / 2),
    }


class Product(NamedTuple):
    """``times`` matrix products (rows x contracted) (contracted x columns)."""

    name: str
    rows: int
    contracted: int
    columns: int
    times: int = 1

    @property
    def work(self) -> int:
        """Multiplications."""
        return self.times * self.rows * self.contracted * self.columns

    def tile_work(self, side: int) -> int:
        """Multiplications that a matrix unit does for it, those with padding included.

        It holds a ``side x side`` block of one factor while rows of the other pass through, eight at a
        time. Either factor may be the one that is held: XLA chooses, and here the better choice counts.
        """

        def held(rows: int, columns: int) -> int:
            return _up(rows, SUBLANES) * _up(self.contracted, side) * _up(columns, side)

        return self.times * min(held(self.rows, self.columns), held(self.columns, self.rows))

    def fill(self, side: int) -> float:
        """The part of the tiles' work that is not padding."""
        return self.work / self.tile_work(side)


def tile_fill(products: Sequence[Product], side: int) -> float:
    """The part of the matrix units' work in all products that is not padding."""
    return sum(p.work for p in products) / sum(p.tile_work(side) for p in products)


def on_whole_lanes(model: Model, side: int) -> Model:
    """The model with the widths that one may choose (not the image's) rounded up to whole tiles."""
    return dataclasses.replace(
        model,
        latent_dim=_up(model.latent_dim, side),
        architecture=dataclasses.replace(
            model.architecture,
            **{
                name: tuple(_up(width, side) for width in getattr(model.architecture, name))
                for name in ("hidden", "channels")
                if hasattr(model.architecture, name)
            },
        ),
    )


def products(config: Config, image_shape: tuple[int, int, int], batch: int) -> list[Product]:
    """Every product of a training step on ``batch`` images: forwards, and both gradients.

    A convolution is taken as the best matrix product that it could be: over all taps of the kernel at
    once, and a transposed one as four, one for each of the pixels that a position becomes.
    """
    made = [*_encoder(config, image_shape, batch), *_decoder(config, image_shape, batch)]
    return made[:1] + made[2:]  # nobody needs the gradient of the images


def _encoder(config: Config, image_shape: tuple[int, int, int], batch: int) -> Iterator[Product]:
    model, shapes = config.model, _halved(config, image_shape)
    for (_, _, inner), smaller in itertools.pairwise(shapes):
        name, half, double, weight = _convolution(inner, smaller, batch)
        yield half._replace(name=f"encoder {name}")
        yield double._replace(name=f"encoder {name}, input gradient")
        yield weight._replace(name=f"encoder {name}, weight gradient")
    yield from _dense("encoder", (math.prod(shapes[-1]), *hidden(model), 2 * model.latent_dim), batch)


def _decoder(config: Config, image_shape: tuple[int, int, int], batch: int) -> Iterator[Product]:
    model, shapes = config.model, _halved(config, image_shape)
    yield from _dense("decoder", (model.latent_dim, *hidden(model)[::-1], math.prod(shapes[-1])), batch)
    for smaller, (_, _, inner) in itertools.pairwise(shapes[::-1]):
        name, half, double, weight = _convolution(inner, smaller, batch)
        yield double._replace(name=f"decoder {name}")
        yield half._replace(name=f"decoder {name}, input gradient")
        yield weight._replace(name=f"decoder {name}, weight gradient")


def _halved(config: Config, image_shape: tuple[int, int, int]) -> list[tuple[int, int, int]]:
    shapes = [image_shape]
    for channel in channels(config.model):
        height, width, _ = shapes[-1]
        shapes.append((-(-height // 2), -(-width // 2), channel))
    return shapes


def _dense(where: str, widths: tuple[int, ...], batch: int) -> Iterator[Product]:
    for n, m in itertools.pairwise(widths):
        yield Product(f"{where} {n}-{m}", batch, n, m)
        yield Product(f"{where} {n}-{m}, input gradient", batch, m, n)
        yield Product(f"{where} {n}-{m}, weight gradient", n, batch, m)


def _convolution(
    inner: int, smaller: tuple[int, int, int], batch: int
) -> tuple[str, Product, Product, Product]:
    height, width, outer = smaller
    positions = batch * height * width
    return (
        f"convolution {inner}-{outer}",
        Product("", positions, TAPS * inner, outer),
        Product("", positions, TAPS // 4 * outer, inner, times=4),
        Product("", TAPS * inner, positions, outer),
    )


def _up(number: int, step: int) -> int:
    return -(-number // step) * step
