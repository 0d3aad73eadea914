"""Which images does the model explain, and which not? The scores of every image, in a file."""

import io
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from jaxvae.analysis.context import Context
from jaxvae.errors import RunError, printable
from jaxvae.system.atomic_files import replace


def of_each_image(context: Context) -> dict[str, np.ndarray]:
    """Arrays of one entry an image, in nats: ``elbo``, ``rate`` (and ``rate_of_level`` if there are several),
    ``distortion``, ``log_likelihood`` (the importance-weighted bound), ``effective_samples``; ``index`` in
    the test set. Of each latent, where the model says them, ``posterior_mean``, and ``rate_of_latent``, or
    ``marginal_rate_of_latent`` where latents depend on each other."""
    each: Any = context.bounds
    rate = each.terms.rates.sum(-1)
    found = {
        "index": np.arange(len(rate)),
        "elbo": -(rate + each.terms.distortion),
        "rate": rate,
        "distortion": each.terms.distortion,
        "log_likelihood": each.importance_weighted,
        "effective_samples": each.effective_samples,
    }
    if each.terms.rates.shape[-1] > 1:
        found["rate_of_level"] = each.terms.rates
    rates, kind = context.latent_rates
    if rates is not None:
        found["marginal_rate_of_latent" if kind == "marginal" else "rate_of_latent"] = rates
    if each.posterior_mean is not None:
        found["posterior_mean"] = each.posterior_mean
    return found


def is_ours(path: Path) -> bool:
    """Whether ``write`` may have written the file. Raises OSError if it cannot be read."""
    try:
        with np.load(path) as there:
            return {"index", "log_likelihood", "importance_samples"} <= set(there)
    except (ValueError, EOFError, TypeError, zipfile.BadZipFile):
        return path.stat().st_size == 0


def write(path: Path, scores: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Writes the arrays, and ``about`` as numbers beside them, to an .npz file that is whole or not there.
    Raises RunError if it cannot be written."""
    content = io.BytesIO()
    np.savez(content, **scores, **about)
    try:
        replace(path, content.getvalue())
    except OSError as error:
        raise RunError(f"--scores {printable(path)} cannot be written ({error.strerror})") from error


def line(path: Path, scores: dict[str, np.ndarray]) -> str:
    """What was written, and the images that are explained worst."""
    worst = np.argsort(scores["log_likelihood"])[:5]
    said = ", ".join(f"{i} ({-scores['log_likelihood'][i]:.1f})" for i in worst)
    count = math.prod(scores["index"].shape)
    return f"Scores of {count} images are in {printable(path)}. The least likely, with their NLL: {said}."
