"""Which settings suit the images? Unsuitable ones are reported when a run starts."""

import math

import numpy as np
from jaxtyping import Int, UInt8

from jaxvae.config import Config, Gaussian
from jaxvae.config.pixels import is_discrete
from jaxvae.data.memory_map import Images, blocks, gather
from jaxvae.data.principal_variances import usable_latents

NEARLY = 16
"""Levels within this distance of 0 or 255 count as black or white."""
MOSTLY = 0.75
"""From this share of black and white pixels on, binarised images look like the originals."""
SAMPLED = 2**18
"""How many pixels a run examines before it starts."""
UNTRAINED = 0.05
"""A warning is given if the initial weights have more than this share of the weights' moving average."""
FEW_LATENTS = 0.25
"""A warning is given if a linear model could use a smaller share of the latents than this."""
NEARLY_SO = "of the pixels are nearly black or white"
DARK = 64
"""If no pixel reaches this level, the images may have another range than 0 to 255."""
SUGGESTED = (
    "--model.likelihood gaussian --model.likelihood.learn_sigma True --data.binarization none "
    "--data.dequantization uniform"
)


def histogram(images: Images) -> Int[np.ndarray, "256"]:
    """How many pixels have each level."""
    levels = np.zeros(256, np.int64)
    for block in blocks(images):
        # In parts, because ``bincount`` needs eight times the memory of its input.
        for part in np.array_split(block.reshape(-1), -(-block.size // 2**22)):
            levels += np.bincount(part, minlength=256)
    return levels


def sample(
    images: Images,
) -> UInt8[np.ndarray, "some row column channel"]:
    """Evenly spaced images, at least one, and of large images evenly spaced pixels: about ``SAMPLED`` pixels
    together."""
    size = math.prod(images.shape[1:])
    count = min(len(images), max(1, SAMPLED // size))
    every = math.ceil(math.sqrt(size / SAMPLED))
    return gather(images, np.linspace(0, len(images) - 1, count).astype(np.int64))[:, ::every, ::every]


def extreme_share(levels: Int[np.ndarray, "256"]) -> float:
    """The share of the pixels that are nearly black or white."""
    return (levels[:NEARLY].sum() + levels[-NEARLY:].sum()) / levels.sum()


def suits(levels: Int[np.ndarray, "256"], channel: int) -> str:
    """The flags of the likelihood that suits, and why: Bernoulli for nearly black and white images."""
    extreme = extreme_share(levels)
    if levels[1:-1].sum() == 0:
        return "--model.likelihood bernoulli --data.binarization threshold (every pixel is 0 or 255)"
    if channel == 1 and extreme > MOSTLY and levels[-NEARLY:].sum() > 0:
        return f"--model.likelihood bernoulli --data.binarization dynamic ({extreme:.0%} {NEARLY_SO})"
    return f"{SUGGESTED} ({extreme:.0%} {NEARLY_SO})"


def darkness(levels: Int[np.ndarray, "256"]) -> str | None:
    """Advice if the images are so dark that they may have another range, such as 0 to 16; else None."""
    highest = np.flatnonzero(levels)[-1]
    if not 0 < highest < DARK:
        return None
    factor = f"by 255 / {highest}" if highest > 1 else "by 255"
    return (
        f"no pixel is above {highest}, where white is 255: if {highest} is meant to be white, multiply the "
        f"images {factor}"
    )


def warnings(config: Config, images: Images) -> list[str]:
    """Warnings about settings that do not suit the training images or the length of the run, with flags that
    do."""
    pixels = _about_pixels(config, histogram(sample(images)))
    return [*_about_length(config), *pixels, *_about_collapse(config, images)]


def _about_collapse(config: Config, images: Images) -> list[str]:
    """What to say if a Gaussian likelihood has so much noise that few latents would be used."""
    found, latents = usable_latents(config, images), config.model.latent_dim
    if found is None or found["usable"] >= FEW_LATENTS * latents:
        return []
    sigma, better = config.model.likelihood.arguments()["sigma"], math.sqrt(found["largest"]) / 2
    used = f"only {found['usable']} of {latents} latents" if found["usable"] else "no latent at all"
    return [
        f"--model.likelihood.sigma {sigma:g} stands for noise of variance {found['threshold']:.3g}, and in "
        f"no direction do the images vary by more than {found['largest']:.3g}: a linear model would use "
        f"{used}. Choose --model.likelihood.learn_sigma True, or --model.likelihood.sigma "
        f"{max(min(better, sigma / 2), 1e-3):.2g}"
    ]


def _about_length(config: Config) -> list[str]:
    found, steps, warmup = [], config.train.steps, config.optimizer.warmup_steps
    beta_warmup = getattr(config.objective, "beta_warmup_steps", 0)
    if beta_warmup > steps:
        beta = getattr(config.objective, "beta", 1.0)
        end = f"the weight of the rate ends at {beta * steps / beta_warmup:.3g}, not at {beta:g}"
        if getattr(config.objective, "beta_warmup", "linear") == "cyclical":
            cycles = config.objective.arguments()["beta_cycles"]
            end = f"of the {cycles} cycles of the rate's weight it has {cycles * steps / beta_warmup:.3g}"
        found.append(
            f"--objective.beta_warmup_steps {beta_warmup} is longer than the run of --train.steps {steps}: "
            f"{end}"
        )
    if warmup > steps:
        found.append(
            f"--optimizer.warmup_steps {warmup} is longer than the run of --train.steps {steps}: the "
            f"learning rate never reaches {config.optimizer.learning_rate:g}"
        )
    decay = config.optimizer.ema_decay
    if decay is not None and (untrained := decay**steps) > UNTRAINED:
        found.append(
            f"--optimizer.ema_decay {decay:g} is slow for the run of --train.steps {steps}: {untrained:.0%} "
            "of the average that is evaluated are still the initial weights"
        )
    return found


def _about_pixels(config: Config, levels: Int[np.ndarray, "256"]) -> list[str]:
    data, likelihood, extreme = config.data, config.model.likelihood, extreme_share(levels)
    used, binarizes = np.flatnonzero(levels), data.binarization != "none"
    if len(used) == 1:
        return [f"all pixels are {used[0]}: there is nothing to learn"]
    if (dark := darkness(levels)) is not None:
        return [dark]
    if data.binarization == "threshold" and (used[0] > 127 or used[-1] <= 127):
        return [
            f"all pixels are from {used[0]} to {used[-1]}, so that --data.binarization threshold, which is "
            "at 127, makes all the same; these images suit " + SUGGESTED
        ]
    if config.code.file is not None:
        # Nothing here is known of a likelihood of the experiment's own.
        return []
    if not is_discrete(likelihood.pixels) and (binarizes or levels[1:-1].sum() == 0):
        if data.dequantization != "none":
            return []
        what = f"--data.binarization {data.binarization} makes pixels" if binarizes else "these pixels are"
        return [
            f"{what} 0 or 1, and --model.likelihood {likelihood.kind} is a density there: its NLL is not "
            "that of a probability. Choose --model.likelihood bernoulli"
            + (", or --data.binarization none --data.dequantization uniform" if binarizes else "")
        ]
    if data.binarization in ("dynamic", "static") and levels[1:-1].sum() == 0:
        return [
            f"every pixel is 0 or 255 already, so that --data.binarization {data.binarization} has nothing "
            "to draw, and scores are of one fixed binarisation: name them so, and train faster, by "
            "--data.binarization threshold"
        ]
    if data.binarization in ("dynamic", "static") and extreme <= MOSTLY:
        return [
            f"--data.binarization {data.binarization} makes noise of these images, because only "
            f"{extreme:.0%} {NEARLY_SO}; they suit {SUGGESTED}"
        ]
    if isinstance(likelihood, Gaussian) and likelihood.sigma_per == "pixel" and data.pixels == "levels":
        return [
            "--model.likelihood.sigma_per pixel of pixels that are 256 levels: where pixels are always the "
            "same, sigma shrinks as far as it can, and the NLL falls with it, because it is not that of a "
            "probability. Add --data.dequantization uniform"
        ]
    return []
