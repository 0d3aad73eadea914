"""A linear VAE is probabilistic PCA: the whole trainer against a closed form (Tipping and Bishop 1999)."""

import dataclasses
import math
import runpy
from pathlib import Path

import numpy as np
import pytest

import jaxvae
from jaxvae.config import Data
from jaxvae.data.load import load
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.vae import VAE
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit
from jaxvae.training.parallel import choose_devices

LATENT = 10


class ClosedForm:
    """The maximum-likelihood solution, in float64."""

    def __init__(self, x):
        self.mean = x.mean(0)
        values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
        values, vectors = values[::-1], vectors[:, ::-1]
        self.values, self.dimensions = values, len(values)
        self.variance = values[LATENT:].mean()
        weights = vectors[:, :LATENT] * np.sqrt(values[:LATENT] - self.variance)
        self.covariance = weights @ weights.T + self.variance * np.eye(self.dimensions)

    def log_likelihood(self, x):
        """Mean log-density over the rows of x, from the covariance."""
        centred = x - self.mean
        mahalanobis = np.einsum("nd,nd->n", centred @ np.linalg.inv(self.covariance), centred)
        log_determinant = np.linalg.slogdet(self.covariance)[1]
        return -0.5 * (self.dimensions * math.log(2 * math.pi) + log_determinant + mahalanobis.mean())

    def training_log_likelihood(self):
        """The same on the training set, from the eigenvalues alone."""
        d, k = self.dimensions, LATENT
        logs = np.log(self.values[:k]).sum() + (d - k) * math.log(self.variance)
        return -0.5 * (d * math.log(2 * math.pi) + logs + d)


def halved(images):
    """Digits of half the size, as means over 2 x 2 pixels."""
    blocks = images.reshape(len(images), 14, 2, 14, 2).astype(np.uint16)
    return (blocks.sum((2, 4)) // 4).astype(np.uint8)


def check(folder, config, *, log_likelihood, variance):
    """Trains, then compares train and test with the closed form to the given relative tolerances."""
    dataset = load(config.data)
    train, test = (images.reshape(len(images), -1) / 255 for images in (dataset.train, dataset.test))
    closed = ClosedForm(train)
    best = [closed.log_likelihood(x) for x in (train, test)]
    np.testing.assert_allclose(best[0], closed.training_log_likelihood(), rtol=1e-9)
    summary = fit(config, folder)
    model = jaxvae.load_model(folder)
    assert isinstance(model, VAE)
    assert isinstance(model.likelihood, GaussianLikelihood)
    learned = float(np.exp(2 * np.asarray(model.likelihood.log_sigma, np.float64)))
    assert abs(learned / closed.variance - 1) < variance
    np.testing.assert_allclose(summary["test"]["sigma"], math.sqrt(learned), rtol=1e-6)
    evaluator = Evaluator(config, dataset.train, choose_devices(config.train.devices))
    samples = config.eval.interim_importance_samples
    on_train = evaluator.summarise(evaluator.dispatch(model, samples), samples)
    for scores, exact in zip((on_train, summary["test"]), best, strict=True):
        assert abs(scores["elbo"] / exact - 1) < log_likelihood
        assert abs(-scores["nll"] / exact - 1) < log_likelihood
    return summary["test"]


def experiment():
    return runpy.run_path(str(Path(__file__).parents[2] / "configs" / "linear.py"))["config"]


@pytest.mark.slow
def test_a_short_run_comes_close(tmp_path):
    mnist = load(Data())
    np.savez(tmp_path / "small.npz", train=halved(mnist.train[:10_000]), test=halved(mnist.test[:2_000]))
    config = dataclasses.replace(
        experiment(), data=dataclasses.replace(experiment().data, name=str(tmp_path / "small.npz"))
    )
    train = dataclasses.replace(config.train, steps=5_000, eval_every=5_000, devices=1, batch_size=512)
    config = dataclasses.replace(config, train=train)
    test = check(tmp_path / "run", config, log_likelihood=4e-3, variance=5e-3)
    assert 0 <= test["gap"] < 0.5


@pytest.mark.slow
def test_the_shipped_experiment_is_probabilistic_pca(tmp_path):
    config = dataclasses.replace(experiment(), train=dataclasses.replace(experiment().train, devices=1))
    test = check(tmp_path, config, log_likelihood=1e-3, variance=5e-3)
    assert abs(test["gap"]) < 3 * test["gap_stderr"]
