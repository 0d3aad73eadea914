"""Which latents of a linear model with fixed sigma collapse is known in closed form (Tipping and Bishop 1999;
Lucas et al. 2019): those whose eigenvalue of the data's covariance is at most sigma^2."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxvae
from jaxvae.analysis import latents
from jaxvae.analysis.context import Context
from jaxvae.analysis.options import Options
from jaxvae.config import MLP, Adam, Config, Data, Eval, Gaussian, Model, Train
from jaxvae.data.dataset import Dataset
from jaxvae.data.principal_variances import usable_latents
from jaxvae.models.build import build_vae
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit

SIGMA, LATENTS = 0.1, 5
RANDOM = np.random.default_rng(3)
SPREAD = np.array([0.3, 0.2, 0.16, 0.085, 0.06, 0.03, 0.03, 0.03])
DIRECTIONS = np.linalg.qr(RANDOM.normal(size=(8, 8)))[0]
IMAGES = (
    np.clip(np.round(255 * (0.5 + (RANDOM.normal(size=(4000, 8)) * SPREAD) @ DIRECTIONS.T)), 0, 255)
    .astype(np.uint8)
    .reshape(4000, 4, 2, 1)
)
X = IMAGES.reshape(4000, 8) / 255
VALUES, VECTORS = (each[..., ::-1] for each in np.linalg.eigh(np.cov(X.T, bias=True)))
ACTIVE = int((VALUES > SIGMA**2).sum())
CONFIG = Config(
    data=Data(binarization="none"),
    model=Model(LATENTS, MLP(hidden=()), Gaussian(sigma=SIGMA)),
    optimizer=Adam(learning_rate=1e-2, schedule="cosine"),
    train=Train(steps=20_000, batch_size=256, eval_every=20_000, checkpoint_every=20_000, devices=1),
    eval=Eval(importance_samples=4, batch_size=2000, grid=2),
)


def by_hand():
    """The optimum: decoder U (values - sigma^2)^1/2 and the exact posterior."""
    kept = VALUES[:LATENTS]
    weights = VECTORS[:, :LATENTS] * np.sqrt(np.maximum(kept - SIGMA**2, 0))
    scale = SIGMA / np.sqrt(np.maximum(kept, SIGMA**2))
    to_mean = (weights / np.maximum(kept, SIGMA**2)).T
    matrix = np.concatenate([to_mean, np.zeros((LATENTS, 8))])
    bias = np.concatenate([-to_mean @ X.mean(0), 8 * np.arctanh(np.log(scale) / 8)])
    model = build_vae(CONFIG.model, jnp.full((4, 2, 1), 0.5), key=jax.random.key(0))
    # One layer is laid out inputs first.
    new = (matrix.T, bias, weights.T, X.mean(0))
    old = lambda m: (  # noqa: E731
        m.encoder.mlp.layers[0].weight,
        m.encoder.mlp.layers[0].bias,
        m.decoder.mlp.layers[0].weight,
        m.decoder.mlp.layers[0].bias,
    )
    shaped = tuple(jnp.asarray(n.reshape(o.shape), jnp.float32) for n, o in zip(new, old(model), strict=True))
    return eqx.tree_at(old, model, shaped)


def analysed(model):
    device, dataset = jax.devices()[:1], Dataset(IMAGES, IMAGES)
    evaluator = Evaluator(CONFIG, IMAGES, device)
    scores = evaluator.dispatch(model, 4)
    each, test = evaluator.of_each_image(scores), evaluator.summarise(scores, 4)
    context = Context(CONFIG, Options(), model, dataset, device, evaluator, each, test, None, 4)
    return latents.analyse(context), test


def test_at_the_optimum_latents_at_or_below_the_noise_collapse_and_the_others_have_their_variance():
    assert ACTIVE == 3
    found, test = analysed(by_hand())
    # The mean's share of a latent's variance is 1 - sigma^2 / lambda; the rate is 1/2 log(lambda / sigma^2).
    ratio = np.maximum(VALUES[:LATENTS] / SIGMA**2, 1)
    np.testing.assert_allclose(found["variance"], 1 - 1 / ratio, atol=1e-5)
    np.testing.assert_allclose(found["rate"], 0.5 * np.log(ratio), atol=1e-5)
    np.testing.assert_array_equal(found["active"], [True] * 3 + [False] * 2)
    assert found["collapsed"] == 2 / LATENTS
    assert found["linear"]["usable"] == ACTIVE == test["active_units"]
    # The posterior is exact, and the likelihood that of Tipping and Bishop's eigenvalues.
    weights = VECTORS[:, :ACTIVE] * np.sqrt(VALUES[:ACTIVE] - SIGMA**2)
    covariance: Any = weights @ weights.T + SIGMA**2 * np.eye(8)
    normal = stats.multivariate_normal(X.mean(0), covariance)
    assert -test["nll"] == pytest.approx(normal.logpdf(X).mean(), abs=1e-4)
    logs = np.log(VALUES[:ACTIVE]).sum() + (8 - ACTIVE) * math.log(SIGMA**2)
    terms = 8 * math.log(2 * math.pi) + logs + ACTIVE + VALUES[ACTIVE:].sum() / SIGMA**2
    assert -test["nll"] == pytest.approx(-terms / 2, abs=1e-4)
    assert abs(test["gap"]) < 4 * test["gap_stderr"] < 0.05


@pytest.mark.slow
def test_training_finds_it(tmp_path):
    path = tmp_path / "images.npz"
    np.savez(path, train=IMAGES, test=IMAGES)
    config = dataclasses.replace(CONFIG, data=dataclasses.replace(CONFIG.data, name=str(path)))
    fit(config, tmp_path / "run")
    found = jaxvae.evaluate(tmp_path / "run", latents=True)
    order = np.argsort(-found["latents"]["rate"])
    ratio = np.maximum(VALUES[:LATENTS] / SIGMA**2, 1)
    np.testing.assert_allclose(found["latents"]["rate"][order], 0.5 * np.log(ratio), atol=0.03)
    np.testing.assert_allclose(found["latents"]["variance"][order], 1 - 1 / ratio, atol=0.03)
    linear = usable_latents(config, IMAGES)
    assert linear is not None
    assert found["test"]["active_units"] == linear["usable"] == ACTIVE
