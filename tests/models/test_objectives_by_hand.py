"""The whole loss and gradient of each objective against formulas in float64 NumPy, differentiated by central
differences."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from jaxvae.config import Gaussian
from jaxvae.models.noise import normal
from jaxvae.models.objectives import (
    CIWAEObjective,
    ELBOObjective,
    IWAEObjective,
    MIWAEObjective,
    PIWAEObjective,
)
from jaxvae.training.step import batch_loss

SHAPE, LATENT, BATCH, STEP = (3, 4, 1), 3, 6, 4
X = np.random.default_rng(1).integers(0, 2, (BATCH, *SHAPE)).astype(np.float32)


def densities(sampler, density, generative, noise):
    """log p(x|z), log p(z) and log q(z|x) of every image and draw: z from one model's encoder, log q by that
    of another, p(x|z) by the third's decoder."""

    def mlp(network, h):
        for i, layer in enumerate(network.layers):
            h = (h if i == 0 else np.tanh(h)) @ (layer.weight if layer.inputs_first else layer.weight.T)
            h = h + layer.bias
        return h

    def posterior(model):
        mean, raw = np.split(mlp(model.encoder.mlp, x)[:, None], 2, axis=2)
        return mean, np.exp(8 * np.tanh(raw / 8))

    x = X.astype(float).reshape(BATCH, -1)
    mean, scale = posterior(sampler)
    z = mean + scale * noise
    output = mlp(generative.decoder.mlp, z)
    if hasattr(generative.likelihood, "raw_log_sigma"):
        sigma = np.exp(8 * np.tanh(generative.likelihood.raw_log_sigma / 8))
        likelihood = norm.logpdf(x[:, None], output, sigma).sum(2)
    else:
        likelihood = -np.logaddexp(0, (1 - 2 * x[:, None]) * output).sum(2)
    return likelihood, norm.logpdf(z).sum(2), norm.logpdf(z, *posterior(density)).sum(2)


def log_weights(sampler, density, generative, noise):
    likelihood, prior, posterior = densities(sampler, density, generative, noise)
    return likelihood + prior - posterior


def latent_rates(model, noise):
    """KL[q(z|x) || N(0, I)] of each image and latent: integrated, by a fine grid, over each latent."""
    x = X.astype(float).reshape(BATCH, -1)
    h = x
    for i, layer in enumerate(model.encoder.mlp.layers):
        h = (h if i == 0 else np.tanh(h)) @ (layer.weight if layer.inputs_first else layer.weight.T)
        h = h + layer.bias
    mean, raw = np.split(h, 2, axis=1)
    scale = np.exp(8 * np.tanh(raw / 8))
    unit = np.linspace(-9, 9, 4001)
    z = mean[..., None] + scale[..., None] * unit
    mass = norm.pdf(unit) * (unit[1] - unit[0])
    return (mass * (norm.logpdf(unit) - np.log(scale)[..., None] - norm.logpdf(z))).sum(2)


def iw(log_w, alpha=0.0):
    return (logsumexp((1 - alpha) * log_w, axis=-1) - np.log(log_w.shape[-1])) / (1 - alpha)


def elbo(q, d, p, noise, weight=1.0, free=None, level=False):
    rates = latent_rates(q, noise)
    distortion = -densities(q, d, p, noise)[0].mean()
    if free is None:
        return distortion + weight * rates.sum(1).mean()
    means = rates.sum(1).mean(0, keepdims=True) if level else rates.mean(0)
    return distortion + weight * np.maximum(free, means).sum()


def sticking(q, d, p, noise, weight=1.0):
    likelihood, prior, posterior = densities(q, d, p, noise)
    return (-likelihood + weight * (posterior - prior)).mean()


def miwae(q, d, p, noise, groups=1, alpha=0.0):
    return -iw(log_weights(q, d, p, noise).reshape(BATCH, groups, -1), alpha).mean()


def doubly(q, d, p, noise, groups=1, alpha=0.0):
    """Through the draws: constant factors times log w. ``d`` are the weights that everything else is at."""
    at = log_weights(d, d, d, noise).reshape(BATCH, groups, -1)
    share = np.exp((1 - alpha) * at - logsumexp((1 - alpha) * at, axis=-1, keepdims=True))
    factor = share * (alpha + (1 - alpha) * share) / groups
    return -(factor * log_weights(q, d, p, noise).reshape(at.shape)).sum((1, 2)).mean()


def ciwae(q, d, p, noise, beta=0.3):
    both = latent_rates(q, noise).sum(1) - densities(q, d, p, noise)[0].mean(1)
    return (beta * both - (1 - beta) * iw(log_weights(q, d, p, noise))).mean()


# An objective; its draws; its loss; what the gradient in the encoder's weights is one of, if that is another;
# and whether log q keeps its weights while the encoder's move.
Case = tuple
CASES: dict[str, Case] = {
    "elbo": (ELBOObjective(), 0, elbo, None, False),
    "beta warms up": (ELBOObjective(2.0, 10), 0, functools.partial(elbo, weight=1.0), None, False),
    "beta in cycles": (
        ELBOObjective(2.0, 9, "cyclical", 3, 0.8),
        0,
        functools.partial(elbo, weight=2.0 * 2 / 2.4),
        None,
        False,
    ),
    "free bits": (
        ELBOObjective(1.5, free_bits=0.14),
        0,
        functools.partial(elbo, weight=1.5, free=0.14),
        None,
        False,
    ),
    "free bits of a level": (
        ELBOObjective(free_bits=0.2, free_bits_per="level"),
        0,
        functools.partial(elbo, free=0.2, level=True),
        None,
        False,
    ),
    "free bits of a level, more than it has": (
        ELBOObjective(free_bits=9.0, free_bits_per="level"),
        0,
        functools.partial(elbo, free=9.0, level=True),
        None,
        False,
    ),
    "stl": (ELBOObjective(1.5, gradient="stl"), 0, functools.partial(sticking, weight=1.5), None, True),
    "iwae, one draw": (IWAEObjective(1), 1, miwae, None, False),
    "iwae": (IWAEObjective(4), 4, miwae, None, False),
    "iwae, three at once": (IWAEObjective(4, at_once=3), 4, miwae, None, False),
    "vr-iwae": (IWAEObjective(4, alpha=0.4), 4, functools.partial(miwae, alpha=0.4), None, False),
    "dreg": (IWAEObjective(4, "dreg"), 4, miwae, doubly, True),
    "dreg, three at once": (IWAEObjective(4, "dreg", at_once=3), 4, miwae, doubly, True),
    "dreg of vr-iwae": (
        IWAEObjective(4, "dreg", 0.4),
        4,
        functools.partial(miwae, alpha=0.4),
        functools.partial(doubly, alpha=0.4),
        True,
    ),
    "stl of one draw": (IWAEObjective(1, "stl"), 1, miwae, None, True),
    "miwae": (MIWAEObjective(2, 3), 6, functools.partial(miwae, groups=2), None, False),
    "miwae, dreg": (
        MIWAEObjective(2, 3, "dreg"),
        6,
        functools.partial(miwae, groups=2),
        functools.partial(doubly, groups=2),
        True,
    ),
    "piwae": (PIWAEObjective(2, 3), 6, miwae, functools.partial(miwae, groups=2), False),
    "ciwae": (CIWAEObjective(4, 0.3), 4, ciwae, None, False),
}


@pytest.mark.parametrize(
    "likelihood", [None, pytest.param(Gaussian(sigma=0.6, learn_sigma=True), marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    # Every second one; all of them are slow.
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (number % 2)) for number, name in enumerate(CASES)],
)
def test_loss_and_gradient_are_those_written_out(make_vae, name, likelihood):
    objective, count, value, of_encoder, keeps = CASES[name]
    kinds = {} if likelihood is None else {"likelihood": likelihood}
    model = make_vae(shape=SHAPE, latent_dim=LATENT, hidden=(5,), activation="tanh", **kinds)
    # Weights large enough for importance weights that differ.
    model = jax.tree.map(lambda w: 2.0 * w if w.ndim == 2 else w, model)
    keys = jax.random.split(jax.random.key(2), BATCH)

    def noise_of(key):
        if count == 0:
            return normal(key, (LATENT,))[None]
        return jnp.stack([normal(jax.random.fold_in(key, k), (LATENT,)) for k in range(count)])

    noise = np.asarray(jax.vmap(noise_of)(jax.random.clone(keys)), float)

    def loss(model, x, keys):
        return batch_loss(model, x, keys, objective, jnp.int32(STEP), "float32", "device")

    one_device = jax.vmap(jax.value_and_grad(loss, has_aux=True), (None, 0, 0), axis_name="device")
    (ours, terms), slopes = jax.tree.map(
        lambda leaf: np.asarray(leaf[0], float), jax.jit(one_device)(model, jnp.asarray(X)[None], keys[None])
    )
    base = jax.tree.map(lambda leaf: np.asarray(leaf, float), model)
    np.testing.assert_allclose(ours, value(base, base, base, noise), rtol=2e-6)
    likelihoods, priors, posteriors = densities(base, base, base, noise)
    np.testing.assert_allclose(terms.distortion, -likelihoods.mean(), rtol=2e-6)
    rate = (posteriors - priors).mean() if name == "stl" else latent_rates(base, noise).sum(1).mean()
    np.testing.assert_allclose(terms.rate, rate, rtol=1e-5)

    def moved(side, number, change):
        leaves, tree = jax.tree.flatten(getattr(base, side))
        leaves[number] = leaves[number] + change
        other = jax.tree.unflatten(tree, leaves)
        return type(base)(**{**_fields(base), side: other})

    rng = np.random.default_rng(3)
    for side in ("encoder", "decoder", "likelihood"):
        for number, slope in enumerate(jax.tree.leaves(getattr(slopes, side))):
            direction = rng.normal(size=slope.shape)
            for way in (direction / np.linalg.norm(direction), slope / max(np.linalg.norm(slope), 1e-12)):
                ends = []
                for h in (1e-5, -1e-5):
                    other = moved(side, number, h * way)
                    if side == "encoder":
                        density = base if keeps else other
                        ends.append((of_encoder or value)(other, density, base, noise))
                    else:
                        ends.append(value(base, base, other, noise))
                expected = (ends[0] - ends[1]) / 2e-5
                scale = float(np.linalg.norm(slope))
                np.testing.assert_allclose((slope * way).sum(), expected, rtol=1e-4, atol=1e-4 * scale + 1e-8)


def _fields(model):
    names = ("encoder", "decoder", "likelihood", "latent_dim", "image_shape", "prior")
    return {name: getattr(model, name) for name in names}
