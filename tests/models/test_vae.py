import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import config
from jaxvae.config import Config, Data, Model
from jaxvae.data import load
from jaxvae.models.build import build_vae
from jaxvae.models.distributions import Gaussian
from jaxvae.models.likelihoods.bernoulli import Bernoulli
from jaxvae.runs.evaluation import Evaluator


def test_all_leaves_are_float32_arrays(make_vae):
    for likelihood in (config.Bernoulli(), config.Gaussian()):
        leaves = jax.tree.leaves(make_vae(likelihood=likelihood))
        assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in leaves)


def test_reconstruction_and_samples_are_decoder_means(make_vae):
    model = make_vae(latent_dim=4, hidden=(8,))
    x = jax.random.uniform(jax.random.key(1), (28, 28, 1))
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(model.encode(x).mean).mean)
    z = jax.random.normal(jax.random.key(2), (4,))
    np.testing.assert_array_equal(model.sample(jax.random.key(2)), model.decode(z).mean)
    assert isinstance(model.decode(z), Bernoulli)


@pytest.mark.parametrize("learned", [True, False])
def test_sigma_starts_where_it_is_told_and_learns_only_if_it_is_told(make_vae, learned):
    model = make_vae(latent_dim=2, hidden=(), likelihood=config.Gaussian(sigma=0.3, learn_sigma=learned))
    z = jnp.ones(2)
    assert isinstance(model.decode(z), Gaussian)
    np.testing.assert_allclose(jnp.exp(model.likelihood.log_sigma), 0.3, rtol=1e-5)
    grads = jax.grad(lambda m: m.decode(z).log_prob(jnp.zeros((28, 28, 1))))(model)
    assert (float(grads.likelihood.raw_log_sigma) != 0) == learned


def test_without_hidden_layers_encoder_and_decoder_are_affine(make_vae):
    model = make_vae(latent_dim=3, hidden=(), likelihood=config.Gaussian())
    z = jax.random.normal(jax.random.key(0), (2, 3))
    x = jax.random.normal(jax.random.key(1), (2, 28, 28, 1))
    for f, (a, b) in ((model.decoder, z), (lambda x: model.encoder(x).mean, x)):
        np.testing.assert_allclose(f((a + b) / 2), (f(a) + f(b)) / 2, rtol=1e-4, atol=1e-5)


def test_an_untrained_model_scores_like_independent_pixels_at_the_training_mean():
    dataset = load.load(Data())
    mean = load.pixel_mean(dataset.train, Data())
    model = build_vae(Model(), jnp.asarray(mean), key=jax.random.key(0))
    p, test = np.clip(mean, 1e-3, 1 - 1e-3), dataset.test / 255
    independent = -(test * np.log(p) + (1 - test) * np.log1p(-p)).sum((1, 2, 3))
    assert abs(independent.mean() - 205.9) < 0.1
    some = slice(1_000)
    evaluator = Evaluator(Config(), dataset.test[some], jax.devices()[:1])
    scores = evaluator.summarise(evaluator.dispatch(model, 64), 64)
    assert abs(scores["distortion"] - independent[some].mean()) < 2
    assert abs(scores["nll"] - independent[some].mean()) < 2


def test_every_public_method_says_what_is_wrong_with_what_it_is_given(make_vae):
    model = make_vae(latent_dim=3, hidden=(8,))
    for method in (model.encode, model.reconstruct):
        with pytest.raises(
            TypeError, match=rf"{method.__name__} takes floats in \[0, 1\], not uint8: x / 255"
        ):
            method(np.zeros((28, 28, 1), np.uint8))
        with pytest.raises(
            ValueError, match=rf"{method.__name__} takes .* not \(28, 28\): x\[\.\.\., None\]"
        ):
            method(np.zeros((28, 28)))
        with pytest.raises(ValueError, match=rf"{method.__name__} takes values in \[0, 1\]"):
            method(np.full((28, 28, 1), 1.2))
    with pytest.raises(ValueError, match=r"decode takes latents of shape \(3,\), not \(4,\)"):
        model.decode(jnp.zeros(4))
    with pytest.raises(TypeError, match="sample takes a key"):
        model.sample(0)
    with pytest.raises(ValueError, match="sample takes one key"):
        model.sample(jax.random.split(jax.random.key(0)))


def test_what_a_gaussian_model_draws_can_be_encoded(make_vae):
    model = make_vae(latent_dim=3, hidden=(8,), likelihood=config.Gaussian())
    last = model.decoder.mlp.layers[-1]
    replaced = (jnp.zeros_like(last.weight), jnp.full(784, 1.2))
    bright = eqx.tree_at(
        lambda m: (m.decoder.mlp.layers[-1].weight, m.decoder.mlp.layers[-1].bias), model, replaced
    )
    drawn = bright.sample(jax.random.key(0))
    assert float(drawn.max()) > 1.1
    assert bright.encode(drawn).mean.shape == (3,)
