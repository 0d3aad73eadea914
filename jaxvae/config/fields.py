"""What can an experiment set, and what are the defaults?

Dataclasses only: this module imports neither JAX nor anything that does. The line under each
field is its ``--help``.
"""

import dataclasses
from typing import Any, Literal

Binarization = Literal["none", "threshold", "static", "dynamic"]
Activation = Literal["relu", "gelu", "silu", "tanh"]
Likelihood = Literal["bernoulli", "gaussian"]
Architecture = Literal["mlp", "conv"]
OptimizerName = Literal["adam", "adamw", "adamax", "sgd", "lion", "muon"]
Precision = Literal["float32", "bfloat16"]
Placement = Literal["auto", "resident", "stream"]


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, and how pixels become what the model sees."""

    name: str = "mnist"
    """mnist (bundled); a path to your own images: .npy, .npz, IDX, or a folder of PNG, JPEG, WebP, BMP, TIFF,
    GIF or PNM files, with train/ and test/ in it or without; or a data set of TensorFlow Datasets: NAME,
    NAME/CONFIG, NAME:VERSION."""
    dir: str | None = None
    """Where TensorFlow Datasets are; None: TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    image_size: int | None = None
    """Make every image so many pixels high and wide; None: all must have one size already."""
    resize: Literal["crop", "stretch"] = "crop"
    """With image_size. crop: scale the shorter side to it and cut out the middle. stretch: scale both."""
    color: Literal["keep", "gray", "rgb"] = "keep"
    """keep: images as they are, all gray or all RGB. gray, rgb: convert every image."""
    test_fraction: float = 0.1
    """Where there is no test set: this share of the images, always the same ones, is kept for testing."""
    binarization: Binarization = "dynamic"
    """none: pixels / 255. threshold: pixel > 127. static: one Bernoulli draw per image, fixed by
    the seed. dynamic: a new draw each time an image is visited."""
    dequantization: Literal["none", "uniform"] = "none"
    """uniform, without binarization: (pixel + u) / 256 with u uniform in [0, 1), a new draw each visit, so
    that a density bounds the probability of the 8-bit image."""
    background: str | None = None
    """The colour, a name or #RRGGBB, that transparent images are laid on, and arrays of four channels, whose
    last is then opacity; None: images with pixels that are not opaque are refused."""
    sixteen_bit: Literal["refuse", "scale"] = "refuse"
    """Images and arrays of 16 bits a channel. scale: value / 257, rounded, to 8 bits."""
    unreadable: Literal["refuse", "skip"] = "refuse"
    """Files that cannot be read as images. skip: leave them out, counted and listed; the rest is as if they
    had never been there."""
    horizontal_flips: bool = False
    """Mirror half of the training images, a new draw each visit."""
    placement: Placement = "auto"
    """resident: all images on each device. stream: read ahead from where they are. auto: resident if they
    fill no more than half of a device's memory. Both train to the same bits."""
    workers: int = 2
    """stream: threads that read ahead."""


@dataclasses.dataclass(frozen=True)
class Model:
    """The encoder, the decoder and the likelihood."""

    latent_dim: int = 40
    """Dimensions of z."""
    architecture: Architecture = "mlp"
    """mlp: dense layers alone. conv: 4x4 convolutions of stride 2 before them, in images of any size."""
    channels: tuple[int, ...] = (32, 64)
    """conv: channels of the encoder's convolutions, each of which halves the image; the decoder mirrors
    them."""
    hidden: tuple[int, ...] = (400, 400)
    """Widths of the encoder's dense hidden layers; the decoder mirrors them. mlp without any: both linear."""
    activation: Activation = "relu"
    """Non-linearity of the hidden layers."""
    likelihood: Likelihood = "bernoulli"
    """p(x|z): bernoulli (needs binarised pixels) or gaussian N(G(z), sigma^2 I)."""
    sigma: float = 1.0
    """Gaussian likelihood: standard deviation of a pixel; where it starts if it is learned."""
    learn_sigma: bool = False
    """Gaussian likelihood: learn sigma, one scalar for all pixels."""


@dataclasses.dataclass(frozen=True)
class Objective:
    """What is minimised: distortion + beta * rate, in nats per image."""

    beta: float = 1.0
    """Weight of the rate KL[q(z|x) || p(z)]; at 1 the loss is minus the ELBO."""
    beta_warmup_steps: int = 0
    """Steps over which the weight rises linearly from 0 to beta, so that few latents collapse."""


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """How weights are updated: the method, learning-rate schedule, gradient clipping and weight averaging."""

    name: OptimizerName = "adam"
    """adam (ours, the fastest); Optax's adamw, adamax, sgd, lion, or muon (its matrices orthogonalised, other
    weights by Adam)."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up: cosine decay to zero at train.steps, or a constant."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises linearly to its peak."""
    beta1: float = 0.9
    """All but sgd: decay of the gradient's running mean."""
    beta2: float = 0.999
    """All but sgd: decay of the running mean of its square, or (adamax) of its magnitude."""
    epsilon: float = 1e-8
    """All but sgd and lion: added to the denominator."""
    weight_decay: float = 0.0
    """adamw, lion, muon: this times the learning rate is the share that each weight loses in a step."""
    momentum: float = 0.9
    """sgd: decay of the running sum of gradients; 0: none."""
    clip_norm: float | None = 200.0
    """Gradients of a larger global norm are scaled down to it; None: never."""
    ema_decay: float | None = None
    """Evaluate an exponential moving average of the weights with this decay; None: the weights
    themselves."""


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, on what, and how often something is written."""

    steps: int = 10_000
    """Optimiser steps in the whole run."""
    batch_size: int = 128
    """Images per step, over all devices together."""
    steps_per_call: int = 100
    """At most this many steps are fused into one compiled call; it runs the largest number that
    also divides train.steps and every cadence."""
    log_every: int = 100
    """Steps between two lines of training metrics (each the mean over those steps)."""
    eval_every: int = 2_000
    """Steps between two evaluations on the whole test set."""
    checkpoint_every: int = 1_000
    """Steps between two checkpoints."""
    checkpoints_kept: int = 3
    """How many of the newest checkpoints stay on disk."""
    devices: int | None = None
    """How many devices share each batch; None: all there are."""
    precision: Precision = "float32"
    """Arithmetic of the encoder and decoder; weights, likelihoods and sums stay float32."""
    reduction: Literal["fast", "fixed"] = "fast"
    """In what order a batch is summed: fast, or fixed, in eighths, so that 1, 2, 4 and 8 devices train to
    the same bits, at about a third of the speed (batch 128) or three fifths (512)."""
    non_finite: Literal["stop", "skip"] = "stop"
    """A loss or gradient that is not finite: stop the run before that step, or skip the step's update
    and count it."""
    write_errors: Literal["stop", "warn"] = "stop"
    """A checkpoint, picture or line of metrics that cannot be written: stop the run, or warn, go on and
    try again when the next is due."""


@dataclasses.dataclass(frozen=True)
class Eval:
    """How the test set is scored."""

    importance_samples: int = 512
    """Samples per image in the final importance-weighted bound, whose negative is the nll."""
    interim_importance_samples: int = 16
    """The same at the evaluations during training."""
    batch_size: int = 500
    """Test images scored at once, over all devices together (rounded up to a multiple of them)."""
    grid: int = 10
    """Sample and reconstruction pictures show grid x grid images."""


@dataclasses.dataclass(frozen=True)
class Code:
    """The experiment's own code, if its file defines ``build`` or ``objective``: filled in from the file."""

    file: str | None = None
    """The experiment's file, where it defines a model or an objective of its own."""
    sha256: str | None = None
    """SHA-256 of that file and of the modules beside it that it imports."""
    accept_changed: bool = False
    """Go on with a run although that code is not what the run was begun with."""


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment, whole."""

    seed: int = 0
    """Fixes initial weights, order, noise, binarisation and evaluation; nothing else is random."""
    data: Data = Data()
    model: Model = Model()
    objective: Objective = Objective()
    optimizer: Optimizer = Optimizer()
    train: Train = Train()
    eval: Eval = Eval()
    code: Code = Code()


IN_MEMORY = "(arrays in memory)"
"""``data.name`` of a run whose images a Python caller gave."""

FIXED_PARTS = 8
"""Into how many equal parts ``train.reduction`` fixed cuts every batch; the number of devices divides it."""

WHICH_PIXELS = frozenset(
    {
        "data.name",
        "data.dir",
        "data.image_size",
        "data.resize",
        "data.color",
        "data.test_fraction",
        "data.background",
        "data.sixteen_bit",
        "data.unreadable",
    }
)
"""Fields that only decide which pixels there are, by a path for example."""

MAY_CHANGE = WHICH_PIXELS | {
    "data.placement",
    "data.workers",
    "code.file",
    "code.accept_changed",
    "train.steps",
    "train.steps_per_call",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.checkpoints_kept",
    "train.devices",
    "train.non_finite",
    "train.write_errors",
    "eval.importance_samples",
    "eval.interim_importance_samples",
    "eval.batch_size",
    "eval.grid",
}
"""Fields that may differ when a run continues: none changes what a given finite step computes, apart
from ``train.steps`` through the learning-rate schedule, which the run then says. Those of ``WHICH_PIXELS``
would, but a checkpoint knows the SHA-256 of all pixels, and those must be the same."""


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration, or a section of it, as JSON-ready nested dictionaries."""
    nested = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        nested[field.name] = list(value) if isinstance(value, tuple) else value
    return nested


def with_field(config: Config, name: str, value: Any) -> Config:
    """The configuration with another value of one field, by its dotted name."""
    section, _, field = name.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{field: value})
    changed = dataclasses.replace(getattr(config, section), **{field: value})
    return dataclasses.replace(config, **{section: changed})


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Every field, by dotted name, whose value differs, with both values."""
    before, after = flat(to_dict(old)), flat(to_dict(new))
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted name."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found
