"""How does jaxvae itself take part, and which weights does it start from?"""

import dataclasses

import jax
import numpy as np
from jaxtyping import UInt8

from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Setting, Weights
from benchmarks.tables import device_name
from jaxvae.config import Adam, Config, Train
from jaxvae.models.vae import VAE, AbstractVAE
from jaxvae.runs.run import untrained_state
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import choose_devices, replicate


def make_setting(
    config: Config, images: UInt8[np.ndarray, "example height width channel"], model: AbstractVAE
) -> Setting:
    """What everybody is given: the images and batches of an experiment, and the weights to start from."""
    assert isinstance(model, VAE)
    parts = []
    # The others' kernels all end with the channels of the smaller image; our encoder's begin with them.
    for part, outer in ((model.encoder, 0), (model.decoder, -1)):
        convolutions = [
            (np.moveaxis(np.asarray(one.kernel), outer, -1), np.asarray(one.bias))
            for one in getattr(part, "convolutions", ())
        ]
        parts.append(Weights(convolutions, [_arrays(layer) for layer in part.mlp.layers]))
    return Setting(config.model, config.train.batch_size, config.train.precision, images, *parts)


def _arrays(layer) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(layer.matrix), np.asarray(layer.bias)


class Ours:
    """The trainer's own calls on one device, in which also the gradient is clipped and every step checked.

    It has no ``losses``: its noise is its own.
    """

    def __init__(self, setting: Setting):
        train = Train(batch_size=setting.batch_size, precision=setting.precision, devices=1)
        # The run is longer than any measurement, and has one line of metrics.
        train = dataclasses.replace(train, steps=10**6, log_every=10**6)
        optimizer = Adam(learning_rate=LEARNING_RATE, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
        self._config = Config(model=setting.model, optimizer=optimizer, train=train)
        self.longest_call = train.steps_per_call
        self._images, self._devices = setting.images, choose_devices(1)
        self._state = replicate(untrained_state(self._config, self._images), self._devices)
        self._calls: dict[int, TrainCall] = {}
        self._step, self._report = 0, None
        self.whereabouts = {
            "platform": self._devices[0].platform,
            "device": device_name(self._devices[0]),
        }

    def train(self, steps: int) -> None:
        """As the trainer's loop does, it looks at a call's report after it has started the next."""
        if steps not in self._calls:
            self._calls[steps] = TrainCall(self._config, self._images, self._devices, self._state, steps)
        self._state, report = self._calls[steps](self._state, self._step)
        self._step += steps
        previous, self._report = self._report, report
        if previous is not None:
            jax.device_get(previous)

    def wait(self) -> None:
        """Returns when the device is done."""
        jax.block_until_ready((self._state, self._report))
