"""A linear-Gaussian model, z ~ N(0, I) and x|z ~ N(W z + b, sigma^2 I), with all that is known of it in
closed form, in float64 NumPy. The encoder is linear too, and off by as much as one likes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.models.distributions import Gaussian
from jaxvae.models.likelihoods import GaussianLikelihood
from jaxvae.models.posteriors.full_gaussian import FullGaussian
from jaxvae.models.vae import VAE

SHAPE, SIGMA = (3, 1, 1), 0.6
W = np.array([[1.0, 0.9], [-0.4, 0.3], [0.5, 0.6]])
B = np.array([0.2, -0.1, 0.4])
X = np.array([0.9, 0.4, -0.3])

PRECISION = np.eye(2) + W.T @ W / SIGMA**2
"""Of p(z|x), whatever x is."""
POSTERIOR = np.linalg.inv(PRECISION)
GAIN = POSTERIOR @ W.T / SIGMA**2
"""p(z|x) has the mean GAIN (x - B)."""
MARGINAL = W @ W.T + SIGMA**2 * np.eye(3)
BEST_DIAGONAL = 1 / np.diag(PRECISION)
"""Variances of the diagonal Gaussian that is nearest to p(z|x) by KL[q || p]."""
DIAGONAL_GAP = 0.5 * (np.log(np.diag(PRECISION)).sum() - np.linalg.slogdet(PRECISION)[1])
"""Its KL."""


def log_p(x):
    """log p(x) of rows of pixels."""
    centred = np.asarray(x, np.float64).reshape(-1, 3) - B
    mahalanobis = np.einsum("ni,ij,nj->n", centred, np.linalg.inv(MARGINAL), centred)
    return -0.5 * (mahalanobis + np.linalg.slogdet(2 * np.pi * MARGINAL)[1])


def kl(mean, covariance, x=X):
    """KL[N(mean, covariance) || p(z|x)]."""
    off = mean - GAIN @ (x - B)
    terms = np.trace(PRECISION @ covariance) + off @ PRECISION @ off - 2
    return 0.5 * (terms - np.linalg.slogdet(PRECISION)[1] - np.linalg.slogdet(covariance)[1])


class Encoder(eqx.Module):
    gain: jax.Array
    shift: jax.Array
    log_scale: jax.Array
    full: bool = eqx.field(static=True)

    def __call__(self, x):
        # Of this image, not the encoder's own arrays.
        log_scale = self.log_scale + 0.0
        mean = self.gain @ (x.reshape(-1) - jnp.asarray(B, jnp.float32)) + self.shift
        if self.full:
            return FullGaussian(mean, log_scale, jnp.zeros((2, 2)))
        return Gaussian(mean, log_scale)


class Decoder(eqx.Module):
    weight: jax.Array

    def __call__(self, z):
        return (self.weight @ z + jnp.asarray(B, jnp.float32)).reshape(SHAPE)


SHIFT, VARIANCES = np.array([0.3, -0.2]), np.array([0.4, 0.2])
"""How far the encoder's mean is off, and its variances, unless it is told otherwise."""


def model(shift=SHIFT, variances=VARIANCES, full=False):
    gain, shift, log_scale, weight = (
        jnp.asarray(value, jnp.float32) for value in (GAIN, shift, 0.5 * np.log(variances), W)
    )
    return VAE(Encoder(gain, shift, log_scale, full), Decoder(weight), GaussianLikelihood(SIGMA), 2, SHAPE)


def image():
    return jnp.asarray(X.reshape(SHAPE), jnp.float32)
