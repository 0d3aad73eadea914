"""How much images vary in each direction, beside NumPy's covariance of what the model sees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import ELBO, IWAE, Config, Data, Gaussian, Model
from jaxvae.data import principal_variances as subject
from jaxvae.data.advice import warnings
from jaxvae.models.preprocessing import preprocess

RANDOM = np.random.default_rng(0)
# Two directions of variation, and noise.
IMAGES = (
    np.clip(
        120
        + RANDOM.normal(size=(3000, 1)) * 40 * np.sin(np.arange(12))
        + RANDOM.normal(size=(3000, 1)) * 20 * np.cos(np.arange(12))
        + RANDOM.normal(size=(3000, 12)) * 3,
        0,
        255,
    )
    .astype(np.uint8)
    .reshape(3000, 3, 4, 1)
)
KINDS = {
    "none": Data(binarization="none"),
    "dequantised": Data(binarization="none", dequantization="uniform"),
    "threshold": Data(binarization="threshold"),
    "dynamic": Data(binarization="dynamic"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_they_are_the_eigenvalues_of_what_the_model_sees(kind):
    data = KINDS[kind]
    keys = jax.random.split(jax.random.key(0), 3000)
    seen = jax.vmap(preprocess, in_axes=(0, 0, None))(jnp.asarray(IMAGES), keys, data)
    expected = np.linalg.eigvalsh(np.cov(np.asarray(seen, np.float64).reshape(3000, 12).T))[::-1]
    found = subject.principal_variances(IMAGES, data)
    exact = kind in ("none", "threshold")
    np.testing.assert_allclose(found, expected, rtol=1e-3 if exact else 0.12, atol=1e-9)


def test_large_images_are_compared_with_each_other(monkeypatch):
    whole = subject.principal_variances(IMAGES[:300], KINDS["none"])
    monkeypatch.setattr(subject, "DIRECT", 11)
    found = subject.principal_variances(IMAGES[:300], KINDS["none"])
    np.testing.assert_allclose(found[:12], whole, rtol=1e-6)


def gaussian(sigma, objective=None, **fields):
    return Config(
        data=KINDS["none"],
        model=Model(latent_dim=5, likelihood=Gaussian(sigma=sigma, **fields)),
        objective=ELBO() if objective is None else objective,
    )


def usable_of(config):
    found = subject.usable_latents(config, IMAGES)
    assert found is not None
    return found["usable"]


def test_a_linear_model_can_use_the_directions_above_the_noise():
    values = subject.principal_variances(IMAGES, KINDS["none"])
    for usable in (0, 1, 2):
        sigma = float(np.sqrt(values[0] * 1.01 if usable == 0 else (values[usable - 1] + values[usable]) / 2))
        assert usable_of(gaussian(sigma)) == usable
        # beta times the rate is as sigma^2 times beta.
        weighed = gaussian(sigma / 2, ELBO(beta=4.0))
        assert usable_of(weighed) == usable
        assert usable_of(gaussian(sigma, IWAE())) == usable
    assert usable_of(gaussian(0.01)) == 5
    assert subject.usable_latents(gaussian(1.0, learn_sigma=True), IMAGES) is None
    assert subject.usable_latents(Config(), IMAGES) is None


def test_a_run_in_which_all_latents_would_collapse_is_warned_of():
    largest = subject.principal_variances(IMAGES, KINDS["none"])[0]
    above, below = (gaussian(float(np.sqrt(largest * factor))) for factor in (1.02, 0.98))
    (said,) = warnings(above, IMAGES)
    assert "a linear model would use no latent at all." in said
    assert f"vary by more than {largest:.3g}:" in said
    advised = float(said.rsplit(" ", 1)[1])
    better = dataclasses.replace(above, model=dataclasses.replace(above.model, likelihood=Gaussian(advised)))
    assert usable_of(better) > 0
    (said,) = warnings(below, IMAGES)
    assert f"a linear model would use only 1 of {below.model.latent_dim} latents." in said
    assert warnings(gaussian(0.01), IMAGES) == []
