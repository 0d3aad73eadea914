"""Whose fault is a run's gap, the family's of q or the encoder's, and which images are encoded badly?"""

import math
from typing import Any

import jax
import numpy as np

from jaxvae.analysis.context import Analysis, Context, mean_and_error
from jaxvae.analysis.one_image.refined_posterior import GapSplit, Refinement, gap_split
from jaxvae.runs.progress import images, row, with_error

AT_ONCE = 32
"""Images whose posteriors are optimised together."""


def _split(context: Context) -> Any:
    """``GapSplit`` of every test image, in float64 on the host; computed once for both analyses."""
    if "split" not in context.found_before:
        at_once = max(1, context.config.eval.batch_size // AT_ONCE)
        settings = Refinement(context.options.gap_steps, samples=context.samples, at_once=at_once)

        def split(model: Any, x: Any, key: Any) -> GapSplit:
            return gap_split(model, x, jax.random.fold_in(key, 0), jax.random.fold_in(key, 1), settings)

        key = context.key("refined posteriors")
        found = context.over_images(split, key, at_once=AT_ONCE, saying="Optimising q(z|x)")
        context.found_before["split"] = jax.tree.map(lambda each: each.astype(np.float64), found)
    return context.found_before["split"]


def gap(context: Context) -> dict[str, Any]:
    """``gap``, log p(x) - L[q], and its parts ``approximation_gap`` and ``amortisation_gap``, with standard
    errors over images; ``nll``, by which log p(x) is known here, of the importance-weighted bound of draws of
    both; and the approximation gap by AIS too, if that was asked for."""
    split = _split(context)
    found: dict[str, Any] = {"images": len(split.elbo), "steps": context.options.gap_steps}
    parts = {
        "gap": split.log_likelihood - split.elbo,
        "approximation_gap": split.approximation_gap,
        "amortisation_gap": split.amortisation_gap,
        "refined_elbo": split.refined_elbo,
        "nll": -split.log_likelihood,
    }
    if (annealed := context.found_before.get("ais")) is not None:
        parts["approximation_gap_by_ais"] = annealed - split.refined_elbo
    for name, values in parts.items():
        found[name], found[f"{name}_stderr"] = mean_and_error(values)
    count = len(split.elbo)
    found["amortisation_gap_draw_stderr"] = math.sqrt((split.amortisation_error**2).sum()) / count
    found["nll_draw_stderr"] = math.sqrt((split.log_likelihood_error**2).sum()) / count
    found["samples"] = context.samples
    found["effective_samples"] = float(split.effective_samples.mean())
    found["of_each_image"] = {
        "refined_elbo": split.refined_elbo,
        "refined_log_likelihood": split.log_likelihood,
        "refined_log_likelihood_stderr": split.log_likelihood_error,
        "approximation_gap": split.approximation_gap,
        "amortisation_gap": split.amortisation_gap,
        "amortisation_gap_stderr": split.amortisation_error,
    }
    return found


def regret(context: Context) -> dict[str, Any]:
    """Likelihood regret of each image, its mean over images, median and 95th percentile; and the indices of
    the images with the largest."""
    each = _split(context).likelihood_regret
    mean, error = mean_and_error(each)
    return {
        "images": len(each),
        "steps": context.options.gap_steps,
        "regret": mean,
        "regret_stderr": error,
        "median": float(np.median(each)),
        "percentile_95": float(np.percentile(each, 95)),
        "largest": np.argsort(-each)[:5],
        "of_each_image": {"likelihood_regret": each},
    }


def gap_lines(found: dict[str, Any]) -> list[str]:
    """The gap and its parts."""
    by_chance = f"{found['amortisation_gap_draw_stderr']:.3f}"
    said = [
        f"The gap of {images(found['images'])}, q optimised by {found['steps']} steps of Adam, nats:",
        row("gap, by q and q*", with_error(found, "gap"), "log p(x) - L[q], L the ELBO"),
        row(
            "approximation",
            with_error(found, "approximation_gap"),
            "log p(x) - L[q*]: a richer family of q closes it",
        ),
        row(
            "amortisation",
            with_error(found, "amortisation_gap"),
            f"L[q*] - L[q]: a better encoder closes it; +- {by_chance} by its draws",
        ),
        row(
            "NLL",
            with_error(found, "nll"),
            f"of {found['samples']} samples of each, q* and q; {found['effective_samples']:.1f} effective",
        ),
    ]
    if "approximation_gap_by_ais" in found:
        value = with_error(found, "approximation_gap_by_ais")
        said.append(row("approximation", value, "with log p(x) by --ais"))
    return said


def regret_lines(found: dict[str, Any]) -> list[str]:
    """What is usual, and the images that are unlike the others."""
    largest = ", ".join(map(str, found["largest"]))
    return [
        f"Likelihood regret, L[q*] - L[q], of {images(found['images'])}, nats:",
        row("mean", with_error(found, "regret"), ""),
        row("median", f"{found['median']:.3f}", f"95 % are below {found['percentile_95']:.3f}"),
        f"  The largest have the images {largest}: they are encoded worst.",
    ]


GAP, REGRET = Analysis(gap, gap_lines), Analysis(regret, regret_lines)
