"""A different model, whose prior is fitted: beside SciPy's densities, and beside the model's own scores."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from scipy import special, stats

from jaxvae.analysis import ex_post, gaussian_mixture
from jaxvae.analysis.context import Context
from jaxvae.analysis.evaluate import as_json
from jaxvae.analysis.options import Options
from jaxvae.config import MLP, Config, Data, Eval, Model, TwoLayers
from jaxvae.data.dataset import Dataset
from jaxvae.errors import UserError
from jaxvae.models.build import build_vae
from jaxvae.models.distributions import StandardNormal
from jaxvae.runs.evaluation import Evaluator

PIXELS = np.random.default_rng(0).integers(0, 256, (80, 4, 3, 1), dtype=np.uint8)
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-4.0, 0.0], [3.0, 3.0], [2.0, -4.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 0.5]], [[0.3, 0.0], [0.0, 2.0]], [[0.8, -0.5], [-0.5, 0.6]]])


def scipy_log_density(points, weights, means, covariances):
    parts = [
        np.log(weight) + stats.multivariate_normal(mean, covariance).logpdf(points)
        for weight, mean, covariance in zip(weights, means, covariances, strict=True)
    ]
    return special.logsumexp(parts, axis=0)


def drawn(count, seed):
    random = np.random.default_rng(seed)
    of = random.choice(3, size=count, p=WEIGHTS)
    noise = random.normal(size=(count, 2, 1))
    return MEANS[of] + (np.linalg.cholesky(COVARIANCES)[of] @ noise)[..., 0]


def test_the_mixture_that_is_fitted_is_the_one_that_was_drawn_from():
    points, held, fresh = drawn(6000, 1), drawn(700, 2), drawn(4000, 3)
    fitted = gaussian_mixture.fit(points, held, 3, np.random.default_rng(0))
    found = fitted.factors @ fitted.factors.swapaxes(1, 2)
    order = [int(np.argmin(((fitted.means - mean) ** 2).sum(1))) for mean in MEANS]
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(fitted.weights[order], WEIGHTS, atol=0.02)
    np.testing.assert_allclose(fitted.means[order], MEANS, atol=0.08)
    np.testing.assert_allclose(found[order], COVARIANCES, atol=0.1)
    # 17 parameters cost 17 / 2 nats in 6,000 points, of what the true ones would give fresh points.
    best = scipy_log_density(fresh, WEIGHTS, MEANS, COVARIANCES).mean()
    ours = scipy_log_density(fresh, fitted.weights, fitted.means, found)
    assert -0.005 < ours.mean() - best <= 1e-3
    # And the distribution that becomes the prior has these densities.
    prior = ex_post.as_distribution(fitted)
    each = jax.vmap(prior.log_prob)(jnp.asarray(fresh[:300], jnp.float32))
    np.testing.assert_allclose(each, ours[:300], rtol=1e-4, atol=1e-4)


def test_a_round_makes_the_points_no_less_likely_and_its_sums_are_numpys():
    points = drawn(2500, 4)
    factors = np.repeat(np.eye(2)[None], 4, 0)
    mixture = gaussian_mixture.GaussianMixture(np.full(4, 0.25), points[:4], factors)
    parts, before = gaussian_mixture._in_parts(points), -np.inf
    for _ in range(8):
        sums = gaussian_mixture._sums(mixture, parts)
        covariances = mixture.factors @ mixture.factors.swapaxes(1, 2)
        expected = scipy_log_density(points, mixture.weights, mixture.means, covariances).sum()
        assert sums.log_density == pytest.approx(expected, rel=1e-5)
        assert sums.counts.sum() == pytest.approx(2500, rel=1e-6)
        assert expected > before - 1e-3
        before, mixture = expected, gaussian_mixture._next(mixture, sums, 1e-9 * np.eye(2))


def test_a_round_is_the_means_and_covariances_of_each_components_share():
    points = drawn(300, 5)
    factors = np.repeat(np.eye(2)[None], 2, 0)
    mixture = gaussian_mixture.GaussianMixture(np.array([0.4, 0.6]), points[:2], factors)
    pairs = zip((0.4, 0.6), points[:2], strict=True)
    joint = [np.log(weight) + stats.multivariate_normal(mean).logpdf(points) for weight, mean in pairs]
    shares = special.softmax(joint, axis=0)
    parts = gaussian_mixture._in_parts(points)
    after = gaussian_mixture._next(mixture, gaussian_mixture._sums(mixture, parts), np.zeros((2, 2)))
    np.testing.assert_allclose(after.weights, shares.mean(1), rtol=1e-4)
    for k in range(2):
        np.testing.assert_allclose(after.means[k], np.average(points, axis=0, weights=shares[k]), atol=1e-4)
        covariance = np.cov(points.T, aweights=shares[k], bias=True)
        np.testing.assert_allclose(after.factors[k] @ after.factors[k].T, covariance, rtol=1e-3, atol=1e-3)


def test_points_on_a_line_and_all_the_same_are_fitted_all_the_same():
    line = np.linspace(0, 1, 50)[:, None] * np.array([1.0, 2.0])
    for points in (line, np.ones((50, 2))):
        fitted = gaussian_mixture.fit(points, points[:5], 3, np.random.default_rng(0))
        assert all(np.isfinite(each).all() for each in fitted)


def studied(options=None, **fields):
    config = Config(
        data=Data(binarization="none"), model=Model(latent_dim=3, **fields), eval=Eval(grid=2, batch_size=40)
    )
    config = dataclasses.replace(config, data=Data(binarization="threshold"))
    model = build_vae(config.model, jnp.full((4, 3, 1), 0.4), key=jax.random.key(1))
    devices, dataset = jax.devices()[:1], Dataset(PIXELS, PIXELS[:50])
    evaluator = Evaluator(config, dataset.test, devices)
    scores = evaluator.dispatch(model, 3)
    each, test = evaluator.of_each_image(scores), evaluator.summarise(scores, 3)
    given = Options() if options is None else options
    return Context(config, given, model, dataset, devices, evaluator, each, test, None, 3)


@pytest.fixture(scope="module")
def context():
    return studied(architecture=MLP(hidden=(12,)))


def test_with_the_models_own_prior_in_its_place_the_scores_are_its_own_to_the_bit(context):
    draws = ex_post.aggregate_draws(context)
    found = ex_post.compared(context, StandardNormal((3,)), "N(0, I)", draws)
    assert found["test"] == context.test
    assert (found["nll_difference"], found["nll_difference_stderr"]) == (0, 0)
    assert found["held_out"] == found["held_out_prior"]
    expected = stats.norm.logpdf(draws).sum(1).mean()
    assert found["held_out"] == pytest.approx(expected, rel=1e-5)


def test_the_draws_are_those_of_the_training_images_posteriors(context):
    draws = ex_post.aggregate_draws(context)
    assert draws.shape == (80, 3)
    q = jax.vmap(context.model.encode)(context.train_inputs(np.arange(80)))
    noise = (draws - np.asarray(q.mean)) / np.exp(np.asarray(q.log_scale))
    assert stats.kstest(noise.ravel(), "norm").pvalue > 0.01
    np.testing.assert_array_equal(draws, ex_post.aggregate_draws(context))


def test_the_different_model_is_named_so_scored_and_drawn(context, tmp_path, monkeypatch):
    path = tmp_path / "e.png"
    options = Options(ex_post="mixture", ex_post_picture=str(path))
    monkeypatch.setattr(ex_post, "COMPONENTS", 2)
    found = ex_post.analyse(dataclasses.replace(context, options=options))
    difference = found["test"]["nll"] - context.test["nll"]
    assert found["nll_difference"] == pytest.approx(difference, abs=1e-5)
    # Encoder and decoder are the same, and so are the draws.
    assert found["test"]["distortion"] == pytest.approx(context.test["distortion"], abs=1e-4)
    said = "\n".join(ex_post.lines(found))
    assert said.startswith("A different model: the prior replaced by a mixture of 2 Gaussians")
    assert f"{found['test']['nll']:.3f}" in said
    assert found["model"].sample(jax.random.key(0)).shape == (4, 3, 1)
    assert "model" not in as_json(found)
    # Two samples of each in a row, and a column between.
    assert Image.open(path).size == (5 * (3 * 14 + 2) + 2, 2 * (4 * 14 + 2) + 2)


@pytest.mark.slow
def test_a_flow_and_the_upper_of_two_layers_are_fitted_too(monkeypatch):
    monkeypatch.setattr(ex_post, "STEPS", 6)
    monkeypatch.setattr(ex_post, "STEPS_PER_CHECK", 3)
    monkeypatch.setattr(ex_post, "BATCH", 20)
    monkeypatch.setattr(ex_post, "HIDDEN", (8,))
    two = studied(
        Options(ex_post="coupling"),
        architecture=TwoLayers(hidden=(8,), upper_hidden=(8,), lower_latents=5),
    )
    found = ex_post.analyse(two)
    assert "6 affine couplings" in found["name"]
    assert np.isfinite(found["test"]["nll"])
    # No check but the best one is kept, and the flow begins as N(0, I).
    assert found["held_out"] >= found["held_out_prior"] - 1e-5


def test_what_cannot_work_is_refused():
    for options, says in (
        (Options(ex_post_picture="a.png"), "does nothing without --ex_post"),
        (Options(ex_post="mixture", ex_post_picture="a.jpg"), "must end in .png"),
    ):
        with pytest.raises(UserError, match=says):
            options.check()
    one = dataclasses.replace(Config(), model=Model(latent_dim=1))
    with pytest.raises(UserError, match="two latents or more"):
        ex_post.refuse(Options(ex_post="coupling"), one)
