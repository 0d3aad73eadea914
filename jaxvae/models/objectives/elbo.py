"""How is the evidence lower bound maximised?"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxvae.models.objectives.abstract import AbstractObjective, Terms
from jaxvae.models.vae import AbstractVAE


def elbo_terms(model: AbstractVAE, x: Float[Array, "height width channel"], key: Key[Array, ""]) -> Terms:
    """Rates and distortion of one image, from one draw (Kingma and Welling 2013).

    An unbiased estimate of the ELBO and, through the reparameterisation, of its gradient.
    """
    with jax.named_scope("encoder"):
        encoded = model.encode(x)
    draw = model.draw(encoded, key=key)
    with jax.named_scope("distortion"):
        distortion = -draw.likelihood.log_prob(x)
    return Terms(draw.rates, distortion)


class ELBOObjective(AbstractObjective):
    """``mean(distortion) + w_t mean(rate)``, ``w_t = beta min(1, (t + 1) / beta_warmup_steps)``: minus the
    ELBO where the weight is 1 (beta: Higgins et al. 2017; warm-up: Bowman et al. 2015, arXiv 1511.06349)."""

    beta: float = eqx.field(static=True, default=1.0)
    beta_warmup_steps: int = eqx.field(static=True, default=0)

    def example(
        self, model: AbstractVAE, x: Float[Array, "height width channel"], *, key: Key[Array, ""]
    ) -> Terms:
        return elbo_terms(model, x, key)

    def weight(self, step: Int[Array, ""]) -> Float[Array, ""]:
        """w_t, the weight of the rate."""
        return self.beta * jnp.minimum(1.0, (step + 1) / max(1, self.beta_warmup_steps))

    def batch(self, terms: Terms, step: Int[Array, ""], axis_name: str) -> Float[Array, ""]:
        return jnp.mean(terms.distortion) + self.weight(step) * jnp.mean(terms.rate)
