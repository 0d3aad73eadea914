"""What can an experiment set, and what are the defaults?

Dataclasses only: this module imports neither JAX nor anything that does. The line under each
field is its ``--help``. What is a kind, such as the likelihood, has its fields in its family's file.
"""

import dataclasses
from typing import Literal

from jaxvae.config.kinds.kind import Needs
from jaxvae.config.kinds.likelihoods import Bernoulli, Likelihood
from jaxvae.config.kinds.networks import MLP, Architecture
from jaxvae.config.kinds.objectives import ELBO, Objective
from jaxvae.config.kinds.optimizers import Adam, Optimizer
from jaxvae.config.kinds.posteriors import DiagonalGaussian, Posterior
from jaxvae.config.kinds.priors import Prior, StandardNormal
from jaxvae.config.pixels import Pixels
from jaxvae.config.ranges import Count, Part, Path, Seed, Several, Share, Workers

Binarization = Literal["none", "threshold", "static", "dynamic"]
Precision = Literal["float32", "bfloat16"]
Placement = Literal["auto", "resident", "stream"]


@dataclasses.dataclass(frozen=True)
class Data:
    """Which images, and how pixels become what the model sees."""

    name: Path = "mnist"
    """mnist (bundled); a path to your own images: .npy, .npz, IDX, or a folder of PNG, JPEG, WebP, BMP, TIFF,
    GIF or PNM files, with train/ and test/ in it or without; or a data set of TensorFlow Datasets: NAME,
    NAME/CONFIG, NAME:VERSION."""
    dir: Path | None = None
    """Where TensorFlow Datasets are; None: TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    image_size: Count | None = None
    """Make every image so many pixels high and wide; None: all must have one size already."""
    resize: Literal["crop", "stretch"] = "crop"
    """With image_size. crop: scale the shorter side to it and cut out the middle. stretch: scale both."""
    color: Literal["keep", "gray", "rgb"] = "keep"
    """keep: images as they are, all gray or all RGB. gray, rgb: convert every image."""
    test_fraction: Share = 0.1
    """Where there is no test set: this share of the images, always the same ones, is kept for testing."""
    validation: Part | None = None
    """Images that choose the best checkpoint; only it is tested, once, at the end. A share of the training
    images (0.1) or so many of them (5000), always the same ones, which are not trained on; own: the
    validation set that lies beside train and test; None: evaluations during training are on test images."""
    binarization: Binarization = "dynamic"
    """none: pixels / 255. threshold: pixel > 127. static: this run's own Bernoulli draw, one per image, fixed
    by the seed. dynamic: a new draw each time an image is visited."""
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
    workers: Workers = 2
    """stream: threads that read ahead."""

    @property
    def pixels(self) -> Pixels:
        """What the model sees: ``binary`` if binarised, ``unit`` if dequantised, otherwise ``levels``."""
        if self.binarization != "none":
            return "binary"
        return "levels" if self.dequantization == "none" else "unit"

    def unused(self) -> dict[str, Needs]:
        """Its fields that have no effect beside the values of the others."""
        without = {}
        if self.image_size is None:
            without["resize"] = Needs(("image_size",), "image_size N")
        if self.placement == "resident":
            without["workers"] = Needs(("placement",), "placement stream")
        return without


@dataclasses.dataclass(frozen=True)
class Model:
    """The latents, the networks and the distributions."""

    latent_dim: Count = 40
    """Dimensions of z; of a ladder, of each of its groups at each position of a map."""
    architecture: Architecture = MLP()
    """The encoder and the decoder."""
    likelihood: Likelihood = Bernoulli()
    """p(x|z)."""
    posterior: Posterior = DiagonalGaussian()
    """q(z|x)."""
    prior: Prior = StandardNormal()
    """p(z)."""


@dataclasses.dataclass(frozen=True)
class Train:
    """How long, on what, and how often something is written."""

    steps: Count = 10_000
    """Optimiser steps in the whole run."""
    batch_size: Count = 128
    """Images per step, over all devices together."""
    steps_per_call: Count = 100
    """At most this many steps are fused into one compiled call; it runs the largest number that
    also divides train.steps and every cadence."""
    log_every: Count = 100
    """Steps between two lines of training metrics (each the mean over those steps)."""
    eval_every: Count = 2_000
    """Steps between two evaluations on the whole test set, or, with data.validation, validation set."""
    checkpoint_every: Count = 1_000
    """Steps between two checkpoints."""
    checkpoints_kept: Count = 3
    """How many of the newest checkpoints stay on disk; with data.validation, the best one too."""
    devices: Count | None = None
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
    """How test and validation images are scored."""

    importance_samples: Count = 512
    """Samples per image in the final importance-weighted bound, whose negative is the nll."""
    interim_importance_samples: Count = 16
    """The same at the evaluations during training."""
    batch_size: Count = 500
    """Images scored at once, over all devices together (rounded up to a multiple of them)."""
    grid: Several = 10
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

    seed: Seed = 0
    """Fixes initial weights, order, noise, binarisation and evaluation; nothing else is random."""
    data: Data = Data()
    model: Model = Model()
    objective: Objective = ELBO()
    """What is minimised, in nats per image."""
    optimizer: Optimizer = Adam()
    """How gradients become new weights."""
    train: Train = Train()
    eval: Eval = Eval()
    code: Code = Code()


IN_MEMORY = "(arrays in memory)"
"""``data.name`` of a run whose images a Python caller gave."""

FIXED_PARTS = 8
"""Into how many equal parts ``train.reduction`` fixed cuts every batch; the number of devices divides it."""
