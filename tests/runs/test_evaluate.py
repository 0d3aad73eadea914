import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import Config, Data, Eval
from jaxvae.models.objectives import importance_weighted_bounds
from jaxvae.models.preprocessing import preprocess
from jaxvae.runs.evaluation import Evaluator
from jaxvae.training.keys import Stream, stream

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


@pytest.mark.parametrize(
    ("images", "batch_size", "devices", "streams", "scored"),
    [
        # As few rows as batch_size allows, filled up by less than one image a row and device.
        (10_000, 500, 1, False, (1, 20, 500)),
        (10_000, 500, 8, False, (1, 20, 504)),
        (501, 500, 1, False, (1, 2, 251)),
        (501, 500, 4, False, (1, 2, 252)),
        (1, 500, 1, False, (1, 1, 1)),
        (1, 500, 8, False, (1, 1, 8)),
        (3, 2, 8, False, (1, 1, 8)),
        # Streamed in pieces: the same rows.
        (10_000, 500, 1, True, (2, 10, 500)),
        (501, 500, 4, True, (1, 2, 252)),
        (10_000, 100, 1, True, (2, 50, 100)),
        (8_601, 100, 1, True, (2, 44, 99)),
    ],
)
def test_little_is_scored_beside_the_images(monkeypatch, images, batch_size, devices, streams, scored):
    monkeypatch.setattr("jaxvae.data.streaming.CHUNK_BYTES", 60 * 100 * 16)
    config = Config(eval=Eval(batch_size=batch_size))
    pixels = np.zeros((images, 4, 4, 1), np.uint8)
    pieces = Evaluator(config, pixels, jax.devices()[:devices], streams)._pieces
    assert (len(pieces), pieces[0].shape[1], devices * pieces[0].shape[2]) == scored
    assert {piece.shape for piece in pieces} == {pieces[0].shape}
    visited = np.concatenate([piece.swapaxes(0, 1).reshape(-1) for piece in pieces])
    np.testing.assert_array_equal(visited[:images], np.arange(images))


def test_one_test_image_is_scored_and_its_errors_are_unknown(make_vae):
    ours = score(make_vae(latent_dim=3, hidden=(20,)), 500, images=IMAGES[:1])
    assert ours["examples"] == 1
    assert all(math.isnan(ours[f"{name}_stderr"]) for name in ("elbo", "nll", "gap"))
    assert ours["active_units"] == 0


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
