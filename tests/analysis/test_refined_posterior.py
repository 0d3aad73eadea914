"""Posteriors optimised for one image, against the best that there is, in closed form."""

import functools

import jax
import jax.numpy as jnp
import linear_gaussian as linear
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.analysis.one_image.refined_posterior import Refinement, gap_split, refined_posterior
from jaxvae.config import MLP, Bernoulli, InverseAutoregressiveFlow, Model, TwoLayers
from jaxvae.models.build import build_vae
from jaxvae.models.noise import normal

KEY, SCORES = jax.random.key(7), jax.random.key(8)
EXACT = linear.log_p(linear.X)[0]


def split(model, settings=Refinement(), key=KEY, scores=SCORES):
    x = linear.image()
    return jax.jit(lambda key, scores: gap_split(model, x, key, scores, settings))(key, scores)


@functools.cache
def diagonal():
    """The gaps of a diagonal posterior, and q*."""
    model, x = linear.model(), linear.image()

    @jax.jit
    def both():
        return gap_split(model, x, KEY, SCORES), refined_posterior(model, x, KEY)

    return both()


def encoder_kl():
    mean = linear.GAIN @ (linear.X - linear.B) + linear.SHIFT
    return linear.kl(mean, np.diag(linear.VARIANCES))


def test_a_diagonal_posterior_ends_with_the_known_gap():
    found, refined = diagonal()
    # 1/2 (sum log Lambda_ii - log det Lambda).
    assert linear.DIAGONAL_GAP > 0.1
    draws = 1024
    assert abs(found.log_likelihood - EXACT) < 4 * found.log_likelihood_error + 1e-3
    assert abs(found.refined_elbo - (EXACT - linear.DIAGONAL_GAP)) < 0.15
    # Under one noise, the gain is known better than either bound.
    assert abs(found.amortisation_gap - (encoder_kl() - linear.DIAGONAL_GAP)) < 4 * found.amortisation_error
    np.testing.assert_allclose(found.amortisation_gap, found.refined_elbo - found.elbo, atol=1e-5)
    np.testing.assert_allclose(found.approximation_gap, found.log_likelihood - found.refined_elbo, atol=1e-6)
    assert found.likelihood_regret is found.amortisation_gap
    assert 1 < found.effective_samples < draws
    mean, variance = (np.asarray(v, np.float64) for v in (refined.mean, jnp.exp(2 * refined.log_scale)))
    np.testing.assert_allclose(mean, linear.GAIN @ (linear.X - linear.B), atol=0.02)
    np.testing.assert_allclose(variance, linear.BEST_DIAGONAL, rtol=0.06)
    assert linear.kl(mean, np.diag(variance)) < linear.DIAGONAL_GAP + 5e-3


def by_hand(mean, variances, draws):
    """ELBO and log-weight of each draw, in float64, with the noise that is given."""
    z = mean + variances**0.5 * draws
    log_x = stats.norm.logpdf(linear.X, z @ linear.W.T + linear.B, linear.SIGMA).sum(1)
    rate = 0.5 * (mean**2 + variances - 1 - np.log(variances)).sum()
    log_weights = log_x + stats.norm.logpdf(z).sum(1) - stats.norm.logpdf(z, mean, variances**0.5).sum(1)
    return log_x - rate, log_weights


def test_both_posteriors_are_scored_with_one_fresh_noise():
    found, refined = diagonal()
    noise = jax.jit(jax.vmap(lambda k: normal(jax.random.fold_in(SCORES, k), (2,))))
    draws = np.asarray(noise(jnp.arange(1024)), np.float64)
    first = linear.GAIN @ (linear.X - linear.B) + linear.SHIFT
    elbos, log_weights = by_hand(first, linear.VARIANCES, draws)
    mean, variances = (np.asarray(v, np.float64) for v in (refined.mean, jnp.exp(2 * refined.log_scale)))
    refined_elbos, _ = by_hand(mean, variances, draws)
    np.testing.assert_allclose(found.elbo, elbos.mean(), atol=2e-5)
    np.testing.assert_allclose(found.refined_elbo, refined_elbos.mean(), atol=2e-5)
    gains = refined_elbos - elbos
    np.testing.assert_allclose(found.amortisation_error, gains.std(ddof=1) / 1024**0.5, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(
        found.importance_weighted, special.logsumexp(log_weights) - np.log(1024), atol=2e-5
    )
    # The bound whose proposal is the even mixture of both.
    proposals = ((first, linear.VARIANCES), (mean, variances))
    weights = []
    for its_mean, its_variances in proposals:
        z = its_mean + its_variances**0.5 * draws
        log_joint = stats.norm.logpdf(linear.X, z @ linear.W.T + linear.B, linear.SIGMA).sum(1)
        log_joint += stats.norm.logpdf(z).sum(1)
        density = sum(stats.norm.pdf(z, m, v**0.5).prod(1) for m, v in proposals) / 2
        weights.append(np.exp(log_joint) / density)
    weights = np.concatenate(weights)
    np.testing.assert_allclose(found.log_likelihood, np.log(weights.mean()), atol=2e-5)
    error = weights.std(ddof=1) / weights.mean() / 2048**0.5
    np.testing.assert_allclose(found.log_likelihood_error, error, rtol=1e-3)
    np.testing.assert_allclose(found.effective_samples, weights.sum() ** 2 / (weights**2).sum(), rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["encoder", "standard"])
def test_a_posterior_of_full_covariance_has_no_approximation_gap(start):
    found = split(linear.model(full=True), Refinement(start=start, steps=1000))
    assert abs(found.log_likelihood - EXACT) < 1e-2
    assert abs(found.amortisation_gap - encoder_kl()) < 4 * found.amortisation_error
    settings = Refinement(start=start, steps=1000)
    run = jax.jit(lambda key: refined_posterior(linear.model(full=True), linear.image(), key, settings))
    refined = run(KEY)
    factor = np.asarray(refined.factor, np.float64)
    assert linear.kl(np.asarray(refined.mean, np.float64), factor @ factor.T) < 3e-3
    # What lies above the diagonal is no part of it.
    np.testing.assert_array_equal(np.triu(refined.below), 0)
    assert abs(refined.below[1, 0]) > 0.1


def by_prior(model, x):
    """log p(x) as the mean of p(x|z) over many draws of p(z), of few pixels and latents."""

    def log_likelihood(key):
        return model.prior_draw(key=key)[1].log_prob(x)

    values = jax.jit(jax.vmap(log_likelihood))(jax.random.split(jax.random.key(9), 200_000))
    return special.logsumexp(np.asarray(values, np.float64)) - np.log(200_000)


@pytest.mark.slow
@pytest.mark.parametrize("start", ["encoder", "standard"])
def test_of_a_flow_the_numbers_of_the_image_are_optimised_and_not_its_networks(start):
    flow = InverseAutoregressiveFlow(steps=2, hidden=(6,), context=3)
    model = build_vae(
        Model(2, MLP(hidden=(5,)), Bernoulli(), flow), jnp.full((2, 2, 1), 0.4), key=jax.random.key(0)
    )
    leaves, tree = jax.tree.flatten(model)
    model = jax.tree.unflatten(
        tree, [leaf + 0.3 * jax.random.normal(jax.random.key(i), leaf.shape) for i, leaf in enumerate(leaves)]
    )
    images = jnp.asarray(np.random.default_rng(0).integers(0, 2, (3, 2, 2, 1)), jnp.float32)
    settings = Refinement(start=start, steps=800)

    def both(model, x):
        return model.encode(x), refined_posterior(model, x, KEY, settings)

    # Also where many images are done, some at once.
    run = jax.jit(lambda model: jax.lax.map(lambda x: both(model, x), images, batch_size=2))
    encoded, refined = run(model)
    for before, after in zip(*(jax.tree.leaves(q.networks) for q in (encoded, refined)), strict=True):
        np.testing.assert_array_equal(before, after)
    for before, after in (
        (encoded.base.mean, refined.base.mean),
        (encoded.base.log_scale, refined.base.log_scale),
        (encoded.context, refined.context),
    ):
        assert (np.abs(before - after) > 1e-3).all()
    found = jax.jit(jax.vmap(lambda x: gap_split(model, x, KEY, SCORES, settings)))(images)
    assert (found.amortisation_gap > 3 * found.amortisation_error).all()
    exact = np.array([by_prior(model, x) for x in images])
    # An untrained encoder's draws say little of log p(x), but nothing too high.
    assert (found.log_likelihood < exact + 4 * found.log_likelihood_error).all()
    assert (found.refined_elbo < exact + 0.02).all()
    assert (found.approximation_gap > 0).all()


@pytest.mark.slow
def test_of_two_layers_the_lower_posterior_is_optimised():
    network = TwoLayers(lower_latents=3, hidden=(6,), upper_hidden=(5,))
    model = build_vae(Model(2, network, Bernoulli()), jnp.full((3, 3, 1), 0.4), key=jax.random.key(0))
    x = jnp.asarray(np.random.default_rng(1).integers(0, 2, (3, 3, 1)), jnp.float32)
    found = jax.jit(lambda: gap_split(model, x, KEY, SCORES, Refinement(steps=400)))()
    assert found.amortisation_gap > 4 * found.amortisation_error
    exact = by_prior(model, x)
    assert found.refined_elbo < found.log_likelihood < exact + 4 * found.log_likelihood_error
