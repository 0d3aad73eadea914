"""What does ``summary.json`` say beside the scores? The images, the speed, the versions."""

import importlib.metadata
import platform
from pathlib import Path
from typing import Any

from jaxvae.config import Config
from jaxvae.config.pixels import Pixels
from jaxvae.data.dataset import Dataset
from jaxvae.system.atomic_files import read_json

THROUGHPUT = ("examples_per_second", "compile_seconds", "train_seconds", "data_wait")
"""What the summary says of the speed of training."""


def throughput_before(summary: Path) -> dict[str, float | None]:
    """How fast a finished run was trained, if the summary that is about to be replaced says so."""
    try:
        said = read_json(summary)["throughput"]
        return {name: float(said[name]) for name in THROUGHPUT}
    except (ValueError, OverflowError, LookupError, TypeError):
        return {}


def describe_data(
    config: Config, dataset: Dataset, record: dict[str, Any] | None, support: Pixels
) -> dict[str, Any]:
    """What the numbers are of, what was done to pixels before the model saw them, and which pixels its
    likelihood is made for (``support``): of ``binary`` and ``levels`` scores are of probabilities."""
    data, validation = config.data, dataset.validation
    return {
        "name": data.name,
        "source": dataset.title,
        "sha256": (record or {}).get("data"),
        "train": len(dataset.train),
        **({} if validation is None else {"validation": len(validation), "chosen": dataset.chosen}),
        "test": len(dataset.test),
        "image_shape": list(dataset.train.shape[1:]),
        "binarization": data.binarization,
        "dequantization": data.dequantization,
        "horizontal_flips": data.horizontal_flips,
        "support": support,
    }


def versions() -> dict[str, str | None]:
    """Versions of what the numbers depend on; None for this package where it runs without installation."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name in ("jaxvae", "jax", "jaxlib", "equinox", "optax", "orbax-checkpoint", "numpy"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found
