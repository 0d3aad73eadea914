"""Which values of a configuration cannot work?"""

import math

from jaxvae.config import FIXED_PARTS, WIDTHS, Config, flat, to_dict
from jaxvae.errors import UserError


def validate(config: Config) -> None:
    """Raises UserError naming the first field whose value cannot work, the value, and what would."""
    values = flat(to_dict(config))

    def require(holds: bool, name: str, wanted: str) -> None:
        if not holds:
            raise UserError(f"--{name} {values[name]} cannot work: it must be {wanted}")

    require(0 <= config.seed < 2**32, "seed", "from 0 to 4294967295")
    for name in _POSITIVE_INTEGERS:
        require(values[name] >= 1, name, "1 or more")
    require(config.eval.grid >= 2, "eval.grid", "2 or more")
    for name in ("optimizer.warmup_steps", "objective.beta_warmup_steps"):
        require(values[name] >= 0, name, "0 or more")
    for name in WIDTHS:
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
    size = config.data.image_size
    require(size is None or size >= 1, "data.image_size", "1 or more, or None")
    require(0 < config.data.test_fraction < 1, "data.test_fraction", "above 0 and below 1")
    if config.data.dequantization != "none" and config.data.binarization != "none":
        raise UserError(
            f"--data.dequantization {config.data.dequantization} is for pixels of 256 levels, but "
            f"--data.binarization is {config.data.binarization}: choose none for one of them"
        )
    if config.model.likelihood == "bernoulli" and config.data.binarization == "none":
        raise UserError(
            "--model.likelihood bernoulli needs pixels that are 0 or 1, but --data.binarization is none: "
            "choose --data.binarization dynamic, static or threshold, or --model.likelihood gaussian"
        )


_LARGEST_FLOAT32 = 3.4028234e38
_POSITIVE_INTEGERS = (
    "data.workers",
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
