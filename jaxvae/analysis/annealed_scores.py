"""What does annealing say of a run's model? The NLL of its test images, and by how much it errs."""

import math
from typing import Any

import numpy as np

from jaxvae.analysis.context import Analysis, Context, mean_and_error
from jaxvae.analysis.one_image.annealing import Annealed, Annealing, annealed_bound, simulated_sandwich
from jaxvae.errors import UserError
from jaxvae.runs.progress import images, row, with_error

AT_ONCE = 16
"""At most so many images are annealed together, each with all its chains."""


def settings_of(context: Context) -> Annealing:
    """As the options say."""
    options = context.options
    return Annealing(options.ais_temperatures, options.ais_chains, options.ais_start)


def _at_once(context: Context) -> int:
    """So many that their chains are no more than the images of ``eval.batch_size``, or one."""
    settings = settings_of(context)
    most = context.config.eval.batch_size // (settings.chains + settings.pilots)
    return max(1, min(AT_ONCE, most))


def _about(context: Context) -> dict[str, Any]:
    settings = settings_of(context)
    return {
        "images": len(context.dataset.test),
        "temperatures": settings.temperatures,
        "chains": settings.chains,
        "start": settings.start,
    }


def _chains(annealed: Annealed) -> dict[str, float]:
    """How the chains went, as means over the images."""
    names = ("effective_chains", "acceptance", "final_step")
    return {name: float(getattr(annealed, name).mean()) for name in names}


def ais(context: Context) -> dict[str, Any]:
    """The NLL of the test images, ``nll``, at most in expectation; ``below_iw``, by how much it is below the
    importance-weighted one, both with standard errors over images; and over chains, ``nll_draw_stderr``."""
    settings = settings_of(context)
    found: Any = context.over_images(
        lambda model, x, key: annealed_bound(model, x, key, settings),
        context.key("annealing"),
        at_once=_at_once(context),
        saying="Annealing",
    )
    bound = found.bound.astype(np.float64)
    context.found_before["ais"] = bound
    nll, error = mean_and_error(-bound)
    below, below_error = mean_and_error(bound - context.bounds.importance_weighted)
    return {
        **_about(context),
        "nll": nll,
        "nll_stderr": error,
        "nll_draw_stderr": math.sqrt((found.standard_error.astype(np.float64) ** 2).sum()) / len(bound),
        "below_iw": below,
        "below_iw_stderr": below_error,
        **_chains(found),
        "of_each_image": {
            "ais_log_likelihood": bound,
            "ais_stderr": found.standard_error,
            "ais_effective_chains": found.effective_chains,
            "ais_acceptance": found.acceptance,
            "ais_final_step": found.final_step,
        },
    }


def sandwich(context: Context) -> dict[str, Any]:
    """log p(x*) of as many images as are evaluated, which the model makes: from below, from above, and the
    width between, with standard errors over images. Raises UserError if the model cannot make images."""
    settings = settings_of(context)
    try:
        both = context.over_images(
            lambda model, x, key: simulated_sandwich(model, key, settings)._replace(x=None),
            context.key("simulated images"),
            at_once=_at_once(context),
            saying="Annealing of simulated images",
        )
    except NotImplementedError as error:
        raise UserError(f"--sandwich cannot work with this model: {error}") from error
    found = {**_about(context), **_chains(both.lower)}
    lower, upper = (each.bound.astype(np.float64) for each in (both.lower, both.upper))
    for name, values in (("lower", lower), ("upper", upper), ("width", upper - lower)):
        found[name], found[f"{name}_stderr"] = mean_and_error(values)
    found["of_each_image"] = {"simulated_lower": lower, "simulated_upper": upper}
    return found


def _setting(found: dict[str, Any]) -> str:
    start = "q(z|x)" if found["start"] == "posterior" else "p(z)"
    return f"{found['temperatures']} temperatures, {found['chains']} chains from {start}"


def _moves(found: dict[str, Any]) -> list[str]:
    effective = f"{found['effective_chains']:.1f} of {found['chains']}"
    said = [row("effective chains", effective, "of the mean image")]
    if found["temperatures"] > 1:
        remark = f"of HMC's moves; last step size {found['final_step']:.3f}"
        said.append(row("acceptance", f"{found['acceptance']:.0%}", remark))
    return said


def ais_lines(found: dict[str, Any]) -> list[str]:
    """The NLL, how it compares with the importance-weighted one, and how the chains went."""
    remark = f"at most, in expectation; +- {found['nll_draw_stderr']:.3f} by the draws of the chains"
    return [
        f"Annealed importance sampling, {_setting(found)}, {images(found['images'])}, nats:",
        row("NLL", with_error(found, "nll"), remark),
        row("lower by", with_error(found, "below_iw"), "than that of importance samples, on the same images"),
        *_moves(found),
    ]


def sandwich_lines(found: dict[str, Any]) -> list[str]:
    """log p from both sides, and what the width between says."""
    return [
        f"Both sides of log p(x), {_setting(found)}, {images(found['images'])} that the model made, nats:",
        row("at least", with_error(found, "lower"), "annealed from q or p to the posterior, as --ais does"),
        row("at most", with_error(found, "upper"), "annealed back from an exact draw of the posterior"),
        row(
            "width", with_error(found, "width"), "as much --ais errs at most, in expectation, on such images"
        ),
        *_moves(found),
    ]


AIS, SANDWICH = Analysis(ais, ais_lines), Analysis(sandwich, sandwich_lines)
