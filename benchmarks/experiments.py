"""Which models do the benchmarks measure, and what does a step of them cost?"""

import dataclasses
import itertools
import math
import re
import runpy
from pathlib import Path

from jaxvae.config import MLP, Config, Conv, Ladder, Model, Train
from jaxvae.config.fields import Precision

CONFIGS = Path(__file__).parents[1] / "configs"
MODELS = ("mlp", "mnist", "conv")
"""mlp: 784-400-20-400-784 with ReLU. mnist and conv: the models of configs/mnist.py and mnist_conv.py."""
EVERY_MODEL = (*MODELS, "ladder")
"""ladder: the model of configs/hvae_small.py, whose products no formula here counts."""


def experiment(name: str, batch_size: int, precision: Precision = "float32") -> Config:
    """The configuration to measure: one of ``EVERY_MODEL``, trained as its config says, logging nothing."""
    if name == "mlp":
        config = Config(model=Model(latent_dim=20, architecture=MLP(hidden=(400,), activation="relu")))
    else:
        file = {"mnist": "mnist.py", "conv": "mnist_conv.py", "ladder": "hvae_small.py"}[name]
        config = runpy.run_path(str(CONFIGS / file))["config"]
    train = Train(batch_size=batch_size, precision=precision, log_every=10**6)
    return dataclasses.replace(config, train=train)


def hidden(model: Model) -> tuple[int, ...]:
    """Widths of the encoder's dense hidden layers."""
    assert isinstance(model.architecture, MLP | Conv)
    return model.architecture.hidden


def channels(model: Model) -> tuple[int, ...]:
    """Channels of the encoder's convolutions, if it has any."""
    return model.architecture.channels if isinstance(model.architecture, Conv) else ()


def matrix_flops(config: Config, image_shape: tuple[int, ...]) -> int:
    """FLOPs of the matrix products and convolutions that one image costs in a training step.

    Two for each multiplication of a weight forwards, two for the weight's gradient, and two for the
    gradient of the layer's input, which the encoder's first layer does not need. A ladder's are counted in
    the program, where pixels of zeros around an image are multiplied too.
    """
    if isinstance(config.model.architecture, Ladder):
        return program_flops(_step_of_one_image(config, image_shape))
    model, (height, width, channel) = config.model, image_shape
    encoder: list[int] = []
    for outer in channels(model):
        height, width = -(-height // 2), -(-width // 2)
        encoder.append(height * width * 16 * channel * outer)
        channel = outer
    ends = (height * width * channel, *hidden(model))
    dense = [n * m for n, m in itertools.pairwise(ends)]
    products = [*encoder, *dense, ends[-1] * 2 * model.latent_dim]
    mirrored = [*encoder, *dense, ends[-1] * model.latent_dim]
    return 6 * (sum(products) + sum(mirrored)) - 2 * products[0]


def program_flops(stablehlo: str) -> int:
    """FLOPs of every matrix product and convolution that stands in a lowered program, a loop's body counted
    once."""
    total = 0
    pattern = r"dot_general .*?contracting_dims = \[([\d, ]*)\].*? : \(tensor<(\S+?)>.*?-> tensor<(\S+?)>"
    for contracted, left, result in re.findall(pattern, stablehlo):
        sizes, made = _shape(left), _shape(result)
        total += 2 * math.prod(made) * math.prod(sizes[int(axis)] for axis in re.findall(r"\d+", contracted))
    pattern = r"stablehlo\.convolution.*?\]x\[([^\]]*)\].*? : \(\S+, tensor<(\S+?)>\) -> tensor<(\S+?)>"
    for axes, kernel, result in re.findall(pattern, stablehlo):
        sizes, outputs = _shape(kernel), axes.split(", ").index("o")
        total += 2 * math.prod(_shape(result)) * math.prod(sizes) // sizes[outputs]
    return total


def _shape(tensor: str) -> list[int]:
    return [int(n) for n in tensor.split("x")[:-1]]


def _step_of_one_image(config: Config, image_shape: tuple[int, ...]) -> str:
    """The loss of one image and its gradient, lowered for CPUs."""
    import jax
    import jax.numpy as jnp

    from jaxvae.models.build import build_objective
    from jaxvae.training.state import state_shapes
    from jaxvae.training.step import batch_loss

    objective = build_objective(config)

    def gradient(model, x, keys):
        def loss(model):
            return batch_loss(model, x, keys, objective, jnp.int32(0), "float32", "device")[0]

        return jax.value_and_grad(loss)(model)

    x = jax.ShapeDtypeStruct((1, 1, *image_shape), jnp.float32)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), (1, 1)))
    mapped = jax.jit(jax.vmap(gradient, (None, 0, 0), axis_name="device"))
    return (
        mapped.trace(state_shapes(config, image_shape).model, x, keys)
        .lower(lowering_platforms=("cpu",))
        .as_text()
    )


def weights(config: Config, image_shape: tuple[int, ...]) -> int:
    """How many numbers the model has, biases included."""
    import jax
    import jax.numpy as jnp

    from jaxvae.models.build import build_vae

    mean = jax.ShapeDtypeStruct(image_shape, jnp.float32)
    shapes = jax.eval_shape(lambda m: build_vae(config.model, m, key=jax.random.key(0)), mean)
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
