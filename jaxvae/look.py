"""What is in a set of images? ``python -m jaxvae data NAME`` says it and shows some, before any training."""

from pathlib import Path

import jax
import numpy as np
from jaxtyping import Int

from jaxvae.config import Data
from jaxvae.data import Dataset, load
from jaxvae.errors import UserError, printable
from jaxvae.images import write_grid
from jaxvae.pixels import blocks, gather
from jaxvae.placement import choose_places

SHEET_PIXELS = 1200
"""The contact sheet is no wider, unless one image is."""
MOST_COLUMNS = 12
NEARLY = 16
"""So many levels from black or white is as good as that."""
NEARLY_SO = "of the pixels are nearly black or white"


def look(config: Data, picture: Path) -> str:
    """Describes the images that ``config`` names as text, and writes a contact sheet of training images to
    ``picture``. Raises UserError if there are none, or the picture cannot be written."""
    dataset = load(config)
    train, test = dataset.train, dataset.test
    height, width, channel = train.shape[1:]
    levels = histogram(dataset)
    used = np.flatnonzero(levels)
    columns = max(1, min(MOST_COLUMNS, SHEET_PIXELS // (width + 2)))
    shown = np.linspace(0, len(train) - 1, min(len(train), columns**2)).astype(np.int64)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_grid(picture, gather(train, shown).astype(np.float32) / 255, columns)
    except OSError as error:
        raise UserError(f"--picture {picture} cannot be written ({error.strerror})") from error
    mean = (levels * np.arange(256)).sum() / levels.sum()
    places = choose_places(config.placement, dataset, jax.devices())
    rows = [
        ("files", dataset.remarks),
        ("training images", f"{len(train):,}"),
        ("test images", f"{len(test):,}"),
        ("size", f"{height} x {width} pixels, {channel} channel{'s' * (channel > 1)}"),
        ("values", f"{used[0]} to {used[-1]}, {len(used)} of 256 levels, mean {mean:.2f}"),
        ("bytes", f"{train.nbytes + test.nbytes:,}: {places.describe()}"),
        ("SHA-256", dataset.digest()),
        ("kept in", printable(Path(kept).parent) if (kept := getattr(train, "filename", None)) else None),
        ("suits", suits(levels, channel)),
        ("picture", f"{picture}: {len(shown)} training images"),
    ]
    return "\n".join([dataset.title, *(f"  {name:<16} {value}" for name, value in rows if value)])


def histogram(dataset: Dataset) -> Int[np.ndarray, "256"]:
    """How many training pixels have each level."""
    levels = np.zeros(256, np.int64)
    for block in blocks(dataset.train):
        # Counting takes eight times the memory of what it counts.
        for part in np.array_split(block.reshape(-1), -(-block.size // 2**22)):
            levels += np.bincount(part, minlength=256)
    return levels


def suits(levels: Int[np.ndarray, "256"], channel: int) -> str:
    """Which likelihood, and why: Bernoulli for images that are nearly black and white."""
    extreme = (levels[:NEARLY].sum() + levels[-NEARLY:].sum()) / levels.sum()
    if levels[1:-1].sum() == 0:
        return "--model.likelihood bernoulli --data.binarization threshold (every pixel is 0 or 255)"
    if channel == 1 and extreme > 0.75 and levels[-NEARLY:].sum() > 0:
        return f"--model.likelihood bernoulli --data.binarization dynamic ({extreme:.0%} {NEARLY_SO})"
    return (
        "--model.likelihood gaussian --model.learn_sigma True --data.binarization none --data.dequantization "
        f"uniform (only {extreme:.0%} {NEARLY_SO})"
    )
