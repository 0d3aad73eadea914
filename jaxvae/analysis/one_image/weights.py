"""What do several weights of one image say? How many of them count, and how far to trust their mean."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def effective_and_error(log_weights: Float[Array, " draw"]) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """``(sum w)^2 / sum w^2``, from 1 to their number K, and the standard error of the log of their mean,
    ``sqrt((K / effective - 1) / (K - 1))``; that of a single weight is NaN."""
    count = len(log_weights)
    weights = jnp.exp(log_weights - jnp.max(log_weights))
    effective = jnp.sum(weights) ** 2 / jnp.sum(weights**2)
    if count == 1:
        return effective, jnp.full_like(effective, jnp.nan)
    # Rounding may make more of them effective than there are.
    return effective, jnp.sqrt(jnp.maximum(count / effective - 1, 0) / (count - 1))
