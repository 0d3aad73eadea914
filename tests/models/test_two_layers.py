"""Two layers of latents against plain float64 NumPy, and every kind with every other."""

import dataclasses
import itertools
import json
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.config import (
    Adam,
    Architecture,
    Bernoulli,
    Config,
    Conv,
    Data,
    DiagonalGaussian,
    Ladder,
    Likelihood,
    Model,
    Posterior,
    Prior,
    ResNet,
    StandardNormal,
    TwoLayers,
)
from jaxvae.models.build import build_vae
from jaxvae.models.objectives import IWAEObjective, elbo_terms
from jaxvae.models.vae import GradientRoutes
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit
from jaxvae.runs.progress import scores_table
from jaxvae.training.keys import Stream, stream

SHAPE = (4, 3, 1)
NETWORK = TwoLayers(lower_latents=5, hidden=(7,), upper_hidden=(6, 4))


def make(model=None, shape=SHAPE, seed=0) -> Any:
    mean = jnp.asarray(np.random.default_rng(0).uniform(0.2, 0.8, shape), jnp.float32)
    return build_vae(model or Model(2, NETWORK), mean, key=jax.random.key(seed))


def affine(layers, h):
    for i, layer in enumerate(layers):
        h = h if i == 0 else np.tanh(h)
        h = np.asarray(layer.matrix, float) @ h + np.asarray(layer.bias, float)
    return h


def gaussian(network, h):
    """Mean and scale of what a network with a diagonal Gaussian gives."""
    mean, raw = np.split(affine(network.mlp.layers, h), 2)
    return mean, np.exp(8 * np.tanh(raw / 8))


def test_scores_have_the_rate_of_each_layer():
    images = np.random.default_rng(2).integers(0, 256, (3, *SHAPE), np.uint8)
    config, model = Config(data=Data(binarization="threshold")), make()
    evaluator = Evaluator(config, images, jax.devices()[:1])
    found = evaluator.summarise(evaluator.dispatch(model, 2), 2)
    rates_of = jax.jit(lambda x, key: model.draw(model.encode(x), key=key).rates)
    wanted = np.zeros(2)
    for i, image in enumerate(images):
        key = jax.random.fold_in(stream(config.seed, Stream.TEST_POSTERIOR), i)
        for k in range(2):
            x = (image > 127).astype(np.float32)
            wanted += np.asarray(rates_of(x, jax.random.fold_in(key, k)), float) / 6
    np.testing.assert_allclose([found["rate_level_1"], found["rate_level_2"]], wanted, rtol=1e-5)
    assert found["rate"] == pytest.approx(wanted.sum(), rel=1e-5)
    lines = scores_table({"test": found, "step": 0, "data": {"support": "binary", **vars(config.data)}})
    assert f"      level 2{wanted[1]:>29.3f}" in lines


def test_a_draw_is_its_densities_in_float64():
    model = make()
    x = np.random.default_rng(1).integers(0, 2, SHAPE).astype(float)
    draw = model.draw(model.encode(x), key=jax.random.key(3))
    h1, h2 = (np.asarray(h, float) for h in draw.latents)
    assert (h1.shape, h2.shape) == ((5,), (2,))
    below, above = gaussian(model.encoder, x.reshape(-1)), gaussian(model.upper_encoder, h1)
    log_q = stats.norm.logpdf(h1, *below).sum(), stats.norm.logpdf(h2, *above).sum()
    log_p = stats.norm.logpdf(h1, *gaussian(model.upper_decoder, h2)).sum(), stats.norm.logpdf(h2).sum()
    assert float(draw.log_posterior) == pytest.approx(sum(log_q), rel=1e-5)
    assert float(draw.log_prior) == pytest.approx(sum(log_p), rel=1e-5)
    closed = 0.5 * (above[0] ** 2 + above[1] ** 2 - 1 - 2 * np.log(above[1])).sum()
    np.testing.assert_allclose(draw.rates, [log_q[0] - log_p[0], closed], rtol=1e-4)
    logits = affine(model.decoder.mlp.layers, h1).reshape(SHAPE)
    log_x = (x * special.log_expit(logits) + (1 - x) * special.log_expit(-logits)).sum()
    assert float(draw.likelihood.log_prob(x)) == pytest.approx(log_x, rel=1e-5)
    np.testing.assert_allclose(
        draw.posterior.mean, np.concatenate([below[0], above[0]]), rtol=1e-4, atol=1e-6
    )
    scales = np.log(np.concatenate([below[1], above[1]]))
    np.testing.assert_allclose(draw.posterior.log_scale, scales, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_latents_are_drawn_from_their_densities():
    """h1 by a Kolmogorov-Smirnov test; h2 given each h1, standardised."""
    model = make()
    x = jnp.zeros(SHAPE)
    keys = jax.random.split(jax.random.key(0), 2000)
    h1, h2 = jax.vmap(lambda key: model.draw(model.encode(x), key=key).latents)(keys)
    below = gaussian(model.encoder, np.zeros(12))
    assert stats.kstest(((np.asarray(h1, float) - below[0]) / below[1]).reshape(-1), "norm").pvalue > 0.01
    above = [gaussian(model.upper_encoder, h) for h in np.asarray(h1, float)]
    noise = [(h - mean) / scale for h, (mean, scale) in zip(np.asarray(h2, float), above, strict=True)]
    assert stats.kstest(np.ravel(noise), "norm").pvalue > 0.01
    # The two layers' noise is not the same.
    first = ((np.asarray(h1, float) - below[0]) / below[1])[:, :2]
    assert abs(np.corrcoef(first[:, 0], np.array(noise)[:, 0])[0, 1]) < 0.1


def test_a_new_image_is_drawn_from_above():
    model = make()
    keys = jax.random.split(jax.random.key(0), 3000)

    def means(temperature):
        return jax.vmap(lambda key: model.generate(key=key, temperature=temperature).mean)(keys)

    drawn = np.asarray(means(1.0), float)
    rng, expected = np.random.default_rng(0), []
    for _ in range(3000):
        mean, scale = gaussian(model.upper_decoder, rng.normal(size=2))
        logits = affine(model.decoder.mlp.layers, mean + scale * rng.normal(size=5))
        expected.append(special.expit(logits).reshape(SHAPE))
    error = np.hypot(drawn.std(0), np.std(expected, 0)) / np.sqrt(3000)
    assert np.all(np.abs(drawn.mean(0) - np.mean(expected, 0)) < 4.5 * error)
    np.testing.assert_allclose(drawn.std(0), np.std(expected, 0), rtol=0.15)
    assert np.all(np.asarray(means(0.0)).std(0) < 1e-4)


def test_dreg_has_the_standard_gradients_mean_and_less_noise():
    model, x = make(), jnp.asarray(np.random.default_rng(1).integers(0, 2, SHAPE), jnp.float32)

    def gradients(objective, count, seed):
        def loss(model, key):
            terms = objective.example(model, x, key=key)
            return objective.batch(jax.tree.map(lambda a: a[None], terms), jnp.int32(0), "none")

        grads = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))
        found = grads(model, jax.random.split(jax.random.key(seed), count))
        parts = (found.encoder.mlp, found.upper_encoder.mlp, found.upper_decoder.mlp, found.decoder.mlp)
        return [np.asarray(part.layers[-1].bias, float) for part in parts]

    standards = gradients(IWAEObjective(4), 20_000, 0)
    for part, (standard, dreg) in enumerate(
        zip(standards, gradients(IWAEObjective(4, gradient="dreg"), 20_000, 1), strict=True)
    ):
        error = np.sqrt((standard.var(0) + dreg.var(0)) / 20_000)
        assert np.all(np.abs(standard.mean(0) - dreg.mean(0)) < 4.5 * error + 1e-7)
        # Those of q(h1|x) and q(h2|h1), which it is for.
        assert part > 1 or dreg.var(0).sum() < standard.var(0).sum()


FAMILIES: Any = (Architecture, Likelihood, Posterior, Prior)
EVERY = [
    kinds
    for kinds in itertools.product(*(family.kinds().values() for family in FAMILIES))
    if not (kinds[3].of_posteriors and not kinds[2].density_of_any)
    and (not kinds[0].own_densities or kinds[2:] == (DiagonalGaussian, StandardNormal))
]
"""Every architecture, with every likelihood, and every posterior and prior if it has none of its own."""
SMALL: Any = {
    Conv: {"channels": (3, 4)},
    ResNet: {"channels": (3, 4)},
    Ladder: {"groups": "2x1 6x1", "channels": 4},
}
"""Fields that suit a small image."""


def chosen():
    """Some of them, in which every pair of kinds is that there is in all."""
    left, found = {pair for kinds in EVERY for pair in itertools.combinations(kinds, 2)}, []
    while left:
        best = max(EVERY, key=lambda kinds: len(left & {*itertools.combinations(kinds, 2)}))
        found.append(best)
        left -= {*itertools.combinations(best, 2)}
    return found


@pytest.mark.parametrize("kinds", chosen(), ids=lambda kinds: "-".join(kind.kind for kind in kinds))
def test_every_kind_works_with_every_other(kinds):
    """Shapes alone: nothing is compiled."""
    shape = (5, 6, 1)
    config = Model(2, kinds[0](**SMALL.get(kinds[0], {})), *(kind() for kind in kinds[1:]))
    model = jax.eval_shape(lambda: make(config, shape))

    def loss(model, key):
        terms = elbo_terms(model.precomputed(), jnp.full(shape, 0.5), key)
        return terms.rate + terms.distortion

    grads = jax.eval_shape(eqx.filter_grad(loss), model, jax.random.key(0))
    assert jax.tree.structure(grads) == jax.tree.structure(model)
    drawn = jax.eval_shape(
        lambda model: (model.sample(jax.random.key(1)), model.reconstruct(jnp.zeros(shape))), model
    )
    assert [image.shape for image in drawn] == [shape, shape]
    if type(config.posterior).density_of_any:
        routed = jax.eval_shape(
            lambda model: (
                model.routed_draw(
                    model.encode(jnp.zeros(shape)), key=jax.random.key(0), routes=GradientRoutes()
                ).rates
            ),
            model,
        )
        assert routed.shape == ((2,) if isinstance(config.architecture, TwoLayers | Ladder) else (1,))


@pytest.mark.slow
def test_it_trains_alike_on_four_devices_and_says_two_rates(tmp_path, small_config):
    model = Model(2, NETWORK, Bernoulli())
    losses = []
    for devices in (1, 4):
        short = {"steps": 8, "eval_every": 8, "checkpoint_every": 8, "devices": devices}
        train = dataclasses.replace(small_config.train, **short)
        optimizer = Adam(learning_rate=0.01, warmup_steps=0)
        config = dataclasses.replace(small_config, model=model, train=train, optimizer=optimizer)
        summary = fit(config, tmp_path / str(devices))
        lines = [
            json.loads(line) for line in (tmp_path / str(devices) / "metrics.jsonl").read_text().splitlines()
        ]
        losses.append([line["loss"] for line in lines if "loss" in line])
        assert summary["test"]["active_units"] is not None
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-4)
