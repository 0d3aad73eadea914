"""Any latents' densities, and the latents of new images: what annealing asks of a model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Bernoulli, CouplingFlow, DiagonalGaussian, FullGaussian, Model, TwoLayers
from jaxvae.errors import UserError
from jaxvae.models.build import build_vae
from jaxvae.models.posteriors.full_gaussian import FullGaussian as FullGaussianDistribution
from jaxvae.models.vae import VAE, AbstractVAE

SHAPE = (3, 2, 1)
ONE = Model(2, likelihood=Bernoulli(), posterior=FullGaussian(), prior=CouplingFlow(layers=2, hidden=(3,)))
TWO = Model(2, TwoLayers(lower_latents=3, hidden=(4,), upper_hidden=(4,)), posterior=DiagonalGaussian())


def make(config):
    # One program, which is compiled faster than every operation alone.
    return jax.jit(lambda: build_vae(config, jnp.full(SHAPE, 0.3), key=jax.random.key(0)))()


@pytest.mark.parametrize(
    "config", [pytest.param(ONE, id="one level", marks=pytest.mark.slow), pytest.param(TWO, id="two layers")]
)
def test_the_draw_at_its_own_latents_is_itself_and_a_new_image_has_latents_from_the_prior(config):
    model = make(config)
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, SHAPE), jnp.float32)

    @jax.jit
    def both(model):
        encoded = model.encode(x)
        draw = model.draw(encoded, key=jax.random.key(1))
        again = model.at(encoded, draw.latents)
        latents, likelihood = model.prior_draw(key=jax.random.key(2))
        # log p(z) of the prior's latents is the same under any image's posterior.
        others = jax.vmap(lambda x: model.at(model.encode(x), latents))(jnp.stack([x, 1 - x]))
        return draw, again, likelihood.mean, others

    draw, again, mean, others = both(model)
    for ours, theirs in zip(jax.tree.leaves(draw), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(others.likelihood.mean, np.stack([mean, mean]), rtol=1e-5)
    np.testing.assert_allclose(*others.log_prior, rtol=1e-6)
    assert others.log_posterior[0] != others.log_posterior[1]


def test_a_model_that_draws_in_another_way_is_not_taken_for_its_parent():
    class Fixed(VAE):
        def draw(self, encoded, *, key):
            return self._drawn(encoded, jnp.zeros(2), jnp.zeros(()))

    made: Any = jax.eval_shape(lambda: build_vae(Model(2), jnp.zeros(SHAPE), key=jax.random.key(0)))
    make_fixed: Any = Fixed
    own = make_fixed(made.encoder, made.decoder, made.likelihood, 2, SHAPE, made.prior)
    with pytest.raises(UserError, match="Fixed does not say the densities of given latents"):
        own.at(None, jnp.zeros(2))
    with pytest.raises(UserError, match="Fixed does not say which latents an image is made of"):
        AbstractVAE.prior_draw(own, key=jax.random.key(0))


def test_what_lies_above_the_diagonal_of_a_factor_counts_for_nothing():
    below = jnp.asarray([[0.0, 0.0], [0.7, 0.0]])
    clean = FullGaussianDistribution(jnp.zeros(2), jnp.zeros(2), below)
    odd = dataclasses.replace(clean, below=below + jnp.triu(jnp.full((2, 2), 3.0)))
    z = jnp.asarray([0.4, -0.2])

    @jax.jit
    def values(q):
        found = q.log_prob(z), q.kl_to_standard_normal(), q.sample(jax.random.key(0)), q.log_scale
        slope = jax.grad(lambda q: q.kl_to_standard_normal() + q.sample(jax.random.key(1)).sum())(q)
        return found, slope.below

    (ours, slope), (theirs, _) = values(clean), values(odd)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(np.triu(slope), 0)
    assert slope[1, 0] != 0
