"""How fast is Flax, with a compiled step called from a loop in Python?"""

# pyright: reportMissingImports=false

from functools import partial

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax.training.train_state import TrainState

from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Order, Setting

ACTIVATIONS = {"relu": nn.relu, "gelu": nn.gelu}
LOG_SCALE_BOUND = 8.0


class Encoder(nn.Module):
    """Mean and bounded log-scale of q(z|x), from one last layer."""

    setting: Setting

    @nn.compact
    def __call__(self, x):
        """From [batch, pixel]; both results are [batch, latent]."""
        weights, dtype = self.setting.encoder, jnp.dtype(self.setting.precision)
        activation = ACTIVATIONS[self.setting.activation]
        if weights.convolutions:
            x = x.reshape(-1, *self.setting.images.shape[1:])
            for _, bias in weights.convolutions:
                x = activation(nn.Conv(len(bias), (4, 4), strides=2, padding=1, dtype=dtype)(x))
            x = x.reshape(len(x), -1)
        x = _dense(weights, activation, dtype, x)
        mean, raw = jnp.split(x.astype(jnp.float32), 2, axis=1)
        return mean, LOG_SCALE_BOUND * jnp.tanh(raw / LOG_SCALE_BOUND)


class Decoder(nn.Module):
    """Logits of the pixels."""

    setting: Setting

    @nn.compact
    def __call__(self, z):
        """From [batch, latent] to [batch, pixel]."""
        weights, dtype = self.setting.decoder, jnp.dtype(self.setting.precision)
        activation = ACTIVATIONS[self.setting.activation]
        x = _dense(weights, activation, dtype, z)
        if weights.convolutions:
            height, width, _ = self.setting.images.shape[1:]
            halved = 2 ** len(weights.convolutions)
            x = x.reshape(len(x), height // halved, width // halved, -1)
            for kernel, bias in weights.convolutions:
                convolution = nn.ConvTranspose(
                    kernel.shape[2], (4, 4), strides=(2, 2), transpose_kernel=True,
                    use_bias=bias.ndim == 1, dtype=dtype,
                )  # fmt: skip
                x = convolution(activation(x))
            x = x + self.param("bias", nn.initializers.zeros, self.setting.images.shape[1:])
        return x.reshape(len(x), -1).astype(jnp.float32)


def _dense(weights, activation, dtype, x):
    for _, bias in weights.dense[:-1]:
        x = activation(nn.Dense(len(bias), dtype=dtype)(x))
    return nn.Dense(len(weights.dense[-1][1]), dtype=dtype)(x)


class VAE(nn.Module):
    """Logits, mean and log-scale, with the noise in z given."""

    setting: Setting

    def setup(self):
        """Makes both networks."""
        self.encoder, self.decoder = Encoder(self.setting), Decoder(self.setting)

    def __call__(self, x, noise):
        """Of [batch, pixel] and [batch, latent]."""
        mean, log_scale = self.encoder(x)
        return self.decoder(mean + jnp.exp(log_scale) * noise), mean, log_scale


def parameters(setting: Setting) -> dict:
    """The initial weights under the names that Linen gives."""
    made: dict[str, dict] = {}
    for name, weights, kind in (
        ("encoder", setting.encoder, "Conv"),
        ("decoder", setting.decoder, "ConvTranspose"),
    ):
        part: dict = {
            f"Dense_{i}": {"kernel": matrix.T, "bias": bias} for i, (matrix, bias) in enumerate(weights.dense)
        }
        for i, (kernel, bias) in enumerate(weights.convolutions):
            of_pixels = bias.ndim > 1
            part[f"{kind}_{i}"] = {"kernel": kernel} if of_pixels else {"kernel": kernel, "bias": bias}
            if of_pixels:
                part["bias"] = bias
        made[name] = part
    return jax.tree.map(jnp.array, made)


class Flax:
    """As Flax's own example of a VAE, which is in Linen, but the images, the order of an epoch and the noise
    are on the device, and the state's memory is reused."""

    def __init__(self, setting: Setting):
        self.longest_call = setting.epoch
        self._setting, self._order = setting, Order(setting)
        self._images = jnp.asarray(setting.images.reshape(len(setting.images), -1))
        self._state = TrainState.create(
            apply_fn=VAE(setting).apply,
            params=parameters(setting),
            tx=optax.adam(LEARNING_RATE, b1=BETA1, b2=BETA2, eps=EPSILON),
        )
        self._train = jax.jit(self._train_step, donate_argnums=0)
        self._given = jax.jit(self._update)
        self._rows, self._taken = jnp.empty((0, 0), jnp.int32), 0

    def train(self, steps: int) -> None:
        """One call after the other."""
        for _ in range(steps):
            if self._taken % self._setting.epoch == 0:
                self._rows = jnp.asarray(self._order.take(self._setting.epoch))
            self._state = self._train(self._state, self._images, self._rows)
            self._taken += 1

    def wait(self) -> None:
        """Returns when the device is done."""
        jax.block_until_ready(self._state.params)

    def losses(self, x, noise) -> list[float]:
        """Of given batches and noise."""
        found = []
        for given in zip(x, noise, strict=True):
            self._state, loss = self._given(self._state, *given)
            found.append(float(loss))
        return found

    def _train_step(self, state, images, rows):
        key_x, key_z = jax.random.split(jax.random.fold_in(jax.random.key(0), state.step))
        pixels = images[rows[state.step % len(rows)]].astype(jnp.float32) / 255
        x = jax.random.bernoulli(key_x, pixels).astype(jnp.float32)
        noise = jax.random.normal(key_z, (len(x), self._setting.model.latent_dim))
        return self._update(state, x, noise)[0]

    def _update(self, state, x, noise):
        loss, gradients = jax.value_and_grad(partial(self._loss, state, x, noise))(state.params)
        return state.apply_gradients(grads=gradients), loss

    def _loss(self, state, x, noise, params):
        logits, mean, log_scale = state.apply_fn({"params": params}, x, noise)
        distortion = optax.sigmoid_binary_cross_entropy(logits, x).sum(axis=1)
        rate = 0.5 * (mean**2 + jnp.exp(2 * log_scale) - 1 - 2 * log_scale).sum(axis=1)
        return (distortion + rate).mean()
