"""What can an experiment set, and what are the defaults?

Dataclasses only: this module imports neither JAX nor anything that does. The line under each
field is its ``--help``.
"""

import dataclasses
import math
from typing import Any, Literal

Binarization = Literal["none", "threshold", "static", "dynamic"]
Activation = Literal["relu", "gelu", "silu", "tanh"]
Likelihood = Literal["bernoulli", "gaussian"]
Architecture = Literal["mlp", "conv"]
Precision = Literal["float32", "bfloat16"]


class UserError(Exception):
    """Something the person who typed the command can put right; shown without a traceback."""

    exit_code = 2


class RunError(UserError):
    """What stops a run that was rightly asked for: a full disk, numbers that are not finite, damage."""

    exit_code = 1


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, and how pixels become what the model sees."""

    name: str = "mnist"
    """Data set: mnist (bundled, needs no network)."""
    binarization: Binarization = "dynamic"
    """none: pixels / 255. threshold: pixel > 127. static: one Bernoulli draw per image, fixed by
    the seed. dynamic: a new draw each time an image is visited."""


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
    """Adam, its learning-rate schedule, gradient clipping and weight averaging."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """What follows the warm-up: cosine decay to zero at train.steps, or a constant."""
    warmup_steps: int = 200
    """Steps over which the learning rate rises linearly to its peak."""
    beta1: float = 0.9
    """Adam: decay of the gradient's running mean."""
    beta2: float = 0.999
    """Adam: decay of the squared gradient's running mean."""
    epsilon: float = 1e-8
    """Adam: added to the denominator."""
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


FIXED_PARTS = 8
"""Into how many equal parts ``train.reduction`` fixed cuts every batch; the number of devices divides it."""

MAY_CHANGE = frozenset(
    {
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
)
"""Fields that may differ when a run continues: none changes what a given finite step computes, apart
from ``train.steps`` through the learning-rate schedule, which the run then says."""


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as JSON-ready nested dictionaries."""
    nested = dataclasses.asdict(config)
    for name in _WIDTHS:
        nested["model"][name] = list(nested["model"][name])
    return nested


def from_dict(nested: dict[str, Any]) -> Config:
    """Inverse of ``to_dict``; fields that are absent take their defaults, unknown ones raise TypeError."""
    sections = dict(nested)
    for field in dataclasses.fields(Config):
        if dataclasses.is_dataclass(field.default) and field.name in sections:
            section = dict(sections[field.name])
            if field.name == "model":
                section |= {name: tuple(section[name]) for name in _WIDTHS if name in section}
            sections[field.name] = type(field.default)(**section)
    return Config(**sections)


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Every field, by dotted name, whose value differs, with both values."""
    before, after = _flat(to_dict(old)), _flat(to_dict(new))
    return {name: (before[name], after[name]) for name in before if before[name] != after[name]}


def validate(config: Config) -> None:
    """Raises UserError naming the first field whose value cannot work, the value, and what would."""
    values = _flat(to_dict(config))

    def require(holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise UserError(f"--{name} {values[name]} cannot work: it must be {wanted}")

    require(0 <= config.seed < 2**32, "seed", "from 0 to 4294967295")
    for name in _POSITIVE_INTEGERS:
        require(values[name] >= 1, name, "1 or more")
    require(config.eval.grid >= 2, "eval.grid", "2 or more")
    for name in ("optimizer.warmup_steps", "objective.beta_warmup_steps"):
        require(values[name] >= 0, name, "0 or more")
    for name in _WIDTHS:
        widths = values[f"model.{name}"]
        require(all(width >= 1 for width in widths), f"model.{name}", "widths of 1 or more")
    if config.model.architecture == "conv":
        require(len(config.model.channels) > 0, "model.channels", "one number of channels or more, with conv")
    for name in ("objective.beta", "optimizer.learning_rate"):
        require(0 <= values[name] <= _LARGEST_FLOAT32, name, "finite in float32 and not negative")
    for name in ("optimizer.beta1", "optimizer.beta2"):
        require(0 <= values[name] < 1, name, "at least 0 and below 1")
    require(0 < config.optimizer.epsilon < math.inf, "optimizer.epsilon", "finite and above 0")
    clip, ema, devices = config.optimizer.clip_norm, config.optimizer.ema_decay, config.train.devices
    require(clip is None or 0 < clip < math.inf, "optimizer.clip_norm", "above 0, or None")
    require(ema is None or 0 <= ema < 1, "optimizer.ema_decay", "at least 0 and below 1, or None")
    require(devices is None or devices >= 1, "train.devices", "1 or more, or None for all")
    if config.train.reduction == "fixed":
        require(
            config.train.batch_size % FIXED_PARTS == 0,
            "train.batch_size",
            f"a multiple of {FIXED_PARTS} with --train.reduction fixed",
        )
    require(1e-3 <= config.model.sigma <= 1e3, "model.sigma", "from 0.001 to 1000")
    if config.model.likelihood == "bernoulli" and config.data.binarization == "none":
        raise UserError(
            "--model.likelihood bernoulli needs pixels that are 0 or 1, but --data.binarization is none: "
            "choose --data.binarization dynamic, static or threshold, or --model.likelihood gaussian"
        )


_WIDTHS = ("channels", "hidden")
_LARGEST_FLOAT32 = 3.4028234e38
_POSITIVE_INTEGERS = (
    "model.latent_dim",
    "train.steps",
    "train.batch_size",
    "train.steps_per_call",
    "train.log_every",
    "train.eval_every",
    "train.checkpoint_every",
    "train.checkpoints_kept",
    "eval.importance_samples",
    "eval.interim_importance_samples",
    "eval.batch_size",
)


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
