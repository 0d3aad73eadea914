"""What does each latent do? Its rate, whether it is active, and how many have collapsed."""

from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvae.analysis.context import Analysis, Context
from jaxvae.data.principal_variances import usable_latents
from jaxvae.runs.evaluation import ACTIVE_VARIANCE, variance_of_means

ACTIVE_RATE = 0.1
"""A latent or a layer is active by its rate if that is above this many nats (Vahdat and Kautz 2020, arXiv
2007.03898)."""
EPSILON, DELTA = 0.01, 0.01
"""A latent has collapsed if its KL is below EPSILON nats for a share 1 - DELTA of the images or more (Lucas
et al. 2019, arXiv 1911.02469)."""
SHOWN = 64
"""At most so many latents are printed."""


def analyse(context: Context) -> dict[str, Any]:
    """For each latent, of all levels one after the other:

    - ``rate``: the mean over images of its KL[q || p], in nats; None where it is not known, as of a flow;
      ``rate_kind``: ``closed``, ``marginal`` if it is that of the latent by itself, as of a full-covariance
      posterior, or ``draw`` if it is the mean of a draw of each image;
    - ``variance``: that of its posterior mean over images, less the variance of estimating the mean; None if
      the model does not say the mean;
    - ``active``: whether the variance is above 0.01 (Burda et al. 2015, arXiv 1509.00519);
    - ``level``: the number of its layer, 0 the lowest.

    Of each layer, ``levels``: ``latents``, ``rate``, ``active_units``, ``active_by_rate`` (latents with more
    than 0.1 nats), and ``active`` (whether the layer has more than 0.1 nats). ``collapsed`` is the share of
    latents with P(KL < 0.01) >= 0.99 over images; None if the KL of an image is not known. ``linear``, with a
    Gaussian likelihood of fixed sigma, is what a linear model could use (``usable_latents``).
    """
    each, (rates, kind) = context.bounds, context.latent_rates
    sizes = context.levels
    level = np.repeat(np.arange(len(sizes)), sizes)
    rate = None if rates is None else rates.mean(0)
    variance = variance_of_means(each)
    active = None if variance is None else variance > ACTIVE_VARIANCE
    of_levels = each.terms.rates.mean(0)
    if len(of_levels) != len(sizes):
        # A model of one's own that reports other rates than one a level: all are one.
        of_levels, sizes, level = of_levels.sum(keepdims=True), [len(level)], np.zeros_like(level)
    levels = [
        {
            "latents": int(size),
            "rate": float(of_levels[i]),
            "active_units": None if active is None else int(active[level == i].sum()),
            "active_by_rate": None if rate is None else int((rate[level == i] > ACTIVE_RATE).sum()),
            "active": bool(of_levels[i] > ACTIVE_RATE),
        }
        for i, size in enumerate(sizes)
    ]
    return {
        "rate": rate,
        "rate_kind": kind,
        "variance": variance,
        "active": active,
        "level": level,
        "levels": levels,
        "linear": usable_latents(context.config, context.dataset.train),
        "collapsed": None if rates is None or kind == "draw" else collapsed(rates),
    }


def collapsed(rates: Float[np.ndarray, "example latent"]) -> float:
    """The share of latents with P(KL < EPSILON) >= 1 - DELTA over the images."""
    return float(np.mean(np.mean(rates < EPSILON, axis=0) >= 1 - DELTA))


def lines(found: dict[str, Any]) -> list[str]:
    """The table of the latents, the strongest first."""
    rate, variance, active, level = (found[name] for name in ("rate", "variance", "active", "level"))
    several = len(found["levels"]) > 1
    by = rate if rate is not None else variance
    order = np.arange(len(level)) if by is None else np.argsort(-by, kind="stable")
    said = [
        "Latents, the strongest first (rate: KL in nats, mean over images; variance: of the posterior mean):"
    ]
    said.append("  latent" + "  layer" * several + "      rate  variance  active")
    for i in order[:SHOWN]:
        cells = [f"  {i:>6}", f"{level[i] + 1:>7}" if several else ""]
        cells.append(f"{'not known':>10}" if rate is None else f"{rate[i]:>10.4f}")
        cells.append(f"{'not known':>10}" if variance is None else f"{variance[i]:>10.4f}")
        cells.append("" if active is None else "     yes" if active[i] else "      no")
        said.append("".join(cells).rstrip())
    if len(order) > SHOWN:
        said.append(f"  and {len(order) - SHOWN} more below these")
    if rate is None:
        said.append("  The rate of a single latent has no closed form here, so it is not known.")
    elif found["rate_kind"] == "marginal":
        said.append(
            "  Latents depend on each other: these are KL[q(z_i|x) || p(z_i)], whose sum, "
            f"{rate.sum():.3f}, is below the rate."
        )
    for i, one in enumerate(found["levels"]):
        name = f"Layer {i + 1}, from below" if several else "All"
        active_units = "unknown" if one["active_units"] is None else one["active_units"]
        more = one["active_by_rate"]
        by_rate = "" if more is None else f", {more} with more than {ACTIVE_RATE} nats"
        dead = "" if one["active"] else "; the layer is not active"
        said.append(
            f"{name}: {one['latents']} latents, rate {one['rate']:.3f}; active: {active_units}{by_rate}"
            f"{dead}."
        )
    if found["collapsed"] is not None:
        said.append(
            f"Collapsed: {found['collapsed']:.0%} of the latents, with less than {EPSILON} nats for "
            f"{1 - DELTA:.0%} of the images or more."
        )
    if (linear := found["linear"]) is not None:
        said.append(
            f"A linear model could use {linear['usable']} latents: in so many directions do training images "
            f"vary by more than {linear['threshold']:.3g}, the variance of the likelihood's noise."
        )
    return said


ANALYSIS = Analysis(analyse, lines)
