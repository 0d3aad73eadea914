"""How does the gradient that goes through a draw get a weight that is known only after all draws?

DReG (Tucker et al. 2019, arXiv 1810.04152) wants the gradient of a bound in the model's weights as it is, and
that which goes through draw k's latents times a factor, which depends on the importance weights of all draws.
Both come from one pass back through the networks: latents are given a tag, a number without use, and the
factor is the gradient that the tag gets.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


@jax.custom_vjp
def tagged(latents: PyTree) -> tuple[PyTree, Float[Array, ""]]:
    """The same latents and their tag. Their gradient is multiplied by what ``with_factors`` gives the tag."""
    # Of all latents, so that under ``jax.vmap`` each draw of each image has a tag of its own.
    return latents, jnp.sum(jnp.stack([jnp.sum(leaf) for leaf in jax.tree.leaves(latents)]))


def _tagged(latents):
    return tagged(latents), None


def _multiplied(_, gradients):
    of_latents, factor = gradients
    return (jax.tree.map(lambda g: factor.astype(g.dtype) * g, of_latents),)


tagged.defvjp(_tagged, _multiplied)


@jax.custom_vjp
def with_factors(
    bound: Float[Array, ""], tags: Float[Array, "*draw"], factors: Float[Array, "*draw"]
) -> Float[Array, ""]:
    """The same bound, whose gradient, where it goes through the latents with these tags, is multiplied by
    these factors, whatever the bound itself is multiplied by. The factors are constants."""
    return bound


def _with_factors(bound, tags, factors):
    return bound, factors.astype(tags.dtype)


def _handed_on(factors, gradient):
    return gradient, factors, jnp.zeros_like(factors)


with_factors.defvjp(_with_factors, _handed_on)
