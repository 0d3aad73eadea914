"""The ladder against plain float64 NumPy, a linear hierarchy with a closed form, and a VAE of one level."""

import dataclasses
import json
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxvae.analysis import ex_post
from jaxvae.analysis.options import Options
from jaxvae.config import (
    ELBO,
    Adam,
    Bernoulli,
    Config,
    Data,
    DiagonalGaussian,
    FullGaussian,
    Gaussian,
    Ladder,
    Likelihood,
    Model,
    VampPrior,
)
from jaxvae.config.validation import validate
from jaxvae.errors import UserError
from jaxvae.models.build import build_vae
from jaxvae.models.distributions import Gaussian as GaussianDistribution
from jaxvae.models.ladder.maps import Bottleneck
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.objectives import ELBOObjective, IWAEObjective, elbo_terms, importance_weighted_bounds
from jaxvae.models.vae import VAE, GradientRoutes, constant
from jaxvae.runs.fit import _refuse_before_loading, fit

SHAPE = (5, 6, 1)
SMALL = Ladder(groups="2x1 3x2", channels=5, blocks=1, bottleneck=0.6)


def make(architecture=SMALL, likelihood: Any = None, shape=SHAPE, latents=2, spread=0.3) -> Any:
    """A model all of whose weights are noise, also those that begin at zero."""
    shapes = untrained(Model(latents, architecture, likelihood or Bernoulli()), shape)
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda leaf: jnp.asarray(spread * rng.normal(size=leaf.shape), leaf.dtype), shapes)


def untrained(model, shape) -> Any:
    """The shapes of a model's arrays: nothing is compiled."""
    mean = jnp.full(shape, 0.5)
    return jax.eval_shape(lambda: build_vae(model, mean, key=jax.random.key(0)))


def image(shape=SHAPE, seed=1):
    return jnp.asarray(np.random.default_rng(seed).integers(0, 2, shape), jnp.float32)


def changed(module, **fields) -> Any:
    """The module with other values of these fields."""
    names = list(fields)
    return eqx.tree_at(
        lambda m: [getattr(m, name) for name in names],
        module,
        [fields[name] for name in names],
        is_leaf=lambda part: part is None,
    )


# --- by hand, in float64 --------------------------------------------------------------------------------


def silu(x):
    return x * special.expit(x)


def convolve(x, kernel):
    """``y[i, j] = sum x[i + a - 1, j + b - 1] kernel[a, b]``, or a product of every pixel with a matrix."""
    kernel = np.asarray(kernel, float)
    if kernel.ndim == 2:
        return np.einsum("ijc,co->ijo", x, kernel)
    height, width, _ = x.shape
    y = np.zeros((height, width, kernel.shape[-1]))
    for i in range(height):
        for j in range(width):
            for a in range(3):
                for b in range(3):
                    if 0 <= i + a - 1 < height and 0 <= j + b - 1 < width:
                        y[i, j] += x[i + a - 1, j + b - 1] @ kernel[a, b]
    return y


def block(network, x):
    for kernel, bias in zip(network.kernels, network.biases, strict=True):
        x = convolve(silu(x), kernel) + np.asarray(bias, float)
    return x


def pool(x):
    """Means of 2x2 pixels; a last row or column that stands alone counts twice."""
    height, width = (-(-side // 2) for side in x.shape[:2])
    y = np.zeros((height, width, x.shape[2]))
    for i in range(height):
        for j in range(width):
            rows, columns = (
                (2 * k, min(2 * k + 1, side - 1)) for k, side in zip((i, j), x.shape, strict=False)
            )
            y[i, j] = np.mean([x[a, b] for a in rows for b in columns], 0)
    return y


def grow(x, height, width):
    return np.array([[x[i // 2, j // 2] for j in range(width)] for i in range(height)])


def by_hand(model, x, latents, aggregate=False):
    """Two sizes of map of a 5x6 image, 3x3 and 2x2, with two groups and one: mean and log-scale of p and of q
    of each group, the lowest first, and the likelihood's logits."""

    def array(a):
        return np.asarray(a, float)

    (stem,) = model.encoder.stem
    h = np.zeros((3, 3, 5))
    for i in range(3):
        for j in range(3):
            for a in range(4):
                for b in range(4):
                    row, column = 2 * i + a - 1, 2 * j + b - 1
                    if 0 <= row < 5 and 0 <= column < 6:
                        h[i, j] += array(stem.kernel)[:, a, b] @ x[row, column]
    h = h + array(stem.bias)
    fine = h + block(model.encoder.blocks[0][0], h)
    coarse = pool(fine)
    coarse = coarse + block(model.encoder.blocks[1][0], coarse)
    found, state, total = [], np.zeros(1), np.zeros(1)
    for i, (group, features) in enumerate(zip(model.groups, (coarse, fine, fine), strict=True)):
        if i == 0:
            state = array(group.start)
        if i == 1:
            state, total = grow(state, 3, 3) + array(group.start), grow(total, 3, 3)
        rest = mean = raw = 0 * state[..., :2]
        if i > 0:
            mean, raw, rest = np.split(block(group.prior, state), [2, 4], -1)
        more, wider = np.split(block(group.posterior, (state + features) / math.sqrt(2)), 2, -1)
        found.append([mean, 5 * np.tanh(raw / 5), mean + more, 5 * np.tanh((raw + wider) / 5)])
        added = array(latents[2 - i]) @ array(group.projection) + array(group.projection_bias)
        total = total + added
        state = state + added + (rest if i > 0 and rest.shape[-1] else 0)
        if aggregate and i == 2:
            state = total
        state = state + block(group.after, state)
    (last,) = model.decoder.convolutions
    doubled = np.zeros((8, 8, 1))
    for i in range(3):
        for j in range(3):
            for a in range(4):
                for b in range(4):
                    doubled[2 * i + a, 2 * j + b] += array(last.kernel)[a, b] @ state[i, j]
    return found[::-1], doubled[1:6, 1:7] + array(last.bias)


@pytest.mark.parametrize("aggregate", [False, True])
def test_a_draw_is_its_densities_in_float64(aggregate):
    model, x = make(dataclasses.replace(SMALL, aggregate=aggregate)), image()

    @jax.jit
    def of(model):
        encoded = model.encode(x)
        draw = model.draw(encoded, key=jax.random.key(3))
        others = [model.log_posterior(features, draw.latents) for features in (encoded, model.encode(1 - x))]
        return draw, model.at(encoded, draw.latents), others

    draw, again, (own, other) = of(model)
    for ours, theirs in zip(*map(jax.tree.leaves, (draw, again)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    assert float(own) == pytest.approx(float(draw.log_posterior), rel=1e-6)
    assert abs(other - own) > 0.01
    assert [z.shape for z in draw.latents] == [(3, 3, 2), (3, 3, 2), (2, 2, 2)]
    x = np.asarray(x, float)
    found, logits = by_hand(model, x, draw.latents, aggregate)
    log_p = [stats.norm.logpdf(z, p[0], np.exp(p[1])).sum() for z, p in zip(draw.latents, found, strict=True)]
    log_q = [stats.norm.logpdf(z, q[2], np.exp(q[3])).sum() for z, q in zip(draw.latents, found, strict=True)]
    assert float(draw.log_prior) == pytest.approx(sum(log_p), rel=1e-4)
    assert float(draw.log_posterior) == pytest.approx(sum(log_q), rel=1e-4)
    each = [
        (0.5 * ((mq - mp) ** 2 + np.exp(2 * sq)) / np.exp(2 * sp) - 0.5 + sp - sq) for mp, sp, mq, sq in found
    ]
    np.testing.assert_allclose(draw.rates, [kl.sum() for kl in each], rtol=1e-4)
    np.testing.assert_allclose(
        draw.latent_rates, np.concatenate([kl.reshape(-1) for kl in each]), rtol=1e-3, atol=1e-5
    )
    log_x = (x * special.log_expit(logits) + (1 - x) * special.log_expit(-logits)).sum()
    assert float(draw.likelihood.log_prob(x)) == pytest.approx(log_x, rel=1e-4)
    for name, column in (("mean", 2), ("log_scale", 3)):
        wanted = np.concatenate([one[column].reshape(-1) for one in found])
        np.testing.assert_allclose(getattr(draw.posterior, name), wanted, rtol=1e-3, atol=1e-4)


# --- a linear hierarchy, whose posterior is known -------------------------------------------------------

NOISE = 0.5


def linear(shift=0.0):
    """x of 2x2 pixels: z2 ~ N(0, 1), z1 ~ N(0.7 z2, exp(-0.4)) of each pixel, x ~ N(0.5 + 0.6 z1, 1/4), and q
    the exact posterior, with means that are wrong by ``shift``.

    Channels 0 and 1 of the state are z2 and -z2, 2 and 3 z1 and -z1: ``relu(a) - relu(-a)`` is a.
    """
    network = Ladder(groups="1x1 2x1", channels=4, blocks=0, bottleneck=1.0, activation="relu")
    shapes = untrained(Model(1, network, Gaussian(sigma=NOISE)), (2, 2, 1))
    model: Any = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    a, s, w = 0.7, -0.2, 0.6
    # p(x|z2) of a pixel is N(0.5 + w a z2, marginal), and q(z2|x) depends on the mean pixel.
    marginal = w**2 * np.exp(2 * s) + NOISE**2
    precision2 = 1 + 4 * (w * a) ** 2 / marginal
    slope2 = 4 * w * a / marginal / precision2
    # q(z1|z2, x): precision-weighted means of a z2 and (x - 0.5) / w.
    precision1 = np.exp(-2 * s) + w**2 / NOISE**2
    slope1 = w / NOISE**2 / precision1
    # The mean is a z2 + slope1 (x - 0.5 - w a z2), of what features x c and the state z2 give together.
    c = -1 / (w * a)

    def odd(entries, n_in, n_out):
        """A matrix on pairs: output row of +, so that ``act(x) @ matrix`` is linear in x."""
        matrix = np.zeros((n_in, n_out))
        for i, o, value in entries:
            matrix[i, o], matrix[i + 1, o] = value, -value
        return jnp.asarray(matrix, jnp.float32)

    keep = odd([(0, 0, 1.0), (0, 1, -1.0)], 4, 4)

    def network_of(entries, bias, outputs):
        return (keep, keep, keep, odd(entries, 4, outputs)), (jnp.zeros(4),) * 3 + (jnp.asarray(bias),)

    def put(part, entries, bias):
        kernels, biases = network_of(entries, np.asarray(bias, np.float32), len(bias))
        return changed(part, kernels=kernels, biases=biases)

    def silent(part):
        return jax.tree.map(jnp.zeros_like, part)

    def raw(log_scale):
        return 5 * math.atanh(log_scale / 5)

    root = math.sqrt(2)
    s2, s1 = -0.5 * math.log(precision2), -0.5 * math.log(precision1)
    first = np.zeros((3, 3, 1, 4), np.float32)
    first[1, 1, 0] = [c, -c, 0, 0]
    encoder = changed(
        model.encoder,
        first=jnp.asarray(first),
        first_bias=jnp.asarray([-0.5 * c, 0.5 * c, 0, 0], jnp.float32),
    )
    top, below = model.groups
    top = changed(
        top,
        posterior=put(top.posterior, [(0, 0, slope2 / c * root)], [shift, raw(s2)]),
        projection=jnp.asarray([[1.0, -1.0, 0, 0]]),
        after=silent(top.after),
    )
    below = changed(
        below,
        prior=put(below.prior, [(0, 0, a)], [0.0, raw(s), 0, 0, 0, 0]),
        posterior=put(below.posterior, [(0, 0, -slope1 * w * a * root)], [-shift, raw(s1) - raw(s)]),
        projection=jnp.asarray([[0, 0, 1.0, -1.0]]),
        after=silent(below.after),
    )
    last = np.zeros((3, 3, 4, 1), np.float32)
    last[1, 1, 2:, 0] = [w / 2, -w / 2]
    decoder = changed(model.decoder, last=jnp.asarray(last), last_bias=jnp.full((2, 2, 1), 0.5))
    model = changed(
        model,
        encoder=encoder,
        groups=(top, below),
        decoder=decoder,
        likelihood=GaussianLikelihood(sigma=NOISE),
    )
    covariance = (w * a) ** 2 + marginal * np.eye(4)
    return model, lambda x: stats.multivariate_normal.logpdf(np.ravel(x), np.full(4, 0.5), covariance)


def test_a_linear_hierarchy_has_its_closed_form_with_any_number_of_draws():
    x = jnp.asarray(np.random.default_rng(4).uniform(size=(2, 2, 1)), jnp.float32)
    model, log_likelihood = linear()

    @jax.jit
    def of_draws(model, keys):
        encoded = model.encode(x)

        def one(key):
            draw = model.draw(encoded, key=key)
            log_x = draw.likelihood.log_prob(x)
            return draw.log_weight(log_x), log_x - draw.rates.sum(), draw.rates

        return jax.vmap(one)(keys)

    # q is the posterior: every draw has the weight p(x), and the ELBO with rates in closed form has its mean.
    weights, elbos, rates = of_draws(model, jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(weights, log_likelihood(x), rtol=2e-6)
    assert abs(elbos.mean() - log_likelihood(x)) < 4 * elbos.std() / math.sqrt(4000)
    # The upper rate is the same in each draw, and that of one latent; the lower depends on it.
    assert rates[:, 1].std() < 1e-6 < 1e-2 < rates[:, 0].std()
    other, _ = linear(shift=0.3)
    _, elbos, _ = of_draws(other, jax.random.split(jax.random.key(0), 4000))
    bounds = jax.jit(lambda key: importance_weighted_bounds(other, x, key, 20_000))(jax.random.key(1))
    assert log_likelihood(x) - elbos.mean() > 0.3
    assert float(bounds.importance_weighted) == pytest.approx(log_likelihood(x), abs=0.02)
    assert bounds.terms.rates.shape == (2,)


def gradients(objective, model, x, count, seed=0):
    def loss(model, key):
        terms = objective.example(model, x, key=key)
        return objective.batch(jax.tree.map(lambda a: a[None], terms), jnp.int32(0), "none")

    return jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(
        model, jax.random.split(jax.random.key(seed), count)
    )


def some(found):
    """Gradients of weights of q alone, of p alone, and of both."""
    top, below = found.groups
    parts = {
        "q": [found.encoder.first_bias, top.posterior.biases[-1], below.posterior.biases[-1]],
        "p": [found.decoder.last_bias],
        "both": [below.prior.biases[-1][:, :2], below.start, top.projection],
    }
    return {
        name: np.concatenate([np.asarray(a, float).reshape(len(a), -1) for a in each], 1)
        for name, each in parts.items()
    }


@pytest.mark.parametrize(
    "objective",
    [
        ELBOObjective(gradient="stl"),
        pytest.param(IWAEObjective(3, gradient="dreg"), marks=pytest.mark.slow),
        pytest.param(ELBOObjective(), marks=pytest.mark.slow),
    ],
    ids=["stl", "dreg", "standard"],
)
def test_at_the_posterior_the_gradient_of_q_vanishes_in_every_draw(objective):
    x = jnp.asarray(np.random.default_rng(4).uniform(size=(2, 2, 1)), jnp.float32)
    model, _ = linear()
    found = some(gradients(objective, model, x, 5))
    assert np.abs(found["both"]).max() > 0.1
    if objective.gradient == "standard":
        assert np.abs(found["q"]).max() > 0.1
    else:
        assert np.abs(found["q"]).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("standard", "path"),
    [
        (ELBOObjective(), ELBOObjective(gradient="stl")),
        (IWAEObjective(4), IWAEObjective(4, gradient="dreg")),
    ],
    ids=["stl", "dreg"],
)
def test_other_gradients_have_the_standard_ones_mean_and_less_noise(standard, path):
    """Also of the weights that p and q share."""
    x = jnp.asarray(np.random.default_rng(4).uniform(size=(2, 2, 1)), jnp.float32)
    model, _ = linear(shift=0.3)
    first, second = (
        some(gradients(objective, model, x, 30_000, seed)) for seed, objective in enumerate((standard, path))
    )
    for name in first:
        error = np.sqrt((first[name].var(0) + second[name].var(0)) / 30_000)
        assert np.all(np.abs(first[name].mean(0) - second[name].mean(0)) < 4.5 * error + 1e-6), name
    assert second["q"].var(0).sum() < first["q"].var(0).sum()


def test_routes_keep_gradients_to_the_weights_of_one_density():
    """Numerically: log q(z|x) of fixed latents moves with q's weights and with those that it shares with p,
    unless they stand still; log p(z) the same."""
    shape = (2, 2, 1)
    model = make(Ladder(groups="1x1 2x1", channels=2, blocks=0), shape=shape, latents=1, spread=0.5)
    x = image(shape)

    def densities(model, routes):
        draw = model.routed_draw(model.encode(x), key=jax.random.key(3), routes=routes)
        return draw.log_posterior, draw.log_prior

    fixed = GradientRoutes(latents=constant)
    no_q, no_p = fixed._replace(posterior=constant), fixed._replace(generative=constant)

    @jax.jit
    def slopes(model):
        return [jax.jacrev(densities)(model, routes) for routes in (fixed, no_q, no_p)]

    (of_q, of_p), (still_q, same_p), (same_q, still_p) = slopes(model)
    for moved, same, still in ((of_q, same_q, still_q), (of_p, same_p, still_p)):
        for a, b, c in zip(*map(jax.tree.leaves, (moved, same, still)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)
            assert not np.any(c)
    # The priors' weights are in both.
    for slope in (of_q, of_p):
        assert np.abs(slope.groups[1].prior.biases[-1]).max() > 1e-3
    assert not np.any(of_p.groups[1].posterior.biases[-1])


# --- one level, and any image ---------------------------------------------------------------------------


def test_one_group_of_one_pixel_is_a_vae():
    class Encoder(eqx.Module):
        ladder: Any

        def __call__(self, x):
            (features,) = self.ladder.encoder(x)
            group = self.ladder.groups[0]
            found = group.posterior((group.start + features) * math.sqrt(0.5)).reshape(-1)
            return GaussianDistribution(found[:3], 5 * jnp.tanh(found[3:] / 5))

    class Decoder(eqx.Module):
        ladder: Any

        def __call__(self, z):
            group = self.ladder.groups[0]
            state = group.start + (z @ group.projection + group.projection_bias)[None, None]
            return self.ladder.decoder(state + group.after(state))

    ladder = make(Ladder(groups="1x1", channels=4), shape=(4, 3, 1), latents=3)
    plain: Any = VAE(Encoder(ladder), Decoder(ladder), ladder.likelihood, 3, (4, 3, 1))
    x = image((4, 3, 1))

    @jax.jit
    def both(ladder, plain):
        key = jax.random.key(5)
        return (
            elbo_terms(ladder, x, jax.random.wrap_key_data(jax.random.key_data(key))),
            elbo_terms(plain, x, jax.random.fold_in(key, 0)),
            (ladder.reconstruct(x), plain.reconstruct(x)),
            ladder.latent_rates(ladder.encode(x), key=jax.random.key(6)),
        )

    ours, theirs, images, rates = both(ladder, plain)
    for name in ("rates", "distortion", "latent_rates"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(*images, rtol=1e-6)
    assert rates.kind == "closed"


@pytest.mark.parametrize(
    "shape", [(9, 5, 3), *(pytest.param(shape, marks=pytest.mark.slow) for shape in ((7, 5, 1), (1, 6, 1)))]
)
def test_only_the_image_is_scored_whatever_its_sides(shape):
    """The density is that of the image's own pixels, and depends on each of them alone."""
    sides = {7: "1x1 4x1", 9: "5x1 9x1", 6: "2x1 6x1"}[max(shape)]
    model = make(Ladder(groups=sides, channels=3, blocks=1), shape=shape)
    x = image(shape)
    draw, slopes = jax.jit(
        lambda bias: (drawn(model, bias), jax.grad(lambda b: drawn(model, b).likelihood.log_prob(x))(bias))
    )(bias_of(model))
    assert draw.likelihood.mean.shape == shape
    p = np.clip(np.asarray(draw.likelihood.mean, float), 1e-7, 1 - 1e-7)
    pixels = np.asarray(x, float)
    expected = (pixels * np.log(p) + (1 - pixels) * np.log1p(-p)).sum()
    assert float(draw.likelihood.log_prob(x)) == pytest.approx(expected, rel=1e-3)
    # d log p / d logit of every pixel, of no other.
    np.testing.assert_allclose(slopes, pixels - p, atol=1e-4)


def bias_of(model):
    return model.decoder.convolutions[-1].bias if model.decoder.sizes else model.decoder.last_bias


def drawn(model, bias):
    model = eqx.tree_at(bias_of, model, bias)
    return model.at(model.encode(jnp.zeros(model.image_shape)), model.prior_draw(key=jax.random.key(0))[0])


@pytest.mark.slow
def test_it_begins_with_q_at_p_and_n01_and_the_likelihoods_first_outputs():
    network = dataclasses.replace(SMALL, groups="3x2", blocks=0)

    @jax.jit
    def first():
        model = build_vae(Model(2, network), jnp.full(SHAPE, 0.3), key=jax.random.key(0))
        return model, model.draw(model.encode(image()), key=jax.random.key(1))

    model, draw = first()
    np.testing.assert_allclose(draw.rates, 0, atol=1e-7)
    np.testing.assert_allclose(draw.posterior.mean, 0, atol=1e-7)
    np.testing.assert_allclose(draw.posterior.log_scale, 0, atol=1e-7)
    np.testing.assert_allclose(bias_of(model), special.logit(0.3), rtol=1e-5)
    # What is added to the state begins with 1/L of the variance of one group's alone.
    for added in (model.groups[0].projection, model.groups[1].after.kernels[-1]):
        bound = math.sqrt(6 / sum(added.shape) / 2)
        assert 0.6 * bound < np.abs(added).max() <= bound


# --- samples and reconstructions ------------------------------------------------------------------------


@pytest.mark.slow
def test_samples_share_the_groups_that_are_given_and_reconstructions_are_of_as_many():
    model, x = make(), image()

    @jax.jit
    def all_of(model):
        drawn, likelihood = model.prior_draw(key=jax.random.key(0))
        again = model.generate(key=jax.random.key(0))
        others = [
            jax.vmap(lambda key, k=k: model.prior_draw(key=key, above=drawn[3 - k :]))(
                jax.random.split(jax.random.key(1), 3)
            )
            for k in (1, 2, 3)
        ]
        still = jax.vmap(lambda key: model.prior_draw(key=key, temperature=0.0)[0])(
            jax.random.split(jax.random.key(2), 2)
        )
        pictures = [model.reconstruct(x, top=k) for k in (0, 1, 2, 3)]
        return drawn, likelihood, again, others, still, pictures, model.reconstruct(x)

    drawn, likelihood, again, others, still, pictures, whole = all_of(model)
    np.testing.assert_array_equal(likelihood.mean, again.mean)
    for k, (latents, given) in enumerate(others, 1):
        for number, (z, each) in enumerate(zip(drawn, latents, strict=True)):
            if number >= 3 - k:
                np.testing.assert_array_equal(each, np.broadcast_to(z, each.shape))
            else:
                assert np.all(each.std(0) > 1e-3)
        if k == 3:
            np.testing.assert_allclose(
                given.mean, np.broadcast_to(likelihood.mean, given.mean.shape), rtol=1e-5
            )
    for z in still:
        np.testing.assert_array_equal(z[0], z[1])
    np.testing.assert_array_equal(pictures[3], whole)
    # By hand: means of q down to the top k groups, of p below.
    for top, picture in enumerate(pictures):
        latents = [np.zeros((3, 3, 2)), np.zeros((3, 3, 2)), np.zeros((2, 2, 2))]
        for number in (2, 1, 0):
            found, _ = by_hand(model, x, latents)
            latents[number] = found[number][2 if number >= 3 - top else 0]
        np.testing.assert_allclose(
            picture, special.expit(by_hand(model, x, latents)[1]), rtol=1e-3, atol=1e-5
        )
    with pytest.raises(ValueError, match=r"1 uppermost groups have the shapes \[\(2, 2, 2\)\], not \[\(3, 3"):
        model.generate(key=jax.random.key(0), above=drawn[:1])
    with pytest.raises(ValueError, match="top 0 to 3 groups, not 4"):
        model.reconstruct(x, top=4)


@pytest.mark.slow
def test_latents_are_drawn_from_their_densities():
    """Posteriors and priors, standardised, by a Kolmogorov-Smirnov test."""
    model, x = make(), image()
    keys = jax.random.split(jax.random.key(0), 300)

    @jax.jit
    def noise(model):
        encoded = model.encode(x)

        def one(key):
            draw = model.draw(encoded, key=key)
            flat = jnp.concatenate([z.reshape(-1) for z in draw.latents])
            latents, _ = model.prior_draw(key=key)
            levels, _ = model._descend(None, lambda number, p, q: latents[number])
            p = [((level.latents - level.prior.mean) / jnp.exp(level.prior.log_scale)) for level in levels]
            return (flat - draw.posterior.mean) / jnp.exp(draw.posterior.log_scale), jnp.concatenate(
                [z.reshape(-1) for z in p]
            )

        return jax.vmap(one)(keys)

    for found in noise(model):
        assert stats.kstest(np.asarray(found, float).reshape(-1), "norm").pvalue > 0.01
        correlation = np.corrcoef(np.asarray(found, float).T) - np.eye(found.shape[1])
        assert np.abs(correlation).max() < 0.3


@pytest.mark.slow
def test_in_bfloat16_networks_compute_and_all_that_they_say_is_float32():
    model = make().in_precision("bfloat16")
    x = image()
    assert {leaf.dtype.name for leaf in jax.tree.leaves((model.groups, model.encoder))} == {"bfloat16"}
    draw = jax.jit(lambda model: model.draw(model.encode(x), key=jax.random.key(3)))(model)
    assert {leaf.dtype.name for leaf in jax.tree.leaves(draw)} == {"float32"}
    exact = jax.jit(lambda model: model.draw(model.encode(x), key=jax.random.key(3)))(make())
    np.testing.assert_allclose(draw.rates, exact.rates, rtol=0.15)


# --- what cannot work -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ("7x4 14y4", "14y4 is not SIDExCOUNT, such as 7x2"),
        ("7", "7 is not SIDExCOUNT"),
        ("7x0", "7x0 has a count below 1"),
        ("0x2", "0x2 has a side below 1"),
        ("7x2 14x1 7x1", "side 7 stands twice; 7x3 is all of its groups"),
        ("7x300", "these are 300 groups, and there may be 256"),
    ],
)
def test_groups_that_say_nothing_are_answered(groups, said):
    with pytest.raises(UserError, match=said) as caught:
        validate(Config(model=Model(2, Ladder(groups=groups))))
    assert str(caught.value).startswith(f"--model.architecture.groups {groups!r} cannot work: ")


def test_groups_come_from_coarse_to_fine_in_whatever_order_they_are_named():
    assert Ladder(groups="14x1 7x2  28x1").sizes() == ((7, 2), (14, 1), (28, 1))


def test_a_side_that_halving_does_not_give_is_answered():
    with pytest.raises(
        UserError, match=r"28 x 20 pixels has a side of 13; the sides are 28, 14, 7, 4, 2, 1$"
    ):
        build_vae(Model(2, Ladder(groups="7x1 13x1")), jnp.zeros((28, 20, 1)), key=jax.random.key(0))


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            Model(2, SMALL, posterior=FullGaussian()),
            "--model.posterior full cannot work: --model.architecture",
        ),
        (Model(2, SMALL, prior=VampPrior()), r"vamp cannot work: .* ladder has a p\(z\) of its own"),
    ],
)
def test_densities_of_another_kind_are_refused(model, said):
    with pytest.raises(UserError, match=said):
        validate(Config(model=model))
    validate(Config(model=dataclasses.replace(model, posterior=DiagonalGaussian(), prior=Model().prior)))


def test_its_prior_is_not_replaced_after_training():
    with pytest.raises(UserError, match="--ex_post mixture cannot work: --model"):
        ex_post.refuse(Options(ex_post="mixture"), Config(model=Model(2, SMALL)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", Likelihood.kinds().values(), ids=lambda kind: kind.kind)
def test_every_likelihood_of_colours_has_a_finite_elbo_and_gradient(kind):
    shape = (5, 6, 3)
    model = make(dataclasses.replace(SMALL, aggregate=True), kind(), shape)

    def elbo(model):
        return elbo_terms(model, image(shape), jax.random.key(0)).elbo

    value, slopes = jax.jit(jax.value_and_grad(elbo))(model)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(slope)) for slope in jax.tree.leaves(slopes))
    # Every weight matters, but for what a fixed sigma leaves.
    parts = (slopes.encoder, slopes.groups, slopes.decoder)
    assert all(np.any(slope) for slope in jax.tree.leaves(parts))


def test_no_side_is_refused_before_the_images_are_known():
    """Only once their size is, or is asked for."""
    own = Config(data=Data(name="images.npy"), model=Model(2, SMALL))
    _refuse_before_loading(own, jax.devices()[:1])
    with pytest.raises(UserError, match=r"8 x 8 pixels has a side of 3; the sides are 8, 4, 2, 1"):
        _refuse_before_loading(
            dataclasses.replace(own, data=Data(name="images.npy", image_size=8)), jax.devices()[:1]
        )


# --- runs -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_it_trains_alike_on_two_devices_and_after_a_break(tmp_path, small_config):
    """Also with free bits of each group and a moving average."""
    model = Model(1, Ladder(groups="7x1 14x1", channels=4, blocks=1))
    losses, elbos = [], {}
    for name, devices, parts in (("whole", 1, (8,)), ("broken", 1, (4, 8)), ("two", 2, (8,))):
        for steps in parts:
            short = {"steps": 8, "eval_every": 4, "checkpoint_every": 4, "devices": devices, "log_every": 1}
            config = dataclasses.replace(
                small_config,
                model=model,
                objective=ELBO(free_bits=0.5, free_bits_per="level"),
                train=dataclasses.replace(small_config.train, **short),
                optimizer=Adam(learning_rate=0.01, warmup_steps=0, schedule="constant", ema_decay=0.9),
            )
            config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
            elbos[name] = fit(config, tmp_path / name)["test"]["elbo"]
        lines = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        losses.append([line["loss"] for line in lines if "loss" in line])
    assert losses[0] == losses[1]
    assert elbos["whole"] == elbos["broken"]
    np.testing.assert_allclose(losses[0], losses[2], rtol=1e-4)


@pytest.mark.slow
def test_rematerialised_blocks_keep_less_for_the_same_gradient():
    def kept(architecture):
        """Numbers that stay in memory from the loss to its gradient."""
        model = untrained(Model(2, architecture, Bernoulli()), SHAPE)

        def pull(model, x):
            return jax.vjp(lambda m: elbo_terms(m, x, jax.random.key(0)).elbo, model)[1]

        residuals = jax.tree.leaves(jax.eval_shape(pull, model, image()))
        weights = jax.tree.leaves(model)
        return sum(leaf.size for leaf in residuals) - sum(leaf.size for leaf in weights)

    assert kept(dataclasses.replace(SMALL, rematerialise=True)) < 0.7 * kept(SMALL)
    widths, x = (4, 3, 2), jnp.asarray(np.random.default_rng(0).normal(size=(3, 3, 4)), jnp.float32)
    found = []
    for again in (False, True):
        block = Bottleneck(widths, (3, 3), "silu", 1.0, rematerialise=again, key=jax.random.key(1))
        found.append(jax.grad(lambda b, x: jnp.sum(jnp.sin(b(x))), (0, 1))(block, x))
    for ours, theirs in zip(*map(jax.tree.leaves, found), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)
