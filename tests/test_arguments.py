import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import arguments
from jaxvae.distributions import Bernoulli, Gaussian

SHAPE = (4, 6, 3)
IMAGES = np.random.default_rng(0).uniform(size=(5, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("x", ["digit.png", None, {"image": 1}, jax.random.key(0), [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_of_numbers_is_refused(x):
    with pytest.raises(TypeError, match="encode takes"):
        arguments.image(x, SHAPE, "encode")


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda x: 255 * x, "x / 255"),
        (lambda x: 65535 * x, "x / 65535"),
        (lambda x: 2 * x - 1, "(x + 1) / 2"),
        (lambda x: (x - 0.45) / 0.22, "jnp.clip"),
        (lambda x: np.where(x > 0.9, np.nan, x), "not from nan to nan"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda f: f, jax.vmap, lambda f: jax.vmap(jax.grad(lambda x: f(x).sum()))])
@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_a_wrong_range_is_refused_wherever_the_values_are_known(change, advice, wrap, beyond):
    """``jax.vmap`` and ``jax.grad`` outside of compiled functions wrap values that are known."""
    images = jnp.asarray(change(IMAGES))
    take = wrap(lambda x: arguments.image(x, SHAPE, "encode", beyond))
    with pytest.raises(ValueError, match=re.escape(advice)):
        take(images[0] if wrap(len) is len else images)


def test_images_of_a_gaussian_likelihood_may_lie_beyond_a_little():
    x = 1.2 * IMAGES[0]
    np.testing.assert_array_equal(arguments.image(x, SHAPE, "encode", beyond=0.5), x)
    with pytest.raises(ValueError, match=r"jnp\.clip"):
        arguments.image(x, SHAPE, "encode")
    rounded = IMAGES[0] * np.float32(1 + 1e-6)
    np.testing.assert_array_equal(arguments.image(rounded, SHAPE, "encode"), rounded)


def test_nothing_of_it_is_in_the_program():
    def text(f):
        return str(jax.make_jaxpr(f)(IMAGES[0]))

    assert text(lambda x: arguments.image(x, SHAPE, "encode") + 1) == text(lambda x: x + 1)


def test_latents_may_be_whole_numbers_but_not_of_another_number():
    np.testing.assert_array_equal(arguments.latents([0, 1, 2], 3, "decode"), [0, 1, 2])
    for z in (np.zeros(4), np.zeros(()), np.zeros((3, 1))):
        with pytest.raises(ValueError, match=re.escape(f"latents of shape (3,), not {z.shape}")):
            arguments.latents(z, 3, "decode")
    with pytest.raises(ValueError, match=re.escape("jax.vmap(model.decode)(z)")):
        arguments.latents(np.zeros((7, 3)), 3, "decode")
    with pytest.raises(TypeError, match="numbers, not Gaussian"):
        arguments.latents(Gaussian(jnp.zeros(3), jnp.zeros(3)), 3, "decode")


@pytest.mark.parametrize(
    ("key", "kind", "advice"),
    [
        (0, TypeError, "not int: jax.random.key"),
        (None, TypeError, "not NoneType"),
        (np.zeros(2, np.uint32), TypeError, "wrap_key_data"),
        (jax.random.split(jax.random.key(0), 5), ValueError, "not (5,) of them: jax.vmap"),
    ],
)
def test_what_is_not_one_key_is_refused(key, kind, advice):
    with pytest.raises(kind, match=re.escape(advice)):
        arguments.one_key(key, "sample")


def test_densities_are_of_arrays_of_the_right_shape_and_range():
    # (28, 28) would be spread over (28, 28, 1) in silence.
    for distribution in (Gaussian(jnp.zeros((4, 4, 1)), jnp.zeros(())), Bernoulli(jnp.zeros((4, 4, 1)))):
        with pytest.raises(ValueError, match=re.escape("of shape (4, 4, 1), not (4, 4)")):
            distribution.log_prob(jnp.zeros((4, 4)))
        with pytest.raises(TypeError, match="x / 255"):
            distribution.log_prob(np.zeros((4, 4, 1), np.uint8))
    with pytest.raises(ValueError, match="x / 255"):
        Bernoulli(jnp.zeros((4, 4, 1))).log_prob(np.full((4, 4, 1), 255.0))
    assert np.isfinite(Gaussian(jnp.zeros(3), jnp.zeros(3)).log_prob(jnp.full(3, -7.0)))
