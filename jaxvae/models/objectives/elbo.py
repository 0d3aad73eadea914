"""How is the evidence lower bound maximised?"""

from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.errors import UserError
from jaxvae.models.objectives.abstract import AbstractObjective, Terms
from jaxvae.models.vae import AbstractVAE, GradientRoutes, constant

BALANCE_FLOOR = 0.01
"""Nats: what a level without a rate counts for, so that it is not free."""


def elbo_terms(model: AbstractVAE, x: Float[Array, "height width channel"], key: Key[Array, ""]) -> Terms:
    """Rates and distortion of one image, from one draw (Kingma and Welling 2013).

    An unbiased estimate of the ELBO and, through the reparameterisation, of its gradient.
    """
    with jax.named_scope("encoder"):
        encoded = model.encode(x)
    draw = model.draw(encoded, key=key)
    with jax.named_scope("distortion"):
        distortion = -draw.likelihood.log_prob(x)
    return Terms(draw.rates, distortion, draw.latent_rates)


def path_terms(model: AbstractVAE, x: Float[Array, "height width channel"], key: Key[Array, ""]) -> Terms:
    """The terms of one draw, the rate being ``log q(z|x) - log p(z)``, in whose gradient the parameters of
    log q are constants (STL, Roeder et al. 2017, arXiv 1703.09194).

    The part that is left out has the expectation 0, and is noise: without it the ELBO's gradient is 0 for
    every draw where q(z|x) is the exact posterior. All levels' rates are one.
    """
    with jax.named_scope("encoder"):
        encoded = model.encode(x)
    draw = model.routed_draw(encoded, key=key, routes=GradientRoutes(posterior=constant))
    with jax.named_scope("distortion"):
        log_likelihood = draw.likelihood.log_prob(x)
    return Terms((draw.log_posterior - draw.log_prior)[None], -log_likelihood)


class ELBOObjective(AbstractObjective):
    """``mean(distortion) + w_t mean(rate)``: minus the ELBO where the weight is 1 (beta: Higgins et al.
    2017).

    The weight rises to beta during the first ``beta_warmup_steps`` = T steps: linearly (Bowman et al. 2015,
    arXiv 1511.06349), ``w_t = beta min(1, (t + 1) / T)``; or in ``beta_cycles`` = M cycles of ``ceil(T / M)``
    steps, in each of which it rises linearly over the share ``beta_rise`` and then stays at beta (Fu et al.
    2019, arXiv 1903.10145).

    With free bits lambda the rate's mean is ``sum_j max(lambda, mean(rate_j))``, j the latents or the levels,
    the means over the batch of all devices (Kingma et al. 2016, arXiv 1606.04934, appendix C.8): below lambda
    nothing presses a latent's rate down. ``gradient`` is that of ``elbo_terms`` or of ``path_terms``.

    ``beta_balance`` shares the warm-up's weight out among the L levels: of level l it is ``w_t c_l``, with
    ``c_l = L r_l / sum_m r_m`` and ``r_l = mean(rate_l) + BALANCE_FLOOR`` over the batch of all devices, so
    that levels that say little yet pay little for it (Vahdat and Kautz 2020, arXiv 2007.03898, appendix A,
    without its factor for a map's size). From step T on all have the weight beta.
    """

    beta: float = eqx.field(static=True, default=1.0)
    beta_warmup_steps: int = eqx.field(static=True, default=0)
    beta_warmup: Literal["linear", "cyclical"] = eqx.field(static=True, default="linear")
    beta_cycles: int = eqx.field(static=True, default=4)
    beta_rise: float = eqx.field(static=True, default=0.5)
    beta_balance: bool = eqx.field(static=True, default=False)
    free_bits: float = eqx.field(static=True, default=0.0)
    free_bits_per: Literal["latent", "level"] = eqx.field(static=True, default="latent")
    gradient: Literal["standard", "stl"] = eqx.field(static=True, default="standard")

    @property
    def is_mean(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Not with free bits or balance, whose means are over the whole batch."""
        return self.free_bits == 0 and not self.beta_balance

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        return (path_terms if self.gradient == "stl" else elbo_terms)(model, x, key)

    def weight(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """w_t, the weight of the rate."""
        if self.beta_warmup == "linear":
            return self.beta * jnp.minimum(1.0, (step + 1) / max(1, self.beta_warmup_steps))
        cycle = -(-self.beta_warmup_steps // self.beta_cycles)
        risen = jnp.minimum(1.0, (step % cycle + 1).astype(jnp.float32) / (self.beta_rise * cycle))
        return self.beta * jnp.where(step < self.beta_warmup_steps, risen, 1.0)

    def shares(self, rates: Float[Array, " level"], step: Int[Array, ""]) -> Float[Array, " level"]:
        """c_l, whose mean is 1; the gradient does not pass through them."""
        found = jax.lax.stop_gradient(rates) + BALANCE_FLOOR
        return jnp.where(step < self.beta_warmup_steps, found / jnp.mean(found), 1.0)

    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        if self.beta_balance:
            own = jnp.mean(terms.rates, 0)
            weighted = jnp.dot(self.shares(jax.lax.pmean(own, axis_name), step), own)
            return jnp.mean(terms.distortion) + self.weight(step) * weighted
        if self.free_bits == 0:
            return jnp.mean(terms.distortion) + self.weight(step) * jnp.mean(terms.rate)
        rates = terms.rates if self.free_bits_per == "level" else terms.latent_rates
        if rates is None:
            raise UserError(
                f"--objective.free_bits {self.free_bits:g} per latent cannot work: this model's KL[q(z|x) || "
                "p(z)] has no closed form for each latent alone; choose --objective.free_bits_per level"
            )
        means = jax.lax.pmean(jnp.mean(rates, 0), axis_name)
        free = jnp.sum(jnp.maximum(self.free_bits, means))
        return self.weight(step) * free + jnp.mean(terms.distortion)
