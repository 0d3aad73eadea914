"""How much do the images vary in each direction? The eigenvalues of their covariance, of a sample of them.

With a Gaussian likelihood of fixed sigma they say how many latents a linear model can use: those whose
eigenvalue is above sigma^2 (Tipping and Bishop 1999; Lucas et al. 2019, arXiv 1911.02469).
"""

import math

import numpy as np
from jaxtyping import Float

from jaxvae.config import ELBO, Config, Data, Gaussian
from jaxvae.data.memory_map import Images, gather

SAMPLED = 4_000
"""At most so many images, evenly spaced."""
SAMPLED_LARGE = 500
"""Of large images at most so many."""
BYTES = 2**27
"""And no more than fill this many bytes, in float64; two at least."""
DIRECT = 1024
"""With more pixels than this, only the images of the sample are compared with each other."""


def principal_variances(images: Images, data: Data) -> Float[np.ndarray, " direction"]:
    """The eigenvalues of the covariance of the pixels as the model sees them, the largest first.

    Those of images of more than 1,024 pixels are of fewer images than pixels, without the noise of
    binarisation or dequantisation, whose variance is added to each instead.
    """
    size = math.prod(images.shape[1:])
    most = max(2, BYTES // (8 * size))
    count = min(len(images), SAMPLED if size <= DIRECT else SAMPLED_LARGE, most)
    some = gather(images, np.linspace(0, len(images) - 1, count).astype(np.int64)).reshape(count, size)
    x = some.astype(np.float64)
    noise = np.zeros(size)
    if data.binarization == "threshold":
        x = (some > 127).astype(np.float64)
    elif data.dequantization == "uniform":
        # (pixel + u) / 256 with u uniform in [0, 1).
        x, noise = x / 256, np.full(size, 1 / (12 * 256**2))
    else:
        x = x / 255
        if data.binarization != "none":
            # The variance of a Bernoulli draw, given its probability.
            noise = (x * (1 - x)).mean(0)
    x = x - x.mean(0)
    if size <= DIRECT:
        found = np.linalg.eigvalsh(x.T @ x / count + np.diag(noise))
    else:
        found = np.linalg.eigvalsh(x @ x.T / count) + noise.mean()
    return np.maximum(found[::-1], 0)


def usable_latents(config: Config, images: Images) -> dict | None:
    """For a Gaussian likelihood of fixed sigma: ``threshold``, beta sigma^2; ``largest``, the largest
    eigenvalue; and ``usable``, how many latents a linear model could use. None for other likelihoods."""
    likelihood = config.model.likelihood
    if config.code.file is not None or not isinstance(likelihood, Gaussian) or likelihood.learn_sigma:
        return None
    beta = config.objective.beta if isinstance(config.objective, ELBO) else 1.0
    threshold = beta * likelihood.sigma**2
    variances = principal_variances(images, config.data)
    usable = min(int((variances > threshold).sum()), config.model.latent_dim)
    return {"threshold": threshold, "largest": float(variances[0]), "usable": usable}
