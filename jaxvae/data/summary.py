"""What is in a set of images? A description in words, and a contact sheet of some of them."""

from pathlib import Path

import numpy as np

from jaxvae.config import Data
from jaxvae.data.advice import darkness, histogram, suits
from jaxvae.data.image_grid import refuse_others_file, write_grid
from jaxvae.data.load import load
from jaxvae.data.memory_map import gather
from jaxvae.data.placement import choose_places
from jaxvae.errors import UserError, printable
from jaxvae.training.parallel import all_devices

SHEET_PIXELS = 1200
"""The greatest width of the contact sheet, unless a single image is wider."""
MOST_COLUMNS = 12


def summarize(config: Data, picture: Path) -> str:
    """Returns a description of the images that ``config`` names, and writes a contact sheet of training
    images to ``picture``. Raises UserError if there are no images, or if the picture cannot be written or
    would replace a file that is not a contact sheet."""
    refuse_others_file(picture)
    devices = all_devices()
    dataset = load(config)
    places = choose_places(config.placement, dataset, devices)
    places.check(config)
    train, test, validation = dataset.train, dataset.test, dataset.validation
    height, width, channel = train.shape[1:]
    levels = histogram(train)
    used = np.flatnonzero(levels)
    columns = max(1, min(MOST_COLUMNS, SHEET_PIXELS // (width + 2)))
    shown = np.linspace(0, len(train) - 1, min(len(train), columns**2)).astype(np.int64)
    try:
        picture.parent.mkdir(parents=True, exist_ok=True)
        write_grid(picture, gather(train, shown).astype(np.float32) / 255, columns)
    except OSError as error:
        raise UserError(f"--picture {picture} cannot be written ({error.strerror})") from error
    mean = (levels * np.arange(256)).sum() / levels.sum()
    rows = [
        ("files", dataset.remarks),
        ("training images", f"{len(train):,}"),
        ("validation", None if validation is None else f"{len(validation):,} images: {dataset.chosen}"),
        ("test images", f"{len(test):,}"),
        ("size", f"{height} x {width} pixels, {channel} channel{'s' * (channel > 1)}"),
        ("values", f"{used[0]} to {used[-1]}, {len(used)} of 256 levels, mean {mean:.2f}"),
        ("warning", darkness(levels)),
        ("bytes", f"{dataset.nbytes:,}: {places.describe()}"),
        ("SHA-256", dataset.digest()),
        ("kept in", printable(Path(kept).parent) if (kept := getattr(train, "filename", None)) else None),
        ("suits", suits(levels, channel)),
        ("picture", f"{picture}: {len(shown)} training images"),
    ]
    return "\n".join([dataset.title, *(f"  {name:<16} {value}" for name, value in rows if value)])
