"""How are bounds of several draws maximised?

With ``w_k = p(x, z_k) / q(z_k|x)``, z_k ~ q(z|x), and draw k's key ``fold_in(key, k)``. The encoder runs once
an image. Terms are means over the draws; the loss is minus the mean bound.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.errors import UserError
from jaxvae.models import noise
from jaxvae.models.objectives.abstract import AbstractObjective, Terms
from jaxvae.models.objectives.path_gradients import tagged, with_factors
from jaxvae.models.vae import AbstractVAE, GradientRoutes, constant


class Draws(NamedTuple):
    """What K draws from q(z|x) say about one image."""

    log_joints: Float[Array, " draw"]
    """log p(x, z_k), in nats."""
    log_posteriors: Float[Array, " draw"]
    """log q(z_k|x)."""
    terms: Terms
    """Means over the draws."""
    tags: Float[Array, " draw"] | None = None
    """Of the latents (``path_gradients``), if these were asked for."""

    @property
    def log_weights(self) -> Float[Array, " draw"]:
        """log w_k."""
        return self.log_joints - self.log_posteriors


def several_draws(
    model: AbstractVAE,
    encoded: Any,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    count: int,
    at_once: int | None = None,
    routes: GradientRoutes | None = None,
    tag: bool = False,
) -> Draws:
    """``count`` draws, given ``model.encode(x)``; at most ``at_once`` are computed at once, and each of them
    again for its gradient. Gradients take the ``routes``, if there are any; with ``tag``, they are for
    ``with_factors``, and log q has constant parameters."""

    def one(k: Int[Array, ""]) -> Draws:
        tags: list[Float[Array, ""]] = []
        its_key = noise.fold_in(key, k)
        if tag:
            draw = model.routed_draw(encoded, key=its_key, routes=GradientRoutes(_into(tags), constant))
            if not tags:
                raise UserError(
                    f"this objective cannot work: routed_draw of {type(model).__name__} leaves out "
                    "routes.latents, which every density's latents must go through"
                )
        elif routes is not None:
            draw = model.routed_draw(encoded, key=its_key, routes=routes)
        else:
            draw = model.draw(encoded, key=its_key)
        with jax.named_scope("distortion"):
            log_likelihood = draw.likelihood.log_prob(x)
        its_tag = jnp.sum(jnp.stack(tags)) if tags else None
        terms = Terms(draw.rates, -log_likelihood)
        return Draws(log_likelihood + draw.log_prior, draw.log_posterior, terms, its_tag)

    each = jnp.arange(count, dtype=jnp.int32)
    if at_once is None or at_once >= count:
        drawn = jax.vmap(one)(each)
    else:
        drawn = jax.lax.map(jax.checkpoint(one), each, batch_size=at_once)
    return drawn._replace(terms=jax.tree.map(lambda term: jnp.mean(term, 0), drawn.terms))


def _into(tags: list[Float[Array, ""]]) -> Callable[[Any], Any]:
    """Gives latents tags, which it adds to the list."""

    def give(latents: Any) -> Any:
        latents, its_tag = tagged(latents)
        tags.append(its_tag)
        return latents

    return give


class AbstractBoundObjective(AbstractObjective):
    """An objective whose ``example`` gives ``Terms.bound``, what is maximised of an image."""

    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        assert terms.bound is not None
        return -jnp.mean(terms.bound)


class IWAEObjective(AbstractBoundObjective):
    """``log 1/K sum_k w_k``, the importance-weighted bound (Burda et al. 2015, arXiv 1509.00519).

    With alpha in (0, 1) it is ``1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)``, which lies between that and
    the ELBO, where it tends to as alpha tends to 1 (VR-IWAE, Daudel et al. 2022, arXiv 2210.06226).

    Gradients: ``standard`` is the bound's own. ``dreg`` (Tucker et al. 2019, arXiv 1810.04152; with alpha as
    by Daudel et al.) has the same expectation and less variance: log q has constant parameters, and with
    ``v = softmax((1 - alpha) log w)`` the gradient through draw k's latents has the weight
    ``v_k (alpha + (1 - alpha) v_k)`` instead of v_k. With one draw that is STL (``stl``, Roeder et al. 2017),
    which is biased with more: ValueError.
    """

    samples: int = eqx.field(static=True, default=5)
    gradient: Literal["standard", "dreg", "stl"] = eqx.field(static=True, default="standard")
    alpha: float = eqx.field(static=True, default=0.0)
    at_once: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.gradient == "stl" and self.samples > 1:
            raise ValueError(f"stl is biased with {self.samples} samples: choose dreg")

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        return grouped_terms(model, x, key, 1, self.samples, self.at_once, self.gradient, self.alpha)


class MIWAEObjective(AbstractBoundObjective):
    """``1/M sum_m log 1/K sum_k w_mk``, the mean of M importance-weighted bounds of K draws each (Rainforth
    et al. 2018, arXiv 1802.04537). Gradients as ``IWAEObjective``'s."""

    groups: int = eqx.field(static=True, default=8)
    samples: int = eqx.field(static=True, default=8)
    gradient: Literal["standard", "dreg"] = eqx.field(static=True, default="standard")
    at_once: int | None = eqx.field(static=True, default=None)

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        return grouped_terms(model, x, key, self.groups, self.samples, self.at_once, self.gradient)


class PIWAEObjective(AbstractBoundObjective):
    """The weights of p(x, z) maximise IWAE of M K draws, those of q(z|x) MIWAE of M groups of K, with the
    same draws (Rainforth et al. 2018, arXiv 1802.04537). What is reported as the loss is minus the former."""

    groups: int = eqx.field(static=True, default=8)
    samples: int = eqx.field(static=True, default=8)
    at_once: int | None = eqx.field(static=True, default=None)

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        with jax.named_scope("encoder"):
            encoded = model.encode(x)
        count = self.groups * self.samples
        # The same draws twice, on purpose: compilers leave one pass forward of the two.
        of_q = several_draws(model, encoded, x, key, count, self.at_once, GradientRoutes(generative=constant))
        routes = GradientRoutes(latents=constant, posterior=constant)
        of_p = several_draws(model, encoded, x, key, count, self.at_once, routes)
        whole = log_mean_exp(of_p.log_joints - constant(of_q.log_posteriors))
        grouped = jnp.mean(log_mean_exp(of_q.log_weights.reshape(self.groups, self.samples)))
        return of_q.terms._replace(bound=whole + (grouped - constant(grouped)))


class CIWAEObjective(AbstractBoundObjective):
    """``beta ELBO + (1 - beta) log 1/K sum_k w_k``, both of the same draws (Rainforth et al. 2018, arXiv
    1802.04537). The ELBO has the rate in closed form where there is one."""

    samples: int = eqx.field(static=True, default=5)
    beta: float = eqx.field(static=True, default=0.5)
    at_once: int | None = eqx.field(static=True, default=None)

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        with jax.named_scope("encoder"):
            encoded = model.encode(x)
        drawn = several_draws(model, encoded, x, key, self.samples, self.at_once)
        bound = self.beta * drawn.terms.elbo + (1 - self.beta) * log_mean_exp(drawn.log_weights)
        return drawn.terms._replace(bound=bound)


def log_mean_exp(log_weights: Float[Array, "*group draw"], alpha: float = 0.0) -> Float[Array, "*group"]:
    """``1/(1 - alpha) log 1/K sum_k w_k^(1 - alpha)``, over the last axis; alpha below 1."""
    largest = constant(jnp.max(log_weights, -1, keepdims=True))
    relative = jnp.exp((1 - alpha) * (log_weights - largest))
    return largest[..., 0] + jnp.log(jnp.mean(relative, -1)) / (1 - alpha)


def grouped_terms(
    model: AbstractVAE,
    x: Float[Array, "height width channel"],
    key: Key[Array, ""],
    groups: int,
    samples: int,
    at_once: int | None,
    gradient: Literal["standard", "dreg", "stl"],
    alpha: float = 0.0,
) -> Terms:
    """The terms of one image whose bound is the mean over ``groups`` of ``log_mean_exp``, with ``samples``
    draws each."""
    with jax.named_scope("encoder"):
        encoded = model.encode(x)
    drawn = several_draws(model, encoded, x, key, groups * samples, at_once, tag=gradient != "standard")
    log_weights = drawn.log_weights.reshape(groups, samples)
    bound = jnp.mean(log_mean_exp(log_weights, alpha))
    if drawn.tags is not None:
        shares = jax.nn.softmax((1 - alpha) * constant(log_weights))
        bound = with_factors(bound, drawn.tags, (alpha + (1 - alpha) * shares).reshape(-1))
    return drawn.terms._replace(bound=bound)
