"""What are the encoder and the decoder in plain JAX, on whole batches?"""

import jax
import jax.numpy as jnp

from benchmarks.rival.setting import Setting, Weights

ACTIVATIONS = {"relu": jax.nn.relu, "gelu": jax.nn.gelu}
LOG_SCALE_BOUND = 8.0


class Networks:
    """The functions that weights make. Convolutions are the native ones."""

    def __init__(self, setting: Setting):
        self._activation = ACTIVATIONS[setting.activation]
        self._dtype = jnp.dtype(setting.precision)
        self._image = setting.images.shape[1:]
        convolutions = len(setting.encoder.convolutions)
        height, width, _ = self._image
        channels = setting.encoder.convolutions[-1][0].shape[-1] if convolutions else 0
        self._smallest = (height // 2**convolutions, width // 2**convolutions, channels)

    def encode(self, weights: Weights, x):
        """Mean and bounded log-scale, each [batch, latent], of images [batch, pixel]."""
        weights, x = self._low(weights), x.astype(self._dtype)
        if weights.convolutions:
            x = x.reshape(-1, *self._image)
            for kernel, bias in weights.convolutions:
                x = jax.lax.conv_general_dilated(
                    x, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC")
                )
                x = self._activation(x + bias)
            x = x.reshape(len(x), -1)
        mean, raw = jnp.split(self._dense(weights, x).astype(jnp.float32), 2, axis=1)
        return mean, LOG_SCALE_BOUND * jnp.tanh(raw / LOG_SCALE_BOUND)

    def decode(self, weights: Weights, z):
        """Logits [batch, pixel] of latents [batch, latent]."""
        weights = self._low(weights)
        x = self._dense(weights, z.astype(self._dtype))
        if weights.convolutions:
            x = x.reshape(-1, *self._smallest)
            for kernel, bias in weights.convolutions:
                x = jax.lax.conv_transpose(
                    self._activation(x), kernel, (2, 2), "SAME", transpose_kernel=True,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )  # fmt: skip
                x = x + bias
            x = x.reshape(len(x), -1)
        return x.astype(jnp.float32)

    def _low(self, weights: Weights) -> Weights:
        return jax.tree.map(lambda w: w.astype(self._dtype), weights)

    def _dense(self, weights: Weights, x):
        for matrix, bias in weights.dense[:-1]:
            x = self._activation(x @ matrix.T + bias)
        matrix, bias = weights.dense[-1]
        return x @ matrix.T + bias
