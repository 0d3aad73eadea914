"""How much better could q(z|x) be, for one image? Its own parameters are optimised, and the gap is split.

Of one image; ``jax.vmap`` or ``jax.lax.map`` is the caller's. Everything is in nats.

With L[q] the ELBO, q the encoder's and q* the best of its family for this image (Cremer et al. 2018, arXiv
1801.03558), ``log p(x) - L[q]`` is the sum of

- the **approximation gap** ``log p(x) - L[q*]``, which only a richer family can close, and
- the **amortisation gap** ``L[q*] - L[q]``, which a better encoder can close.

The second is also the **likelihood regret** of the image (Xiao et al. 2020, arXiv 2003.02977): images unlike
those of training are encoded worse, so it is a score by which to find them. The variant here optimises the
numbers that the encoder gives of the image, from where they are, and compares ELBOs. The authors' program
optimises a copy of the encoder's weights for the image, and compares importance-weighted bounds.
"""

import math
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, Key

from jaxvae.analysis.one_image.weights import effective_and_error
from jaxvae.errors import UserError
from jaxvae.models.noise import fold_in
from jaxvae.models.objectives.importance_weighted import log_mean_exp
from jaxvae.models.vae import AbstractVAE


class Refinement(NamedTuple):
    """How a posterior is optimised, by Adam on the ELBO of its image, and scored."""

    steps: int = 500
    learning_rate: float = 1e-2
    """At first; it falls to 0 as a cosine does, which averages the noise of the draws away."""
    draws: int = 8
    """Of every step."""
    start: Literal["encoder", "standard"] = "encoder"
    """Where it begins: at q(z|x), or with all its numbers 0, which makes every posterior of this package
    N(0, I). A flow's steps are then those of the context 0."""
    samples: int = 1024
    """Fresh draws that both posteriors are scored with."""
    at_once: int = 64
    """So many of them are computed at once."""


class GapSplit(NamedTuple):
    """What the two posteriors of an image, or of several, are worth. Both are scored with the same noise, of
    which the optimisation saw nothing."""

    elbo: Float[Array, "*image"]
    """L[q]."""
    refined_elbo: Float[Array, "*image"]
    """L[q*]."""
    amortisation_gap: Float[Array, "*image"]
    """``L[q*] - L[q]``; below 0 if the optimisation, or the noise, made it worse."""
    amortisation_error: Float[Array, "*image"]
    """Its standard error, of differences under the same noise."""
    log_likelihood: Float[Array, "*image"]
    """log p(x) as the importance-weighted bound of the draws of both says it, too low in expectation: as the
    proposal is the even mixture of q* and q (the balance heuristic, Veach and Guibas 1995), it suffices that
    one of them has a mode, and a bad one costs nothing."""
    log_likelihood_error: Float[Array, "*image"]
    """Its standard error."""
    effective_samples: Float[Array, "*image"]
    """``(sum w)^2 / sum w^2`` of the weights of that bound."""
    importance_weighted: Float[Array, "*image"]
    """The bound of q's draws."""

    @property
    def approximation_gap(self) -> Any:
        """``log p(x) - L[q*]``, of JAX's arrays or of NumPy's."""
        return self.log_likelihood - self.refined_elbo

    @property
    def likelihood_regret(self) -> Any:
        """The amortisation gap, by its other name."""
        return self.amortisation_gap


def refined_posterior(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    settings: Refinement = Refinement(),
) -> Any:
    """What ``model.encode(x)`` gives, with its numbers at the best ELBO that Adam finds for this image.

    All arrays of floating point in it are optimised, but for weights of the model itself, such as a flow's
    networks. Of two layers that is q(h1|x); q(h2|h1) stays the encoder's. Draw k of step t uses
    ``fold_in(fold_in(key, t), k)``. Raises UserError if ``encode`` gives no number.
    """
    model = model.precomputed()
    encoded = model.encode(x)
    free, fixed = _numbers_of_the_image(model, encoded)
    if settings.start == "standard":
        free = jax.tree.map(jnp.zeros_like, free)

    def loss(free: Any, key: Any) -> Float[Array, ""]:
        def elbo(k: Int[Array, ""]) -> Float[Array, ""]:
            draw = model.draw(eqx.combine(free, fixed), key=fold_in(key, k))
            return draw.likelihood.log_prob(x) - jnp.sum(draw.rates)

        return -jnp.mean(jax.vmap(elbo)(_range(settings.draws)))

    adam = optax.adam(optax.cosine_decay_schedule(settings.learning_rate, max(1, settings.steps)))

    def step(carry: tuple, number: Int[Array, ""]) -> tuple:
        free, state = carry
        slopes = jax.grad(loss)(free, fold_in(key, number))
        # Optax mixes types of numbers.
        with jax.numpy_dtype_promotion("standard"):
            updates, state = adam.update(slopes, state)
            return (optax.apply_updates(free, updates), state), None

    (free, _), _ = jax.lax.scan(step, (free, adam.init(free)), _range(settings.steps))
    return eqx.combine(free, fixed)


def _numbers_of_the_image(model: AbstractVAE, encoded: Any) -> tuple[Any, Any]:
    """What is to be optimised of ``encoded``, and the rest."""
    # Weights that are passed on are the very same arrays.
    weights = {id(leaf) for leaf in jax.tree.leaves(model)}
    is_free = jax.tree.map(lambda leaf: eqx.is_inexact_array(leaf) and id(leaf) not in weights, encoded)
    if not any(jax.tree.leaves(is_free)):
        # A q that is the same for every image.
        is_free = jax.tree.map(eqx.is_inexact_array, encoded)
    if not any(jax.tree.leaves(is_free)):
        raise UserError(f"encode of {type(model).__name__} gives no numbers that could be optimised")
    return eqx.partition(encoded, is_free)


def gap_split(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    key_scores: Key[Array, ""],
    settings: Refinement = Refinement(),
) -> GapSplit:
    """The gaps of one image. q* is optimised with ``key``, and scored with ``key_scores`` alone."""
    model = model.precomputed()
    return scored(model, x, model.encode(x), refined_posterior(model, x, key, settings), key_scores, settings)


def scored(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    encoded: Any,
    refined: Any,
    key: Key[Array, ""],
    settings: Refinement = Refinement(),
) -> GapSplit:
    """What q and q* are worth, with draw k of both from ``fold_in(key, k)``."""

    def values(posterior: Any, other: Any, key: Any) -> tuple[Float[Array, ""], ...]:
        """The draw's ELBO, the log of its weight, and of that with the even mixture in q's place."""
        draw = model.draw(posterior, key=key)
        log_likelihood = draw.likelihood.log_prob(x)
        own, others = (model.log_posterior(q, draw.latents) for q in (posterior, other))
        log_weight = draw.log_weight(log_likelihood)
        of_mixture = log_weight - jnp.logaddexp(0.0, others - own) + math.log(2)
        return log_likelihood - jnp.sum(draw.rates), log_weight, of_mixture

    def both(k: Int[Array, ""]) -> tuple[tuple, tuple]:
        # One draw of both posteriors at once, so that they see one noise.
        return values(encoded, refined, fold_in(key, k)), values(refined, encoded, fold_in(key, k))

    count = settings.samples
    draws = jax.lax.map(both, _range(count), batch_size=min(settings.at_once, count))
    (elbos, log_weights, of_mixture), (refined_elbos, _, refined_of_mixture) = draws
    gains = refined_elbos - elbos
    gain, pairs = jnp.mean(gains), max(1, count - 1)
    together = jnp.concatenate([of_mixture, refined_of_mixture])
    effective, error = effective_and_error(together)
    return GapSplit(
        jnp.mean(elbos),
        jnp.mean(refined_elbos),
        gain,
        jnp.sqrt(jnp.mean((gains - gain) ** 2) / pairs),
        log_mean_exp(together),
        error,
        effective,
        log_mean_exp(log_weights),
    )


def _range(count: int) -> Int[Array, " each"]:
    return jnp.arange(count, dtype=jnp.int32)
