"""Which optimisers are there, and what can be set of each?"""

from typing import Literal

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.ranges import Decay, Multiple, NotNegative, Positive, Whole

__all__ = ["SGD", "Adam", "AdamW", "Adamax", "Lion", "Muon", "Optimizer"]


class Optimizer(Kind):
    """How weights are updated: the method, learning-rate schedule, gradient clipping and weight averaging."""

    learning_rate: NotNegative = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "stages", "constant"] = "cosine"
    """What follows the warm-up: cosine decay to zero at train.steps; a constant; or eight stages, each three
    times as long as the one before, in which the rate falls evenly in its logarithm to a tenth (Burda et al.
    2015)."""
    warmup_steps: Whole = 200
    """Steps over which the learning rate rises linearly to its peak."""
    clip_norm: Positive | None = 200.0
    """Gradients of a larger global norm are scaled down to it; None: never."""
    skip_norm: Multiple | None = None
    """A step whose gradient has a norm of more than this many times the usual one, the running geometric mean
    of the norms before it, is left out and counted; None: none is. For deep models, whose rare huge gradients
    clipping turns into steps of full size in a useless direction."""
    ema_decay: Decay | None = None
    """Evaluate an exponential moving average of the weights with this decay; None: the weights
    themselves."""


class Momenta(Optimizer):
    """Methods with running means of the gradient and of its square."""

    beta1: Decay = 0.9
    """Decay of the gradient's running mean."""
    beta2: Decay = 0.999
    """Decay of the running mean of its square, or (adamax) of its magnitude."""


class Adaptive(Momenta):
    """Methods that divide by a running mean of the gradient's size."""

    epsilon: Positive = 1e-8
    """Added to the denominator."""


class Decaying(Optimizer):
    """Methods with decoupled weight decay."""

    weight_decay: NotNegative = 0.0
    """This times the learning rate is the share that each weight loses in a step."""


class Adam(Adaptive):
    """Adam."""

    kind = "adam"
    builds = "jaxvae.training.optimizer:adam"


class AdamW(Adaptive, Decaying):
    """Adam with decoupled weight decay."""

    kind = "adamw"
    builds = "jaxvae.training.optimizer:adamw"


class Adamax(Adaptive):
    """Adam with the largest recent gradient in place of the mean square."""

    kind = "adamax"
    builds = "jaxvae.training.optimizer:adamax"


class SGD(Optimizer):
    """Gradient descent with momentum."""

    kind = "sgd"
    builds = "jaxvae.training.optimizer:sgd"
    momentum: Decay = 0.9
    """Decay of the running sum of gradients; 0: none."""


class Lion(Momenta, Decaying):
    """The sign of a running mean of the gradient."""

    kind = "lion"
    builds = "jaxvae.training.optimizer:lion"


class Muon(Adaptive, Decaying):
    """Momentum whose matrices are orthogonalised; other weights by Adam."""

    kind = "muon"
    builds = "jaxvae.training.optimizer:muon"
