"""What is every contender given, and what must it be able to do?"""

import dataclasses
import importlib
from typing import Any, NamedTuple, Protocol

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from jaxvae.config import MLP, Conv, Model
from jaxvae.config.fields import Precision

LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
"""Adam's, the same for all, and those that ``jaxvae.config.Optimizer`` begins with."""

Array = Any
"""Of NumPy, or of JAX once a rival has made it one."""


class Weights(NamedTuple):
    """Initial weights of an encoder or a decoder, as jaxvae lays them out, whatever a rival makes of them."""

    convolutions: list[tuple[Array, Array]]
    """(4 x 4 x channels on the image's side x channels on the other side, bias), in the order of use; the
    bias of the decoder's last is of each pixel."""
    dense: list[tuple[Array, Array]]
    """(output x input, bias), in the order of use."""


@dataclasses.dataclass(frozen=True)
class Setting:
    """One measurement: the same model, images, batches and initial weights for everybody."""

    model: Model
    batch_size: int
    precision: Precision
    images: UInt8[np.ndarray, "example height width channel"]
    encoder: Weights
    decoder: Weights
    platform: str = "cpu"

    @property
    def activation(self) -> str:
        """Non-linearity of the hidden layers."""
        assert isinstance(self.model.architecture, MLP | Conv)
        return self.model.architecture.activation

    """Where to run, in JAX's words: cpu, gpu or tpu. A rival that JAX does not place goes there by itself."""

    @property
    def epoch(self) -> int:
        """How many whole batches the images make."""
        return len(self.images) // self.batch_size


class Contender(Protocol):
    """Somebody's training of that model: dynamic binarisation, one draw of z, the exact KL, Adam."""

    longest_call: int
    """At most this many steps are asked of ``train`` at once."""

    def train(self, steps: int) -> None:
        """Takes so many steps on batches, binarisation and noise of its own drawing.

        May return before the device is done. Asked for the same number of steps, it does not compile anew.
        """
        ...

    def wait(self) -> None:
        """Returns when the device is done."""
        ...

    def losses(
        self,
        x: Float32[np.ndarray, "step batch pixel"],
        noise: Float32[np.ndarray, "step batch latent"],
    ) -> list[float]:
        """Takes a step on each of the given binarised batches, with the given noise in z, by the same code
        that ``train`` runs; the loss before each, in nats per image."""
        ...


class Unavailable(Exception):
    """Why a rival cannot run here."""


class Rival(NamedTuple):
    """Where a contender is found."""

    module: str
    """In ``benchmarks.rival``."""
    name: str
    """Of the class there, which is made from a Setting."""
    package: str | None
    """What must be installed, beside jaxvae itself."""

    def build(self, setting: Setting) -> Contender:
        """Ready to train; raises Unavailable."""
        module: Any = importlib.import_module(f"benchmarks.rival.{self.module}")
        return getattr(module, self.name)(setting)


OURS = Rival("ours", "Ours", None)
RIVALS = {
    "torch-eager": Rival("torch_training", "Eager", "torch"),
    "torch-compile": Rival("torch_training", "Compiled", "torch"),
    "torch-cudagraphs": Rival("torch_training", "CudaGraphs", "torch"),
    "numpyro": Rival("numpyro_svi", "NumPyro", "numpyro"),
    "flax": Rival("flax_linen", "Flax", "flax"),
    "pythae": Rival("pythae_trainer", "Pythae", "pythae"),
    "jax-scan": Rival("jax_by_hand", "Scan", None),
    "jax-loop": Rival("jax_by_hand", "Loop", None),
}
"""By the name on the command line."""


class Order:
    """The images in a random order, epoch after epoch, without those that do not fill a batch."""

    def __init__(self, setting: Setting):
        self._setting, self._random = setting, np.random.default_rng(0)
        self._left = np.empty((0, setting.batch_size), np.int32)

    def take(self, steps: int) -> Int32[np.ndarray, "step batch"]:
        """The numbers of the images in the next batches."""
        while len(self._left) < steps:
            epoch = self._random.permutation(len(self._setting.images)).astype(np.int32)
            size = self._setting.batch_size
            self._left = np.concatenate([self._left, epoch[: self._setting.epoch * size].reshape(-1, size)])
        taken, self._left = self._left[:steps], self._left[steps:]
        return taken
