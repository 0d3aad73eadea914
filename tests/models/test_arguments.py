import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.models import input_checks
from jaxvae.models.distributions import Gaussian
from jaxvae.models.likelihoods.bernoulli import Bernoulli

SHAPE = (4, 6, 3)
IMAGES = np.random.default_rng(0).uniform(size=(5, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("form", [np.asarray, np.float64, jnp.asarray, np.ndarray.tolist])
def test_an_image_is_taken_in_any_form_that_means_the_same(form):
    taken = input_checks.image(form(IMAGES[0]), SHAPE, "encode")
    assert isinstance(taken, jax.Array)
    assert taken.dtype == jnp.float32
    np.testing.assert_array_equal(taken, IMAGES[0])


@pytest.mark.parametrize("kind", [np.bool_, np.float16, jnp.bfloat16])
def test_an_image_of_few_bits_is_taken_too(kind):
    x = np.round(IMAGES[0]).astype(kind)
    np.testing.assert_array_equal(input_checks.image(x, SHAPE, "encode"), np.round(IMAGES[0]))


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize(
    "given",
    [
        lambda images: np.moveaxis(images, -1, 1),
        lambda images: images.swapaxes(1, 2),
        lambda images: images.reshape(len(images), -1),
        lambda images: images[..., :1].squeeze(-1),
        lambda images: images,
    ],
)
def test_a_wrong_shape_is_answered_with_what_to_type(given, many):
    """What is typed then gives the images: the advice is run."""
    images = given(IMAGES)
    wanted = IMAGES[..., :1] if images.ndim == 3 else IMAGES
    shape = wanted.shape[1:]
    x = images if many else images[0]
    if x.shape == shape:
        return
    with pytest.raises(ValueError, match=re.escape(f"of shape {shape}, not {x.shape}: ")) as raised:
        input_checks.image(x, shape, "encode")

    class model:
        encode = staticmethod(lambda x: input_checks.image(x, shape, "encode"))

    advice = str(raised.value).split(": ", 1)[1].removesuffix(" takes many images")
    result = eval(advice, {"jax": jax, "jnp": jnp, "model": model, "x": jnp.asarray(x)})
    np.testing.assert_array_equal(result, wanted if many else wanted[0])


@pytest.mark.parametrize(
    ("shape", "advice"),
    [
        ((28, 28), "x[..., None]"),
        ((1, 28, 28), "jnp.moveaxis(x, 0, -1)"),
        ((50, 28, 28), "jax.vmap(lambda x: model.encode(x[..., None]))(x)"),
        ((50, 28, 28, 1), "jax.vmap(model.encode)(x)"),
        ((28, 28, 3), "an image of 1 channel is needed"),
        ((32, 32, 1), 'jax.image.resize(x, (28, 28, 1), "linear")'),
        ((32, 32), "an image of 28 x 28 pixels and 1 channel is needed"),
        ((), "an image of 28 x 28 pixels and 1 channel is needed"),
    ],
)
def test_square_and_gray_images_of_other_shapes_are_answered_too(shape, advice):
    with pytest.raises(ValueError, match=re.escape(advice)):
        input_checks.image(np.zeros(shape, np.float32), (28, 28, 1), "encode")


def test_one_image_under_vmap_is_told_apart():
    take = jax.vmap(lambda x: input_checks.image(x, (28, 28, 1), "encode"))
    with pytest.raises(ValueError, match=r"without jax\.vmap it takes one image"):
        take(jnp.zeros((28, 28, 1)))


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, jax.vmap, lambda f: jax.jit(jax.vmap(f))])
@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (np.uint8, "not uint8: x / 255"),
        (np.int32, "not int32: x / 255"),
        (np.uint16, "not uint16: x / 65535"),
        (np.complex64, "takes floats"),
    ],
)
def test_a_wrong_type_is_refused_also_while_compiling(wrap, dtype, advice):
    with pytest.raises(TypeError, match=advice):
        wrap(lambda x: input_checks.image(x, SHAPE, "encode"))(jnp.asarray(IMAGES, dtype))


@pytest.mark.parametrize("x", ["digit.png", None, {"image": 1}, jax.random.key(0), [[1.0], [1.0, 2.0]]])
def test_what_is_no_array_of_numbers_is_refused(x):
    with pytest.raises(TypeError, match="encode takes"):
        input_checks.image(x, SHAPE, "encode")


@pytest.mark.parametrize(
    ("change", "advice"),
    [
        (lambda x: 255 * x, "x / 255"),
        (lambda x: 65535 * x, "x / 65535"),
        (lambda x: 2 * x - 1, "(x + 1) / 2"),
        (lambda x: (x - 0.45) / 0.22, "jnp.clip"),
        (lambda x: np.where(x > 0.9, np.nan, x), "some are not finite"),
        (lambda x: np.where(x > 0.9, np.inf, x), "some are not finite"),
    ],
)
@pytest.mark.parametrize("given", [jnp.asarray, np.float32, np.float64])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.vmap, lambda f: jax.vmap(jax.grad(lambda x: f(x).sum()))])
@pytest.mark.parametrize("beyond", [0.0, 0.5])
def test_a_wrong_range_is_refused_wherever_the_values_are_known(change, advice, given, wrap, beyond):
    """``jax.vmap`` and ``jax.grad`` outside of compiled functions wrap values that are known, NumPy's too."""
    images = given(change(IMAGES))
    take = wrap(lambda x: input_checks.image(x, SHAPE, "encode", beyond))
    with pytest.raises(ValueError, match=re.escape(advice)):
        take(images[0] if wrap(len) is len else images)


def test_images_of_a_gaussian_likelihood_may_lie_beyond_a_little():
    x = 1.2 * IMAGES[0]
    np.testing.assert_array_equal(input_checks.image(x, SHAPE, "encode", beyond=0.5), x)
    with pytest.raises(ValueError, match=r"jnp\.clip"):
        input_checks.image(x, SHAPE, "encode")
    rounded = IMAGES[0] * np.float32(1 + 1e-6)
    np.testing.assert_array_equal(input_checks.image(rounded, SHAPE, "encode"), rounded)


def test_python_s_own_numbers_become_float32_for_good():
    # JAX calls them weak: together with a bfloat16 they would become one.
    taken = input_checks.image(jnp.full(SHAPE, 0.3), SHAPE, "encode")
    assert (taken + jnp.zeros(SHAPE, jnp.float32)).dtype == jnp.float32
    assert not taken.weak_type


def test_nothing_of_it_is_in_the_program():
    def text(f):
        return str(jax.make_jaxpr(f)(IMAGES[0]))

    assert text(lambda x: input_checks.image(x, SHAPE, "encode") + 1) == text(lambda x: x + 1)
    assert text(lambda x: input_checks.latents(x[0, 0], 3, "decode")) == text(lambda x: x[0, 0])
    assert text(lambda x: input_checks.value(x, SHAPE, in_unit=True)) == text(lambda x: x)


def test_latents_may_be_whole_numbers_but_not_of_another_number():
    np.testing.assert_array_equal(input_checks.latents([0, 1, 2], 3, "decode"), [0, 1, 2])
    for z in (np.zeros(4), np.zeros(()), np.zeros((3, 1))):
        with pytest.raises(ValueError, match=re.escape(f"latents of shape (3,), not {z.shape}")):
            input_checks.latents(z, 3, "decode")
    with pytest.raises(ValueError, match=re.escape("jax.vmap(model.decode)(z)")):
        input_checks.latents(np.zeros((7, 3)), 3, "decode")
    with pytest.raises(TypeError, match="numbers, not Gaussian"):
        input_checks.latents(Gaussian(jnp.zeros(3), jnp.zeros(3)), 3, "decode")


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
        input_checks.one_key(key, "sample")


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
