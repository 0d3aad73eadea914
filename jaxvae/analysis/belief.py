"""Can this NLL be believed? By how much it is too high, and how far chance moves it."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxvae.runs.progress import BELIEVABLE

FEW = 0.05
"""Up to this share of images with too few effective samples changes little."""
FEWER = 8
"""The NLL is also computed with this many times fewer samples: how it falls shows how it will go on."""
MOST_FACTOR = 1e4
"""Growth beyond this factor is not extrapolated."""


def belief(
    test: dict[str, Any], effective: Float[np.ndarray, " example"], fewer: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What can be said of ``test["nll"]``, from the effective samples of each image and from ``fewer``, the
    same scores with an eighth of the samples.

    - ``fall``: by how much the NLL is lower than with an eighth of the samples.
    - ``bias``: by how much it is too high, the larger of two estimates: ``nll_bias``, to first order in the
      weights' variance, and ``fall / 7``, what remains if the bias is in proportion to 1 / samples. It falls
      more slowly than that until many samples count, so that this is mostly too small.
    - ``few``: the share of images with fewer than 10 effective samples.
    - ``verdict``: ``no`` if fewer than 10 of an image's samples count in the mean, so that the bias is not
      known; ``bound`` if the bias is above the standard error over images, or that is not known, or more than
      5 % of the images have fewer than 10; else ``yes``.
    - ``samples_needed``: how many samples would probably bring the mean of the effective samples to 10, if
      they go on growing by the power of the number of samples that they grew by before, and the bias below
      the standard error. None if that cannot be told.
    """
    samples, error = test["importance_samples"], test["nll_stderr"]
    fall = None if fewer is None else float(fewer["nll"] - test["nll"])
    bias = max(test["nll_bias"], 0.0 if fall is None else fall / (FEWER - 1))
    few = float(np.mean(effective < BELIEVABLE))
    if test["effective_samples"] < BELIEVABLE:
        verdict = "no"
    elif few > FEW or not bias <= error:
        verdict = "bound"
    else:
        verdict = "yes"
    needed = samples if verdict == "yes" else None
    if verdict != "yes" and fewer is not None:
        factor = _factor(test["effective_samples"], fewer["effective_samples"], samples)
        for_bias = bias / error if math.isfinite(error) and error > 0 else 1.0
        grown = max(factor, for_bias)
        needed = None if grown > MOST_FACTOR else _round_up(samples * max(grown, 2.0))
    return {"verdict": verdict, "bias": bias, "fall": fall, "few": few, "samples_needed": needed}


def _factor(effective: float, before: float, samples: int) -> float:
    """By how much the samples must grow for 10 effective ones."""
    if effective >= BELIEVABLE:
        return 1.0
    growth = math.log(effective / before) / math.log(samples / (samples // FEWER))
    return math.inf if growth <= 0 else (BELIEVABLE / effective) ** (1 / min(growth, 1.0))


def _round_up(number: float) -> int:
    """To two digits, upwards."""
    step = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / step) * step


def lines(test: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """The verdict in words."""
    samples, verdict = test["importance_samples"], found["verdict"]
    said = {
        "yes": ["Believe this NLL: yes."],
        "bound": ["Believe this NLL: as an upper bound, not as the value."],
        "no": [
            "Believe this NLL: no, only that the true one is lower.",
            f"  Of {samples} samples {test['effective_samples']:.1f} count in the mean, too few to say how "
            "much lower.",
        ],
    }[verdict]
    least = "about" if verdict == "yes" else "at least"
    said.append(f"  It is too high by {least} {found['bias']:.3f} because there are {samples} samples,")
    over_images = "" if math.isnan(error := test["nll_stderr"]) else f" and of {error:.3f} over images"
    said.append(f"  and has a standard error of {test['nll_draw_stderr']:.3f} over their draws{over_images}.")
    if found["fall"] is not None:
        said.append(f"  With {samples // FEWER} samples it was higher by {found['fall']:.3f}.")
    if verdict != "yes":
        said.append(f"  {found['few']:.0%} of the images have fewer than {BELIEVABLE} effective samples.")
        needed = found["samples_needed"]
        said.append(
            f"  Probably needed: --importance_samples {needed} or more."
            if needed is not None
            else "  More samples are needed, by a factor that cannot be told from these."
        )
    return said
