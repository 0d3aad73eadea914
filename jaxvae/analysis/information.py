"""How much do latents say about images? The mutual information of x and z, and how far the aggregate
posterior is from the prior."""

import math
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.analysis.context import Analysis, Context, mean_and_error
from jaxvae.models.vae import AbstractVAE
from jaxvae.runs.progress import row, with_error

BLOCK = 512
"""At most so many draws, and so many posteriors, are compared at once."""
CLOSE = 1.0
"""An estimate within so many nats of log N is more of N than of the model."""
LONG = 20.0
"""Seconds from which on the time that is left is told."""


def analyse(context: Context) -> dict[str, Any]:
    """With q(z) the mixture of the posteriors of all N images that are evaluated, and one draw of each:

    - ``mutual_information`` = E[log q(z|x) - log q(z)] = E KL[q(z|x) || p(z)] - KL[q(z) || p(z)]
      (Hoffman and Johnson 2016), at most ``log_images`` = log N, as a draw's own posterior is among them;
    - ``marginal_kl`` = KL[q(z) || p(z)] = E[log q(z) - log p(z)];
    - ``rate`` = E[log q(z|x) - log p(z)], of the same draws, the sum of both.

    In nats, each with its standard error over images and draws (``..._stderr``). ``is_close``: the mutual
    information is within 1 nat of log N, so that of more images it would be larger.
    """
    draws = context.over_images(_drawn, context.draw_key)
    log_posterior, log_prior = (draws[name].astype(np.float64) for name in ("log_posterior", "log_prior"))
    log_mixture = _log_mixture(context, draws["latents"])
    count = len(log_mixture)
    found: dict[str, Any] = {"images": count, "log_images": math.log(count)}
    for name, values in (
        ("mutual_information", log_posterior - log_mixture),
        ("marginal_kl", draws["log_above"] + log_mixture - log_prior),
        ("rate", draws["log_above"] + log_posterior - log_prior),
    ):
        found[name], found[f"{name}_stderr"] = mean_and_error(values)
    found["is_close"] = bool(found["mutual_information"] > math.log(count) - CLOSE)
    return found


def _drawn(model: AbstractVAE, x, key) -> dict[str, Any]:
    encoded = model.encode(x)
    draw = model.draw(encoded, key=jax.random.fold_in(key, 0))
    own = model.log_posterior(encoded, draw.latents)
    # What does not depend on the image, such as the density of h2 given h1, is in both q(z|x) and q(z).
    above = draw.log_posterior - own
    return {
        "latents": draw.latents,
        "log_posterior": own,
        "log_above": above,
        "log_prior": draw.log_prior,
    }


def _log_mixture(context: Context, latents: Any) -> Float[np.ndarray, " example"]:
    """log q(z) of every draw, in float64: logsumexp of log q(z|x_j) over all images j, less log N."""
    count, started, told = len(jax.tree.leaves(latents)[0]), time.perf_counter(), False
    size = min(BLOCK, context.config.eval.batch_size, count)
    blocks = [np.arange(start, min(start + size, count)) for start in range(0, count, size)]
    total = np.full(count, -np.inf)
    for number, images in enumerate(blocks):
        x = context.test_inputs(_filled(images, size))
        present = jnp.asarray(np.arange(size) < len(images))
        for draws in blocks:
            rows = _filled(draws, size)
            z = jax.tree.map(lambda leaf, rows=rows: leaf[rows], latents)
            with jax.default_matmul_precision("highest"):
                some = np.asarray(_log_sums(context.first_model, x, present, z), np.float64)
            total[draws] = np.logaddexp(total[draws], some[: len(draws)])
        spent = time.perf_counter() - started
        left = spent / (number + 1) * (len(blocks) - number - 1)
        if not told and left > LONG:
            told = True
            context.say(
                f"Mutual information: {count} draws under {count} posteriors, about {left:.0f} s; fewer with "
                "--images."
            )
    return total - math.log(count)


def _filled(indices: np.ndarray, size: int) -> np.ndarray:
    """With its first entry again up to the size of a block, so that one program serves all."""
    return np.concatenate([indices, np.full(size - len(indices), indices[0])]).astype(np.int32)


@jax.jit
def _log_sums(model: AbstractVAE, x, present, latents) -> Float[Array, " draw"]:
    """For each draw ``logsumexp_j log q(z|x_j)`` over the images that are present. What a posterior needs is
    computed once an image; memory is that of one draw under all of them, and of the result."""

    def under(image):
        encoded = model.encode(image)
        return jax.lax.map(lambda z: model.log_posterior(encoded, z), latents)

    each = jax.vmap(under)(x)
    return jax.nn.logsumexp(jnp.where(present[:, None], each, -jnp.inf), axis=0)


def lines(found: dict[str, Any]) -> list[str]:
    """The numbers, and whether log N limits them."""
    information, kl, rate = (
        with_error(found, name) for name in ("mutual_information", "marginal_kl", "rate")
    )
    said = [
        f"Mutual information, by one draw of each of {found['images']} images, nats:",
        row("I(x; z)", information, f"at most log {found['images']} = {found['log_images']:.3f}"),
        row("marginal KL", kl, "KL[q(z) || p(z)], q(z) the mean of the images' posteriors"),
        row("rate", rate, "of these draws: the sum of both"),
    ]
    if found["is_close"]:
        said += [
            f"  I(x; z) is within {CLOSE:g} nat of the most that {found['images']} images can show:",
            "  it is a lower bound only, and the marginal KL an upper one.",
        ]
    return said


ANALYSIS = Analysis(analyse, lines)
