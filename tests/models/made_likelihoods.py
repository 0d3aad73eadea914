"""Likelihoods as models have them, and what they could be given."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxvae.config.kinds.likelihoods import Likelihood

KINDS: dict[str, Any] = {
    name: kind for name, kind in Likelihood.kinds().items() if kind.__module__.startswith("jaxvae")
}


def built(kind, shape=(5, 3, 3), **fields) -> Any:
    """A likelihood of a kind as a model has it."""
    chosen = KINDS[kind](**fields)
    return chosen.implementation().build(shape, **chosen.arguments())


def some_outputs(likelihood, shape, seed=0, spread=1.0):
    """Outputs of a decoder that has learned something."""
    rng = np.random.default_rng(seed)
    start = np.asarray(likelihood.initial_outputs(jnp.asarray(rng.uniform(0, 1, shape), jnp.float32)))
    return jnp.asarray(start + spread * rng.normal(size=start.shape), jnp.float32)


def some_pixels(likelihood, shape, seed=1):
    """Pixels that it takes."""
    rng = np.random.default_rng(seed)
    found = {"binary": rng.integers(0, 2, shape), "levels": rng.integers(0, 256, shape) / 255}
    return jnp.asarray(found.get(likelihood.support, rng.uniform(0, 1, shape)), jnp.float32)
