"""The bound against float64 NumPy, closed forms and its own definition."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Gaussian
from jaxvae.models.distributions import AbstractDistribution
from jaxvae.models.distributions import Gaussian as GaussianDistribution
from jaxvae.models.noise import normal
from jaxvae.models.objectives import elbo_terms, importance_weighted_bounds
from jaxvae.models.vae import AbstractVAE, Draw

ACTIVATIONS = {"tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def reference_elbo(model, x, noise, activation):
    """The ELBO's two terms in float64, written from the formulas and vectorised by hand."""

    def mlp(network, h):
        for i, layer in enumerate(network.layers):
            h = h if i == 0 else activation(h)
            h = h @ (layer.weight if layer.inputs_first else layer.weight.T) + layer.bias
        return h

    x = x.reshape(len(x), -1)
    mean, raw = np.split(mlp(model.encoder.mlp, x), 2, axis=1)
    log_scale = 8 * np.tanh(raw / 8)
    output = mlp(model.decoder.mlp, mean + np.exp(log_scale) * noise)
    rate = 0.5 * (mean**2 + np.exp(2 * log_scale) - 1 - 2 * log_scale).sum(1)
    if hasattr(model.likelihood, "raw_log_sigma"):
        sigma = np.exp(8 * np.tanh(model.likelihood.raw_log_sigma / 8))
        distortion = (((x - output) / sigma) ** 2 / 2 + np.log(sigma) + np.log(2 * np.pi) / 2).sum(1)
    else:
        distortion = (np.logaddexp(0, output) - x * output).sum(1)
    return rate, distortion


def in_float64(model):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), model)


@pytest.mark.parametrize(
    ("shape", "model", "activation"),
    [
        ((28, 28, 1), {"latent_dim": 20, "hidden": (400,), "activation": "relu"}, "relu"),
        ((28, 28, 1), {"latent_dim": 40, "hidden": (200, 100), "activation": "tanh"}, "tanh"),
        (
            (28, 28, 1),
            {"latent_dim": 10, "hidden": (), "likelihood": Gaussian(learn_sigma=True)},
            "tanh",
        ),
        # Sums of more than 32,768 numbers are where some CPU compilers were caught dropping elements.
        ((128, 128, 3), {"latent_dim": 8, "hidden": (16,), "activation": "tanh"}, "tanh"),
        ((128, 128, 3), {"latent_dim": 8, "hidden": (), "likelihood": Gaussian(sigma=0.5)}, "tanh"),
    ],
)
def test_jitted_elbo_and_gradient_equal_float64_numpy(make_vae, shape, model, activation):
    batch, latent_dim = 64 if shape[0] == 28 else 8, model["latent_dim"]
    vae = make_vae(shape=shape, **model)
    x = np.random.default_rng(1).integers(0, 2, (batch, *shape)).astype(np.float32)
    keys = jax.random.split(jax.random.key(2), batch)
    noise = np.asarray(jax.vmap(lambda key: normal(jax.random.clone(key), (latent_dim,)))(keys), float)

    @jax.jit
    def value_and_gradient(vae, x):
        def loss(vae):
            terms = jax.vmap(elbo_terms, (None, 0, 0))(vae, x, keys)
            return -jnp.mean(terms.elbo), terms

        return jax.value_and_grad(loss, has_aux=True)(vae)

    (loss, terms), grads = value_and_gradient(vae, x)
    exact = in_float64(vae)
    rate, distortion = reference_elbo(exact, x.astype(float), noise, ACTIVATIONS[activation])
    np.testing.assert_allclose(terms.rate, rate, rtol=2e-5)
    np.testing.assert_allclose(terms.distortion, distortion, rtol=2e-5)
    np.testing.assert_allclose(loss, (rate + distortion).mean(), rtol=1e-5)

    # The gradient, leaf by leaf, along a random direction and along itself, by central differences.
    leaves, tree = jax.tree.flatten(exact)
    slopes = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(grads)]
    rng = np.random.default_rng(3)

    def exact_loss(number, change):
        moved = [leaf + change if n == number else leaf for n, leaf in enumerate(leaves)]
        return (
            np.sum(
                reference_elbo(
                    jax.tree.unflatten(tree, moved), x.astype(float), noise, ACTIVATIONS[activation]
                )
            )
            / batch
        )

    for number, slope in enumerate(slopes):
        norm = float(np.linalg.norm(slope))
        if norm == 0:
            continue
        random = rng.normal(size=slope.shape)
        for direction in (slope / norm, random / np.linalg.norm(random)):
            h = 1e-5
            expected = (exact_loss(number, h * direction) - exact_loss(number, -h * direction)) / (2 * h)
            np.testing.assert_allclose((slope * direction).sum(), expected, rtol=1e-3, atol=2e-4 * norm)


def linear_vae(make_vae):
    """A linear VAE with its exact posterior: log p(x) and the optimal encoder are known in closed form."""
    model = make_vae(shape=(4, 4, 1), latent_dim=2, hidden=(), likelihood=Gaussian(sigma=0.7))
    rng = np.random.default_rng(5)
    basis, _ = np.linalg.qr(rng.normal(size=(16, 2)))
    w, mu = basis * [1.5, 0.8], rng.normal(size=16)
    m = w.T @ w + 0.49 * np.eye(2)  # diagonal, since the columns are orthogonal
    to_mean = np.linalg.solve(m, w.T)
    raw = 8 * np.arctanh(0.5 * np.log(0.49 / np.diag(m)) / 8)
    encoder = (np.concatenate([to_mean, np.zeros((2, 16))]), np.concatenate([-to_mean @ mu, raw]))
    # The layers' weights are laid out inputs first.
    values = [encoder[0].T, encoder[1], w.T, mu]
    where = [
        (lambda v: v.encoder.mlp.layers[0].weight),
        (lambda v: v.encoder.mlp.layers[0].bias),
        (lambda v: v.decoder.mlp.layers[0].weight),
        (lambda v: v.decoder.mlp.layers[0].bias),
    ]
    for at, value in zip(where, values, strict=True):
        model = eqx.tree_at(at, model, jnp.asarray(value, jnp.float32))
    x = mu + w @ rng.normal(size=2) + 0.7 * rng.normal(size=16)
    covariance = w @ w.T + 0.49 * np.eye(16)
    d = x - mu
    log_p = -0.5 * (d @ np.linalg.solve(covariance, d) + np.linalg.slogdet(2 * np.pi * covariance)[1])
    return model, jnp.asarray(x.reshape(4, 4, 1), jnp.float32), log_p


def test_with_the_exact_posterior_the_bound_is_log_p(make_vae):
    model, x, log_p = linear_vae(make_vae)
    bounds = jax.jit(importance_weighted_bounds)
    one = bounds(model, x, jax.random.key(0), 1)
    np.testing.assert_allclose(one.importance_weighted, log_p, rtol=1e-5)
    many = bounds(model, x, jax.random.key(0), 100_000)
    np.testing.assert_allclose(many.importance_weighted, log_p, rtol=1e-5)
    np.testing.assert_allclose(many.terms.elbo, log_p, atol=0.02)  # 1e5 draws of spread ~ 1


def test_with_a_wrong_posterior_it_misses_exactly_the_kl_and_more_samples_close_the_gap(make_vae):
    model, x, log_p = linear_vae(make_vae)
    posterior, shift, widen = model.encoder(x), jnp.array([0.3, -0.2]), 0.4
    bias = model.encoder.mlp.layers[0].bias
    wrong = eqx.tree_at(
        lambda v: v.encoder.mlp.layers[0].bias, model, bias.at[:2].add(shift).at[2:].add(widen)
    )
    off = wrong.encoder(x)
    ratio = off.log_scale - posterior.log_scale
    kl = jnp.sum(-ratio + 0.5 * (jnp.exp(2 * ratio) + (shift / jnp.exp(posterior.log_scale)) ** 2 - 1))
    bounds = jax.jit(importance_weighted_bounds)(wrong, x, jax.random.key(1), 200_000)
    np.testing.assert_allclose(log_p - bounds.terms.elbo, kl, atol=0.03)
    np.testing.assert_allclose(bounds.importance_weighted, log_p, atol=0.01)


def test_the_importance_weighted_bound_is_its_definition_for_the_same_draws(make_vae):
    model = make_vae(latent_dim=5, hidden=(30,))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (28, 28, 1)), jnp.float32)
    key, posterior = jax.random.key(4), model.encode(x)
    log_weights = []
    for k in range(7):
        z = posterior.sample(jax.random.fold_in(key, k))
        log_q = float(posterior.log_prob(z))
        log_weights.append(
            float(model.decode(z).log_prob(x)) - 0.5 * float(z @ z) - 2.5 * np.log(2 * np.pi) - log_q
        )
    expected = np.logaddexp.reduce(log_weights) - np.log(7)
    ours = importance_weighted_bounds(model, x, key, 7)
    np.testing.assert_allclose(ours.importance_weighted, expected, rtol=1e-6)
    # A count known only when it runs gives the same, and one compilation serves every count.
    traced = jax.jit(importance_weighted_bounds)(model, x, key, jnp.int32(7))
    np.testing.assert_allclose(traced.importance_weighted, expected, rtol=1e-6)


def test_the_importance_weighted_bound_grows_with_its_samples_from_the_elbo(make_vae):
    model = make_vae(latent_dim=5, hidden=(30,))
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (64, 28, 28, 1)), jnp.float32)
    keys = jax.random.split(jax.random.key(4), 64)
    bounds = jax.jit(jax.vmap(importance_weighted_bounds, (None, 0, 0, None)))
    means = [float(jnp.mean(bounds(model, x, keys, k).importance_weighted)) for k in (1, 4, 16, 64, 256)]
    elbo = float(jnp.mean(bounds(model, x, keys, 256).terms.elbo))
    assert elbo < means[1]
    assert means == sorted(means)
    assert means[-1] - means[0] > 0.1  # the sequence is not flat: the test could fail


def test_nothing_overflows_when_weights_differ_by_thousands_of_nats(make_vae):
    model = make_vae(latent_dim=5, hidden=(30,), likelihood=Gaussian(sigma=0.001))
    x = jnp.ones((28, 28, 1))
    bounds = importance_weighted_bounds(model, x, jax.random.key(0), 16)
    assert np.isfinite(bounds.importance_weighted)
    assert float(bounds.importance_weighted) > float(bounds.terms.elbo) + 100


class Ratio(AbstractVAE):
    """A model of which p(x) is 1 and the posterior is the prior, N(0, I): q(z|x) = N(0, scale^2 I)."""

    scale: float
    latents: int
    image_shape: tuple = (1, 1, 1)

    @property
    def support(self):
        return "real"

    def encode(self, x):
        return GaussianDistribution(jnp.zeros(self.latents), jnp.full(self.latents, jnp.log(self.scale)))

    def draw(self, encoded, *, key):
        z, log_posterior = encoded.sample_and_log_prob(key)
        prior = GaussianDistribution(jnp.zeros(self.latents), jnp.zeros(self.latents))
        # The distribution of an image is not looked at: its density is what this gives for any x.
        rates = jnp.zeros(1)
        return Draw(z, prior.log_prob(z), log_posterior, rates, Certain(jnp.zeros(())), None)

    def generate(self, *, key, temperature=1.0):
        raise NotImplementedError

    def reconstruct(self, x):
        raise NotImplementedError


class Certain(AbstractDistribution):
    zero: jax.Array

    def log_prob(self, x):
        return self.zero


def test_the_bias_and_the_noise_of_the_bound_are_what_its_effective_samples_say():
    scale, latents, samples, images = 1.3, 5, 128, 4000
    keys, model, x = (
        jax.random.split(jax.random.key(0), images),
        Ratio(scale=scale, latents=latents),
        jnp.zeros((1, 1, 1)),
    )
    bounds = jax.jit(jax.vmap(lambda key: importance_weighted_bounds(model, x, key, samples)))(keys)
    # E_q[(p / q)^2] in closed form.
    variation = (scale**2 / math.sqrt(2 * scale**2 - 1)) ** latents - 1
    found = np.asarray(bounds.importance_weighted, float)
    error = found.std() / math.sqrt(images)
    assert abs(-found.mean() - variation / (2 * samples)) < 3 * error + 0.1 * variation / (2 * samples)
    assert found.std() == pytest.approx(math.sqrt(variation / samples), rel=0.1)
    effective = np.asarray(bounds.effective_samples, float)
    assert (samples / effective - 1).mean() == pytest.approx(variation, rel=0.05)
    assert np.all((effective > 1) & (effective <= samples))
