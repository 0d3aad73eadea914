"""STL and DReG: their mean, their noise, and which parameters stand still."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.errors import UserError
from jaxvae.models.distributions import Gaussian, StandardNormal
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.objectives import (
    AbstractBoundObjective,
    AbstractObjective,
    CIWAEObjective,
    ELBOObjective,
    IWAEObjective,
    MIWAEObjective,
    PIWAEObjective,
    elbo_terms,
)
from jaxvae.models.objectives.importance_weighted import log_mean_exp, several_draws
from jaxvae.models.vae import VAE, AbstractVAE, Draw, GradientRoutes, constant

SHAPE, SIGMA = (2, 1, 1), 0.8
WEIGHT = np.array([1.2, -0.5])
VARIANCE = 1 / (1 + WEIGHT @ WEIGHT / SIGMA**2)
X = np.array([0.9, 0.4])
MEAN = VARIANCE * (WEIGHT @ X) / SIGMA**2
"""p(z|x) = N(MEAN, VARIANCE) under z ~ N(0, 1), x|z ~ N(WEIGHT z, SIGMA^2 I)."""
COVARIANCE = np.outer(WEIGHT, WEIGHT) + SIGMA**2 * np.eye(2)
LOG_P = -0.5 * (X @ np.linalg.solve(COVARIANCE, X) + np.linalg.slogdet(2 * np.pi * COVARIANCE)[1])


class Encoder(eqx.Module):
    """q(z|x) is the same for every image: there is one."""

    mean: jax.Array
    log_scale: jax.Array

    def __call__(self, x):
        return Gaussian(self.mean, self.log_scale)


class Decoder(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return (self.weight * z).reshape(SHAPE)


def linear(shift=0.0, widen=0.0):
    """The model, whose q(z|x) is off by ``shift`` standard deviations, and wider by the factor exp(widen)."""
    encoder = Encoder(
        jnp.asarray([MEAN + shift * np.sqrt(VARIANCE)], jnp.float32),
        jnp.asarray([0.5 * np.log(VARIANCE) + widen], jnp.float32),
    )
    decoder = Decoder(jnp.asarray(WEIGHT, jnp.float32))
    return VAE(encoder, decoder, GaussianLikelihood(SIGMA), 1, SHAPE)


def gradients(objective, model, count, x=None, seed=0):
    """The loss and the gradient of each of ``count`` draws of the objective."""
    x = jnp.asarray(X.reshape(SHAPE), jnp.float32) if x is None else x

    def loss(model, key):
        terms = objective.example(model, x, key=key)
        return objective.batch(jax.tree.map(lambda term: term[None], terms), jnp.int32(0), "device")

    keys = jax.random.split(jax.random.key(seed), count)
    losses, slopes = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(model, keys)
    return np.asarray(losses, float), jax.tree.map(lambda leaf: np.asarray(leaf, float), slopes)


def of_encoder(slopes):
    return np.concatenate([slopes.encoder.mean, slopes.encoder.log_scale], axis=1)


def differ_by(first, second):
    """The difference of two means, in its standard errors."""
    error = np.sqrt(first.var(0) / len(first) + second.var(0) / len(second))
    return np.abs(first.mean(0) - second.mean(0)) / error


class StickingIWAE(AbstractBoundObjective):
    """What STL would be with several draws."""

    samples: int = eqx.field(static=True)

    def example(self, model, x, *, key):
        routes = GradientRoutes(posterior=constant)
        drawn = several_draws(model, model.encode(x), x, key, self.samples, routes=routes)
        return drawn.terms._replace(bound=log_mean_exp(drawn.log_weights))


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_dreg_has_the_mean_of_the_bounds_gradient_and_less_noise(alpha):
    model = linear(shift=0.7, widen=0.3)
    standard = gradients(IWAEObjective(5, alpha=alpha), model, 100_000)
    dreg = gradients(IWAEObjective(5, "dreg", alpha), model, 100_000, seed=1)
    assert (differ_by(of_encoder(standard[1]), of_encoder(dreg[1])) < 4).all()
    assert (of_encoder(dreg[1]).var(0) < 0.6 * of_encoder(standard[1]).var(0)).all()
    assert (np.abs(of_encoder(dreg[1]).mean(0)) > 30 * of_encoder(dreg[1]).std(0) / 100_000**0.5).all()
    assert differ_by(standard[0], dreg[0]) < 4
    same, ordinary = (gradients(IWAEObjective(5, how, alpha), model, 100) for how in ("dreg", "standard"))
    np.testing.assert_allclose(same[0], ordinary[0], rtol=1e-6)
    np.testing.assert_allclose(same[1].decoder.weight, ordinary[1].decoder.weight, rtol=1e-4, atol=1e-5)


def test_stl_with_several_draws_has_another_mean_and_is_refused():
    model = linear(shift=0.7, widen=0.3)
    standard = of_encoder(gradients(IWAEObjective(5), model, 100_000)[1])
    sticking = of_encoder(gradients(StickingIWAE(5), model, 100_000, seed=1)[1])
    assert (differ_by(standard, sticking) > 20).all()
    with pytest.raises(ValueError, match="stl is biased with 5 samples"):
        IWAEObjective(5, "stl")
    one = of_encoder(gradients(IWAEObjective(1, "stl"), model, 100_000)[1])
    elbo = of_encoder(gradients(ELBOObjective(), model, 100_000, seed=1)[1])
    assert (differ_by(one, elbo) < 4).all()


PATHS = [
    (ELBOObjective(gradient="stl"), ELBOObjective()),
    (IWAEObjective(1, "stl"), IWAEObjective(1)),
    (IWAEObjective(5, "dreg"), IWAEObjective(5)),
    (MIWAEObjective(2, 3, "dreg"), MIWAEObjective(2, 3)),
]
"""Objectives whose gradient goes through the draws alone, and the same with their whole gradient."""


@pytest.mark.parametrize(("objective", "whole"), PATHS)
def test_at_the_exact_posterior_the_paths_gradient_is_zero_for_every_draw(objective, whole):
    losses, slopes = gradients(objective, linear(), 1000)
    assert np.abs(of_encoder(slopes)).max() < 5e-6
    np.testing.assert_allclose(losses, -LOG_P, rtol=2e-6)
    assert np.abs(of_encoder(gradients(whole, linear(), 1000)[1])).max() > 0.5


def test_the_bound_nears_log_p_as_one_over_k():
    # The relative variance of a weight is exp(shift^2) - 1, as q has the posterior's variance.
    shift = 0.6
    cv2 = np.exp(shift**2) - 1
    for samples in (8, 32):
        losses, _ = gradients(IWAEObjective(samples), linear(shift), 100_000)
        error = losses.std() / len(losses) ** 0.5
        assert abs(losses.mean() + LOG_P - cv2 / (2 * samples)) < 4 * error + (cv2 / samples) ** 2
        assert cv2 / (2 * samples) > 8 * error


@pytest.mark.slow
def test_objectives_that_theory_calls_equal_are_equal():
    model = linear(shift=0.4, widen=-0.2)

    def same(first, second, rtol=2e-5):
        ours, theirs = gradients(first, model, 50), gradients(second, model, 50)
        np.testing.assert_allclose(ours[0], theirs[0], rtol=rtol)
        for one, other in zip(*map(jax.tree.leaves, (ours[1], theirs[1])), strict=True):
            np.testing.assert_allclose(one, other, rtol=100 * rtol, atol=rtol)

    class MonteCarlo(AbstractBoundObjective):
        """The ELBO with the rate of the draw."""

        count: int = eqx.field(static=True)

        def example(self, model, x, *, key):
            terms = []
            for k in range(self.count):
                draw = model.draw(model.encode(x), key=jax.random.fold_in(key, k))
                terms.append(draw.log_weight(draw.likelihood.log_prob(x)))
            return elbo_terms(model, x, key)._replace(bound=sum(terms) / self.count)

    class First(AbstractObjective):
        """The ELBO of the first of the draws of other objectives."""

        def example(self, model, x, *, key):
            return elbo_terms(model, x, jax.random.fold_in(key, 0))

        def batch(self, terms, step, axis_name):
            return -jnp.mean(terms.elbo)

    same(IWAEObjective(1), MonteCarlo(1))
    same(IWAEObjective(1, "dreg"), IWAEObjective(1, "stl"))
    same(MIWAEObjective(1, 6), IWAEObjective(6))
    same(MIWAEObjective(1, 6, "dreg"), IWAEObjective(6, "dreg"))
    same(MIWAEObjective(6, 1), MonteCarlo(6))
    same(PIWAEObjective(1, 6), IWAEObjective(6))
    same(CIWAEObjective(1, beta=1.0), First())
    same(CIWAEObjective(6, beta=0.0), IWAEObjective(6))
    same(IWAEObjective(6, alpha=0.999), MonteCarlo(6), rtol=2e-3)
    same(IWAEObjective(6, at_once=4), IWAEObjective(6))
    three, many = gradients(IWAEObjective(3), model, 50), gradients(PIWAEObjective(2, 3), model, 50)
    assert not np.allclose(three[0], many[0], rtol=1e-3)


class TwoLayers(AbstractVAE):
    """z1 ~ q(z1|x) = N(m, exp(2 s)), z2 ~ q(z2|z1) = N(c z1, exp(2 t)); p: z2 ~ N(0, 1), z1 ~ N(w z2, 1), x
    ~ N(z1, 1/4)."""

    m: jax.Array
    s: jax.Array
    c: jax.Array
    t: jax.Array
    w: jax.Array
    image_shape: tuple = eqx.field(static=True, default=(1, 1, 1))
    freezes: str = eqx.field(static=True, default="parameters")

    @property
    def support(self):
        return "real"

    def encode(self, x):
        return Gaussian(self.m[None], self.s[None])

    def above(self, z1):
        return Gaussian(self.c * z1, self.t[None])

    def draw(self, encoded, *, key):
        return self.routed_draw(encoded, key=key, routes=GradientRoutes())

    def routed_draw(self, encoded, *, key, routes):
        drawn1 = encoded.sample(jax.random.fold_in(key, 0))
        drawn2 = self.above(drawn1).sample(jax.random.fold_in(key, 1))
        z1, z2 = routes.latents((drawn1, drawn2))
        q1, q2 = routes.posterior(encoded), routes.posterior(self).above(z1)
        if self.freezes == "distribution":
            q2 = routes.posterior(self.above(z1))
        p = routes.generative(self)
        log_posterior = q1.log_prob(z1) + q2.log_prob(z2)
        log_prior = StandardNormal((1,)).log_prob(z2) + Gaussian(p.w * z2, jnp.zeros(1)).log_prob(z1)
        likelihood = Gaussian(z1.reshape(1, 1, 1), jnp.log(jnp.asarray(0.5)))
        return Draw((z1, z2), log_prior, log_posterior, (log_posterior - log_prior)[None], likelihood, None)

    def generate(self, *, key, temperature=1.0):
        raise NotImplementedError

    def reconstruct(self, x):
        return x


def test_of_two_layers_the_weights_stand_still_and_not_the_distribution():
    m, s, c, t, w = (jnp.asarray(value, jnp.float32) for value in (-0.2, -0.6, 2.0, 0.2, 0.3))
    model, careless = (
        TwoLayers(m=m, s=s, c=c, t=t, w=w, freezes=what) for what in ("parameters", "distribution")
    )
    x = jnp.full((1, 1, 1), -0.4)

    def slopes(objective, model, seed):
        _, found = gradients(objective, model, 100_000, x, seed)
        return np.stack([found.m, found.s, found.c, found.t], 1)

    standard = slopes(IWAEObjective(4), model, 0)
    dreg = slopes(IWAEObjective(4, "dreg"), model, 1)
    assert (differ_by(standard, dreg) < 4).all()
    assert (dreg.var(0) < 0.5 * standard.var(0)).all()
    wrong = slopes(IWAEObjective(4, "dreg"), careless, 1)
    # The first layer's mean then gets a gradient of the wrong sign: about -0.11, not 0.16.
    assert (differ_by(standard, wrong)[:2] > 15).all()
    assert wrong.mean(0)[0] < -0.08 < 0.13 < standard.mean(0)[0]
    # With one draw both are right.
    one = slopes(IWAEObjective(1), model, 0)
    for either in (model, careless):
        path = slopes(IWAEObjective(1, "stl"), either, 1)
        assert (differ_by(one, path) < 4).all()
    piwae = gradients(PIWAEObjective(2, 3), model, 50, x)[1]
    of_q, of_p = (
        gradients(MIWAEObjective(2, 3), model, 50, x)[1],
        gradients(IWAEObjective(6), model, 50, x)[1],
    )
    np.testing.assert_allclose(piwae.w, of_p.w, rtol=1e-4, atol=1e-5)
    for name in ("m", "s", "c", "t"):
        np.testing.assert_allclose(getattr(piwae, name), getattr(of_q, name), rtol=1e-4, atol=1e-5)


def test_a_model_that_cannot_keep_gradients_to_routes_is_refused():
    whole = linear()

    class Plain(VAE):
        """Draws in a way of its own."""

        def draw(self, encoded, *, key):
            return super().draw(encoded, key=key)

    class Careless(VAE):
        """Takes no notice of the routes."""

        def routed_draw(self, encoded, *, key, routes):
            return self.draw(encoded, key=key)

    kinds: list[Any] = [Plain, Careless]
    plain, careless = (
        kind(whole.encoder, whole.decoder, whole.likelihood, 1, SHAPE, whole.prior) for kind in kinds
    )
    gradients(IWAEObjective(2), plain, 2)
    for objective in (*(path for path, _ in PATHS), PIWAEObjective(2, 2)):
        with pytest.raises(
            UserError, match="this objective cannot work: Plain does not say how its gradients"
        ):
            gradients(objective, plain, 2)
    with pytest.raises(UserError, match=r"routed_draw of Careless leaves out routes\.latents"):
        gradients(IWAEObjective(2, "dreg"), careless, 2)
