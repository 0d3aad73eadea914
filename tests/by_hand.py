"""A run written out in float64 NumPy, from the formulas alone: what is right, computed another way.

Nothing of the package is called. Its configuration is read, and its modules are looked into for their arrays.
The one thing that is taken from JAX is the generator of the initial weights.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import special

STREAMS = {
    name: number
    for number, name in enumerate(
        "weights posterior binarization static test_binarization test_posterior pictures dequantization "
        "flips validation_binarization validation_posterior".split()
    )
}
"""The streams of random numbers, as every run so far has numbered them."""


# --- random numbers: Threefry-2x32, 20 rounds -------------------------------------------------------------


def threefry(key, counter):
    """The two words that the generator gives for a key of two words and a counter of two words."""
    mask = 2**32 - 1
    schedule = (*key, key[0] ^ key[1] ^ 0x1BD11BDA)
    left, right = (counter[0] + schedule[0]) & mask, (counter[1] + schedule[1]) & mask
    for rounds in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[rounds % 2]:
            left = (left + right) & mask
            right = ((right << rotation) | (right >> (32 - rotation))) & mask
            right ^= left
        left = (left + schedule[(rounds + 1) % 3]) & mask
        right = (right + schedule[(rounds + 2) % 3] + rounds + 1) & mask
    return left, right


def fold_in(key, *numbers):
    """The key folded with one number after the other."""
    for number in numbers:
        key = threefry(key, (0, int(number)))
    return key


def as_jax(keys):
    """Keys, each of two words, as JAX has them."""
    return jax.random.wrap_key_data(jnp.asarray(np.array(keys, np.uint32)), impl="threefry2x32")


def stream(seed, name):
    return fold_in((0, seed), STREAMS[name])


def words(key, count):
    """So many random words: the first of every block, then the second of every block."""
    blocks = [threefry(key, (block, 0)) for block in range(-(-count // 2))]
    return np.array([*(first for first, _ in blocks), *(second for _, second in blocks)][:count], np.uint32)


def normal(key, count):
    """The standard normal quantiles at the middles of 2^23 equal parts of (0, 1)."""
    return special.ndtri(((words(key, count) >> 9).astype(np.float64) + 0.5) / 2**23)


# --- images -----------------------------------------------------------------------------------------------


def order(seed, start, count, size):
    """Position p is the image whose random number has rank p mod size in its epoch's row of them."""
    rows = {}
    for epoch in range(start // size, (start + count) // size + 1):
        rows[epoch] = np.argsort(np.random.Philox(key=[seed, epoch]).random_raw(size), kind="stable")
    return np.array([rows[p // size][p % size] for p in range(start, start + count)])


def as_seen(pixels, key, data):
    """One image as the model sees it."""
    flat = pixels.reshape(-1).astype(np.int64)
    if data.dequantization == "uniform":
        halves = words(key, -(-flat.size // 2)).view(np.uint16)[: flat.size]
        x = (flat + halves / 65536) / 256
    elif data.binarization == "none":
        x = flat / 255
    elif data.binarization == "threshold":
        x = (flat > 127).astype(float)
    else:
        drawn = words(key, -(-flat.size // 4) + 1)
        r, d = drawn[1:].view(np.uint8)[: flat.size].astype(np.int64), int(drawn[0] % 255)
        # 65280 equal steps, of which pixel / 255 are below 256 pixel.
        x = (255 * r + d < 256 * flat).astype(float)
    return x.reshape(pixels.shape)


def seen_in_step(config, images, step):
    """What one step sees: every image of its batch, the noise of each, and which images they are."""
    batch, data = config.train.batch_size, config.data
    which = order(config.seed, step * batch, batch, len(images))
    x, noise = [], []
    for position, index in enumerate(which):
        if data.dequantization == "uniform":
            key = fold_in(stream(config.seed, "dequantization"), step, position)
        elif data.binarization == "static":
            key = fold_in(stream(config.seed, "static"), index)
        else:
            key = fold_in(stream(config.seed, "binarization"), step, position)
        image = as_seen(images[index], key, data)
        flip = words(fold_in(stream(config.seed, "flips"), step, position), 1)[0] >= 2**31
        x.append(image[:, ::-1] if data.horizontal_flips and flip else image)
        noise.append(
            normal(fold_in(stream(config.seed, "posterior"), step, position), config.model.latent_dim)
        )
    return np.array(x), np.array(noise), which


def scored_images(config, images, split="test"):
    """Test and validation images are drawn once, by their index, and never mirrored."""
    root = stream(config.seed, f"{split}_binarization")
    return np.array([as_seen(image, fold_in(root, i), config.data) for i, image in enumerate(images)])


# --- the model; its arrays may be complex, whose imaginary parts are then derivatives -----------------------

ACTIVATIONS = {
    "relu": lambda x: x * (x.real > 0),
    "tanh": np.tanh,
    "silu": lambda x: x / (1 + np.exp(-x)),
    # Hendrycks and Gimpel 2016, the approximation by tanh.
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
}


def glorot(key, shape, fan_in, fan_out):
    bound = math.sqrt(6 / (fan_in + fan_out))
    return np.asarray(jax.random.uniform(key, shape, minval=-bound, maxval=bound))


def initial_weights(config, image_shape):
    """The weights of an MLP's encoder and of its decoder, outputs first, layer by layer."""
    key = as_jax(stream(config.seed, "weights"))
    pixels, (hidden, latents) = (
        math.prod(image_shape),
        (config.model.architecture.hidden, config.model.latent_dim),
    )
    found = []
    for widths, half in zip(
        ((pixels, *hidden, 2 * latents), (latents, *reversed(hidden), pixels)),
        jax.random.split(key),
        strict=True,
    ):
        keys = jax.random.split(half, len(widths) - 1)
        sizes = list(zip(widths[1:], widths[:-1], strict=True))
        found.append([glorot(k, size, *size) for k, size in zip(keys, sizes, strict=True)])
    return found


def mlp(network, h, activation):
    for i, layer in enumerate(network.layers):
        h = h if i == 0 else activation(h)
        h = h @ (layer.weight if i == 0 else layer.weight.T) + layer.bias
    return h


def halve(x, kernel):
    """A 4x4 convolution of stride 2 of images of even sides, with zeros around them."""
    count, height, width, _ = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y = np.zeros((count, height // 2, width // 2, len(kernel)), np.result_type(x, kernel))
    for i in range(height // 2):
        for j in range(width // 2):
            y[:, i, j] = np.einsum("nabc,oabc->no", padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4], kernel)
    return y


def double(y, kernel):
    """Its transposition: every pixel paints a 4x4 patch, and patches are added up."""
    count, height, width, _ = y.shape
    x = np.zeros((count, 2 * height + 2, 2 * width + 2, kernel.shape[2]), np.result_type(y, kernel))
    for i in range(height):
        for j in range(width):
            x[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("no,abco->nabc", y[:, i, j], kernel)
    return x[:, 1:-1, 1:-1]


def posterior(config, model, x):
    """Means and log-scales of q(z|x)."""
    activation = ACTIVATIONS[config.model.architecture.activation]
    if config.model.architecture.kind == "conv":
        for layer in model.encoder.convolutions:
            # Sides are made even at their ends.
            x = np.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
            x = activation(halve(x, layer.kernel) + layer.bias)
    both = mlp(model.encoder.mlp, x.reshape(len(x), -1), activation)
    return both[:, : config.model.latent_dim], 8 * np.tanh(both[:, config.model.latent_dim :] / 8)


def decoded(config, model, z, image_shape):
    """The decoder's output: logits, means, or all numbers of a mixture's components."""
    activation = ACTIVATIONS[config.model.architecture.activation]
    h = mlp(model.decoder.mlp, z, activation)
    if config.model.architecture.kind == "mlp":
        return h.reshape(len(z), *image_shape[:2], -1)
    sides, sizes = image_shape[:2], [image_shape[:2]]
    for _ in config.model.architecture.channels:
        sides = (math.ceil(sides[0] / 2), math.ceil(sides[1] / 2))
        sizes.append(sides)
    h = h.reshape(len(z), *sizes.pop(), config.model.architecture.channels[-1])
    for layer in model.decoder.convolutions:
        height, width = sizes.pop()
        h = double(activation(h), layer.kernel)[:, :height, :width] + layer.bias
    return h


def log_likelihood(config, model, x, output):
    """log p(x|z) of each image, given the decoder's output."""
    if config.model.likelihood.kind == "logistic_mixture":
        log_probs = log_mixture(np.round(255 * x).astype(int), output, config.model.likelihood.components)
    elif config.model.likelihood.kind == "bernoulli":
        log_probs = -x * np.log(1 + np.exp(-output)) - (1 - x) * np.log(1 + np.exp(output))
    else:
        log_sigma = 8 * np.tanh(model.likelihood.raw_log_sigma / 8)
        log_probs = -0.5 * ((x - output) / np.exp(log_sigma)) ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)
    return log_probs.reshape(len(x), -1).sum(1)


def log_mixture(levels, output, components):
    """log p of every pixel in RGB, from differences of the logistic distribution function."""
    rows = output.reshape(*output.shape[:3], 10, components)
    weights = special.log_softmax(rows[..., 0, :], -1)
    means, scales = rows[..., 1:4, :], np.exp(8 * np.tanh(rows[..., 4:7, :] / 8))
    c0, c1, c2 = np.moveaxis(np.tanh(rows[..., 7:10, :]), -2, 0)
    r, g, _ = np.moveaxis(2 * levels[..., None] / 255 - 1, -2, 0)
    means = means + np.stack([0 * r * c0, c0 * r, c1 * r + c2 * g], -2)
    level = levels[..., None]
    high = np.where(level == 255, 1, special.expit(((2 * level - 254) / 255 - means) / scales))
    low = np.where(level == 0, 0, special.expit(((2 * level - 256) / 255 - means) / scales))
    return np.logaddexp.reduce(weights + np.log(high - low).sum(-2), axis=-1)


def rate_and_distortion(config, model, x, noise):
    """Of each image, with one draw of its latents."""
    mean, log_scale = posterior(config, model, x)
    output = decoded(config, model, mean + np.exp(log_scale) * noise, x.shape[1:])
    rate = 0.5 * (mean**2 + np.exp(2 * log_scale) - 1 - 2 * log_scale).sum(1)
    return rate, -log_likelihood(config, model, x, output)


def in_float64(tree) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def gradient(function, tree) -> Any:
    """Of a real analytic function of real arrays, one number at a time, by a step into the complex plane."""
    leaves, structure = jax.tree.flatten(tree)
    found = []
    for number, leaf in enumerate(leaves):
        slopes = np.zeros(leaf.shape)
        for at in np.ndindex(leaf.shape):
            moved = np.array(leaf, complex)
            moved[at] += 1e-30j
            changed = [moved if n == number else other for n, other in enumerate(leaves)]
            slopes[at] = function(jax.tree.unflatten(structure, changed)).imag / 1e-30
        found.append(slopes)
    return jax.tree.unflatten(structure, found)


# --- training ---------------------------------------------------------------------------------------------


class Run:
    """Training from ``model`` on ``images``, one ``step()`` after the other."""

    def __init__(self, config, model, images):
        self.config, self.images, self.t = config, images, 0
        self.model = in_float64(model)
        self.average = self.model
        self.mean = self.square = jax.tree.map(np.zeros_like, self.model)
        self.steps = []
        """Rate, distortion, loss, learning rate and norm of the gradient of every step so far."""
        self.gradients = []
        """Of every step so far, before they are clipped."""

    def step(self):
        config, adam, t = self.config, self.config.optimizer, self.t
        x, noise, _ = seen_in_step(config, self.images, t)
        warm_up = config.objective.beta_warmup_steps
        beta = config.objective.beta * (min(1, (t + 1) / warm_up) if warm_up else 1)

        def loss(model):
            rate, distortion = rate_and_distortion(config, model, x, noise)
            return (distortion + beta * rate).mean()

        grads = gradient(loss, self.model)
        if config.model.likelihood.kind == "gaussian" and not config.model.likelihood.learn_sigma:
            grads.likelihood.raw_log_sigma[...] = 0
        self.gradients.append(grads)
        norm = math.sqrt(sum((leaf**2).sum() for leaf in jax.tree.leaves(grads)))
        if adam.clip_norm is not None and norm > adam.clip_norm:
            grads = jax.tree.map(lambda g: g * adam.clip_norm / norm, grads)
        rate = adam.learning_rate * (min(1, (t + 1) / adam.warmup_steps) if adam.warmup_steps else 1)
        if adam.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * t / config.train.steps))
        rates, distortions = rate_and_distortion(config, self.model, x, noise)
        self.steps.append((rates.mean(), distortions.mean(), loss(self.model), rate, norm))
        self.mean = jax.tree.map(lambda m, g: adam.beta1 * m + (1 - adam.beta1) * g, self.mean, grads)
        self.square = jax.tree.map(lambda v, g: adam.beta2 * v + (1 - adam.beta2) * g**2, self.square, grads)

        def update(w, m, v):
            unbiased = m / (1 - adam.beta1 ** (t + 1)), v / (1 - adam.beta2 ** (t + 1))
            return w - rate * unbiased[0] / (np.sqrt(unbiased[1]) + adam.epsilon)

        self.model = jax.tree.map(update, self.model, self.mean, self.square)
        if adam.ema_decay is not None:
            decay = min(adam.ema_decay, (1 + t) / (10 + t))
            self.average = jax.tree.map(lambda a, w: decay * a + (1 - decay) * w, self.average, self.model)
        else:
            self.average = self.model
        self.t += 1


# --- evaluation -------------------------------------------------------------------------------------------


def evaluate(config, model, images, samples, split="test"):
    """Every number that an evaluation reports, of these images."""
    model, latents = in_float64(model), config.model.latent_dim
    x, root = scored_images(config, images, split), stream(config.seed, f"{split}_posterior")
    mean, log_scale = posterior(config, model, x)
    rate = 0.5 * (mean**2 + np.exp(2 * log_scale) - 1 - 2 * log_scale).sum(1)
    log_weights, log_likelihoods = [], []
    for k in range(samples):
        noise = np.array([normal(fold_in(root, i, k), latents) for i in range(len(images))])
        z = mean + np.exp(log_scale) * noise
        log_p = log_likelihood(config, model, x, decoded(config, model, z, x.shape[1:]))
        log_ratio = (-0.5 * z**2 + 0.5 * noise**2 + log_scale).sum(1)
        log_likelihoods.append(log_p)
        log_weights.append(log_p + log_ratio)
    distortion = -np.mean(log_likelihoods, axis=0)
    bound = np.asarray(special.logsumexp(log_weights, axis=0)) - math.log(samples)
    elbo = -(rate + distortion)
    weights = np.exp(np.array(log_weights) - np.max(log_weights, axis=0))
    variation = weights.var(0) / weights.mean(0) ** 2
    count, root_count = len(images), math.sqrt(len(images))
    bits = 8 if config.data.dequantization == "uniform" else 0
    return {
        "elbo": elbo.mean(),
        "elbo_stderr": elbo.std(ddof=1) / root_count,
        "rate": rate.mean(),
        "distortion": distortion.mean(),
        "nll": -bound.mean(),
        "nll_stderr": bound.std(ddof=1) / root_count,
        "nll_bias": (variation / (2 * samples)).mean(),
        "nll_draw_stderr": math.sqrt((variation / samples).mean()) / root_count,
        "effective_samples": (weights.sum(0) ** 2 / (weights**2).sum(0)).mean(),
        "gap": (bound - elbo).mean(),
        "gap_stderr": (bound - elbo).std(ddof=1) / root_count,
        "active_units": int((mean.var(0) > 0.01).sum()),
        "bits_per_dim": -bound.mean() / math.prod(images.shape[1:]) / math.log(2) + bits,
        "importance_samples": samples,
        "examples": count,
    }


def shown(config, model, z, image_shape):
    """The mean of p(x|z), as pictures show it."""
    output = decoded(config, in_float64(model), z, image_shape)
    return 1 / (1 + np.exp(-output)) if config.model.likelihood.kind == "bernoulli" else output
