"""What each latent does, and how much latents say about images, beside closed forms and quadrature."""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.analysis import information, latents
from jaxvae.analysis.context import Context
from jaxvae.analysis.options import Options
from jaxvae.config import Config, Data, Eval, FullGaussian, InverseAutoregressiveFlow, Model, TwoLayers
from jaxvae.data.dataset import Dataset
from jaxvae.models.build import build_vae
from jaxvae.models.distributions import Gaussian
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.vae import VAE
from jaxvae.runs.evaluation import Evaluator

PIXELS = np.random.default_rng(0).integers(0, 256, (90, 3, 2, 1), dtype=np.uint8)
CONFIG = Config(data=Data(binarization="none"), eval=Eval(batch_size=40))


class Linear(eqx.Module):
    """q(z|x) = N(W x, scale^2)."""

    weight: Any
    scale: Any

    def __call__(self, x):
        return Gaussian(self.weight @ x.reshape(-1), jnp.log(self.scale))


def linear(weight, scale, images=PIXELS):
    weight = jnp.asarray(weight, jnp.float32)
    shape = images.shape[1:]
    encoder = Linear(weight, jnp.asarray(scale, jnp.float32))
    decoder = Linear(weight.T, jnp.ones(len(weight.T)))
    return VAE(encoder, lambda z: decoder(z).mean.reshape(shape), GaussianLikelihood(), len(weight), shape)


def studied(model, images=PIXELS, config=CONFIG, samples=1, scored=True):
    device = jax.devices()[:1]
    dataset = Dataset(images, images)
    evaluator = Evaluator(config, images, device)
    each = evaluator.of_each_image(evaluator.dispatch(model, samples)) if scored else None
    return Context(config, Options(), model, dataset, device, evaluator, each, {}, None, samples)


def of_kind(scored=True, **fields):
    config = Config(data=Data(), model=Model(latent_dim=3, **fields), eval=Eval(batch_size=40))
    model = build_vae(config.model, jnp.full((3, 2, 1), 0.4), key=jax.random.key(1))
    return studied(model, config=config, scored=scored)


@pytest.fixture(scope="module")
def two_layers():
    return of_kind(architecture=TwoLayers(hidden=(12,), upper_hidden=(12,), lower_latents=5))


def test_rates_variances_and_collapse_of_a_linear_model_are_their_closed_forms():
    weight = np.random.default_rng(1).normal(size=(4, 6)) * np.array([[2.0], [0.3], [0.01], [0.0]])
    scale = np.array([0.1, 0.9, 1.0, 1.0])
    found = latents.analyse(studied(linear(weight, scale)))
    mean = PIXELS.reshape(90, 6) / 255 @ weight.T
    kl = 0.5 * (mean**2 + scale**2 - 1) - np.log(scale)
    np.testing.assert_allclose(found["rate"], kl.mean(0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found["variance"], mean.var(0), rtol=1e-5, atol=1e-9)
    np.testing.assert_array_equal(found["active"], [True, mean.var(0)[1] > 0.01, False, False])
    assert found["rate_kind"] == "closed"
    assert found["levels"][0]["active_by_rate"] == (kl.mean(0) > 0.1).sum()
    np.testing.assert_allclose(found["levels"][0]["rate"], kl.sum(1).mean(), rtol=1e-5)
    assert (kl[:, 2] < 0.01).all()
    assert found["collapsed"] == 0.5
    said = latents.lines(found)
    assert [line.split()[0] for line in said[2:4]] == ["0", "1"]
    assert "Collapsed: 50% of the latents" in said[-1]


def test_a_latent_has_collapsed_by_the_share_of_images_in_which_its_kl_is_small():
    rates = np.full((1000, 3), 0.002)
    rates[:10, 0], rates[:11, 1], rates[:, 2] = 5.0, 5.0, 0.02
    assert latents.collapsed(rates) == pytest.approx(1 / 3)


@pytest.mark.slow
def test_latents_that_depend_on_each_other_have_marginal_rates_and_a_flow_has_none():
    found = latents.analyse(context := of_kind(posterior=FullGaussian()))
    assert found["rate_kind"] == "marginal"
    q = jax.vmap(context.model.encode)(context.test_inputs(np.arange(90)))
    variance = (np.asarray(q.below, np.float64) ** 2).sum(-1) + np.exp(2 * np.asarray(q.log_diagonal))
    mean = np.asarray(q.mean, np.float64)
    expected = 0.5 * (mean**2 + variance - 1 - np.log(variance))
    np.testing.assert_allclose(found["rate"], expected.mean(0), rtol=1e-4, atol=1e-6)
    assert found["rate"].sum() < found["levels"][0]["rate"]
    flow = of_kind(scored=False, posterior=InverseAutoregressiveFlow(hidden=(8,), context=4))
    found = latents.analyse(dataclasses.replace(flow, bounds=context.bounds))
    assert found["rate"] is None
    assert found["collapsed"] is None
    assert "not known" in latents.lines(found)[2]


def test_two_layers_are_told_apart_and_their_latents_rates_add_up(two_layers):
    found = latents.analyse(two_layers)
    assert [level["latents"] for level in found["levels"]] == [5, 3]
    np.testing.assert_array_equal(found["level"], [0] * 5 + [1] * 3)
    assert found["rate_kind"] == "draw"
    assert found["collapsed"] is None
    # The scores are of the same draw.
    for i, level in enumerate(found["levels"]):
        np.testing.assert_allclose(found["rate"][found["level"] == i].sum(), level["rate"], rtol=1e-4)


def quadrature(mean, scale):
    """I(x; z) of one latent, and KL[q(z) || N(0, 1)], of the mixture of these Gaussians."""

    # The trapezoidal rule is exact to rounding for what is smooth on the scale of its step.
    z = np.arange(mean.min() - 9 * scale, mean.max() + 9 * scale, scale / 8)
    log_q = special.logsumexp(stats.norm.logpdf(z[:, None], mean, scale), axis=1) - math.log(len(mean))
    q = np.exp(log_q) * scale / 8
    assert q.sum() == pytest.approx(1, abs=1e-12)
    return -(q @ log_q) - stats.norm.entropy(0, scale), q @ (log_q - stats.norm.logpdf(z))


@pytest.mark.parametrize(("count", "scale", "close"), [(700, 0.8, False), (150, 0.002, True)])
def test_mutual_information_is_that_of_quadrature(monkeypatch, count, scale, close):
    # More images than a block has, which are no multiple of it.
    monkeypatch.setattr(information, "BLOCK", 128)
    images = np.random.default_rng(2).integers(0, 256, (count, 3, 2, 1), dtype=np.uint8)
    weight = np.array([[1.0, -1.0, 1.0, -1.0, 1.0, -1.0]])
    found = information.analyse(studied(linear(weight, np.array([scale]), images), images, scored=False))
    mean = images.reshape(count, 6) / 255 @ weight[0]
    expected, marginal = quadrature(mean, scale)
    for name, value in (("mutual_information", expected), ("marginal_kl", marginal)):
        assert abs(found[name] - value) < 3.5 * found[f"{name}_stderr"], name
    assert found["mutual_information_stderr"] < 0.05
    both = found["mutual_information"] + found["marginal_kl"]
    assert found["rate"] == pytest.approx(both, abs=1e-9)
    assert found["mutual_information"] <= found["log_images"] == math.log(count)
    assert found["is_close"] is close
    assert ("lower bound" in " ".join(information.lines(found))) is close


def test_two_clusters_that_are_far_apart_are_one_bit():
    images = np.repeat(np.array([0, 255], np.uint8), 45)[:, None, None, None] * np.ones(
        (1, 3, 2, 1), np.uint8
    )
    model = linear(np.ones((1, 6)), np.array([0.05]), images)
    found = information.analyse(studied(model, images, scored=False))
    assert found["mutual_information"] == pytest.approx(math.log(2), abs=1e-5)


@pytest.mark.slow
def test_of_two_layers_the_information_is_that_of_the_lower_one(two_layers):
    context, model = two_layers, two_layers.model
    found = information.analyse(context)
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(context.draw_key, jnp.arange(90))
    q = jax.vmap(model.encode)(context.test_inputs(np.arange(90)))
    draws = jax.vmap(lambda q, key: model.draw(q, key=jax.random.fold_in(key, 0)))(q, keys)
    z, mean, scale = (np.asarray(a, np.float64) for a in (draws.latents[0], q.mean, jnp.exp(q.log_scale)))
    log_q = stats.norm.logpdf(z[:, None], mean, scale).sum(-1)
    information_of = np.diag(log_q) - special.logsumexp(log_q, axis=1) + math.log(90)
    assert found["mutual_information"] == pytest.approx(information_of.mean(), abs=1e-4)
    rate = np.asarray(draws.log_posterior - draws.log_prior, np.float64).mean()
    assert found["rate"] == pytest.approx(rate, abs=1e-4)
