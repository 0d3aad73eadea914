import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Config, Data, Eval
from jaxvae.evaluate import Evaluator
from jaxvae.keys import Stream, stream
from jaxvae.objectives import importance_weighted_bounds
from jaxvae.preprocessing import preprocess

IMAGES = np.random.default_rng(0).integers(0, 256, (45, 28, 28, 1), dtype=np.uint8)


def score(model, batch_size, count=1, samples=3, images=IMAGES):
    config = Config(eval=Eval(batch_size=batch_size))
    evaluator = Evaluator(config, images, jax.devices()[:count])
    return evaluator.summarise(evaluator.dispatch(model, samples), samples)


def test_every_image_counts_exactly_once_however_they_are_batched(make_vae):
    model = make_vae(latent_dim=3, hidden=(20,))
    key_binarization, key_posterior = (
        stream(0, name) for name in (Stream.TEST_BINARIZATION, Stream.TEST_POSTERIOR)
    )
    bounds_of = jax.jit(importance_weighted_bounds, static_argnums=3)
    scores = []
    for index, pixels in enumerate(IMAGES):
        x = preprocess(jnp.asarray(pixels), jax.random.fold_in(key_binarization, index), Data())
        bounds = bounds_of(model, x, jax.random.fold_in(key_posterior, index), 3)
        scores.append(
            (float(bounds.terms.rate), float(bounds.terms.distortion), float(bounds.importance_weighted))
        )
    rate, distortion, bound = np.array(scores).T
    gap = bound + rate + distortion
    expected = {
        "elbo": -(rate + distortion).mean(),
        "elbo_stderr": (rate + distortion).std(ddof=1) / math.sqrt(45),
        "rate": rate.mean(),
        "distortion": distortion.mean(),
        "nll": -bound.mean(),
        "nll_stderr": bound.std(ddof=1) / math.sqrt(45),
        "gap": gap.mean(),
        "gap_stderr": gap.std(ddof=1) / math.sqrt(45),
        "bits_per_dim": -bound.mean() / (784 * math.log(2)),
    }
    # 45 is a multiple of none: the last batch is padded; four devices round 10 up to 12.
    for batch_size, count in ((7, 1), (50, 1), (10, 4), (16, 8)):
        ours = score(model, batch_size, count)
        assert ours["examples"] == 45
        for name, value in expected.items():
            assert abs(ours[name] - value) <= 2e-5 * max(abs(value), 1), (name, batch_size, count)


def test_two_evaluations_agree_and_another_seed_does_not(make_vae):
    model = make_vae(latent_dim=3, hidden=(20,))
    assert score(model, 16) == score(model, 16)
    other = Evaluator(Config(seed=1), IMAGES, jax.devices()[:1])
    assert other.summarise(other.dispatch(model, 3), 3)["elbo"] != score(model, 16)["elbo"]


def test_active_units_are_those_whose_posterior_mean_varies_by_more_than_a_hundredth(make_vae):
    model = make_vae(latent_dim=3, hidden=())
    layer = model.encoder.mlp.layers[0]
    x = IMAGES.reshape(45, -1) > 127
    direction = np.random.default_rng(1).normal(size=784)
    direction /= np.std(x @ direction)
    weight = np.zeros((6, 784), np.float32)
    for unit, variance in enumerate((1.0, 0.011, 0.009)):
        weight[unit] = math.sqrt(variance) * direction
    model = eqx.tree_at(lambda m: m.encoder.mlp.layers[0].weight, model, jnp.asarray(weight.T))
    assert layer.matrix.shape == weight.shape
    config = dataclasses.replace(Config(), data=dataclasses.replace(Config().data, binarization="threshold"))
    evaluator = Evaluator(config, IMAGES, jax.devices()[:1])
    assert evaluator.summarise(evaluator.dispatch(model, 1), 1)["active_units"] == 2


@pytest.mark.parametrize(("grid", "pairs"), [(4, 8), (10, 45)])
def test_pictures_are_samples_and_pairs_of_image_and_reconstruction(make_vae, grid, pairs):
    model = make_vae(latent_dim=3, hidden=(20,))
    config = Config(eval=Eval(grid=grid))
    evaluator = Evaluator(config, IMAGES, jax.devices()[:1])
    samples, both = evaluator.pictures(model)
    assert samples.shape == (grid**2, 28, 28, 1)
    assert both.shape == (2 * pairs, 28, 28, 1)
    np.testing.assert_allclose(both[1], model.reconstruct(both[0]), rtol=1e-4, atol=1e-5)
    assert set(np.unique(both[0])) == {0, 1}
