"""What is there to know of latents that were drawn, and of their posterior?"""

from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxvae.models.distributions import AbstractDistribution


class Posterior(eqx.Module):
    """What there is to know of q(z|x) beside a draw, for reports."""

    mean: Float[Array, " latent"]
    """Of all levels, one after the other. Where it is not known, as of a flow, or differs between draws: a
    value whose expectation over draws it is."""
    log_scale: Float[Array, " latent"] | None
    """Of each latent by itself; None where it is not known."""

    def beside(self, above: "Posterior") -> "Posterior":
        """Of the latents of two levels, one after the other."""
        mean = jnp.concatenate([self.mean, above.mean])
        if self.log_scale is None or above.log_scale is None:
            return Posterior(mean, None)
        return Posterior(mean, jnp.concatenate([self.log_scale, above.log_scale]))


class Draw(eqx.Module):
    """One draw of every latent from q(z|x), and what it says about the image."""

    latents: Any
    log_prior: Float[Array, ""]
    """log p(z), in nats."""
    log_posterior: Float[Array, ""]
    """log q(z|x), in nats."""
    rates: Float[Array, " level"]
    """KL[q || p] of each level, in nats: in closed form where there is one, else of this draw."""
    likelihood: AbstractDistribution
    """p(x|z)."""
    posterior: Posterior | None
    """None if the model does not say."""
    latent_rates: Float[Array, " latent"] | None = None
    """KL[q || p] of each latent, in nats, level after level; None where it has no closed form."""

    def log_weight(self, log_likelihood: Float[Array, ""]) -> Float[Array, ""]:
        """``log p(x|z) + log p(z) - log q(z|x)``, all that an importance-weighted bound needs."""
        return log_likelihood + self.log_prior - self.log_posterior


class LatentRates(eqx.Module):
    """The rate of each latent, in nats."""

    each: Float[Array, " latent"] | None
    """None if it is not known."""
    kind: Literal["closed", "marginal", "draw"] = eqx.field(static=True, default="closed")
    """``closed``: KL[q || p]. ``marginal``: KL[q(z_i|x) || p(z_i)] of a latent by itself; of latents that
    depend on each other the sum is below the rate. ``draw``: of a draw, so that its mean is the KL."""
