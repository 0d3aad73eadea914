"""What a configuration lets in, just, and what it just does not."""

import dataclasses
from typing import Any

import pytest

from jaxvae.config import CIWAE, ELBO, Adam, Config, Conv, Data, Gaussian, Model, Train
from jaxvae.config.nested import with_field
from jaxvae.config.validation import validate
from jaxvae.errors import UserError
from tests.used import kinds_with

GAUSSIAN = Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian()))
BOUNDS = {
    # Of each field: values that are just right, and values that are just not.
    "seed": ((0, 2**32 - 1), (-1, 2**32)),
    "data.image_size": ((1, None), (0, -3)),
    "data.test_fraction": ((0.001, 0.999), (0.0, 1.0, -0.1, float("nan"))),
    "data.validation": (
        (None, 1, 5000, 2**31 - 1, 0.001, 0.999, "own", "0.1", "5000"),
        (0, -1, 0.0, 1.5, 2**31, float("nan"), "mine", True, [1]),
    ),
    "model.latent_dim": ((1,), (0, -1)),
    "model.architecture.hidden": (((), (1,)), ((0,), (3, -1))),
    "model.likelihood.sigma": ((1e-3, 1e3), (0.0009, 1001.0, -1.0, float("nan"))),
    "model.posterior.steps": ((1,), (0, -1)),
    "model.posterior.hidden": (((), (1,)), ((0,), (3, -1))),
    "model.posterior.context": ((0, 1), (-1,)),
    "model.prior.layers": ((1,), (0, -1)),
    "model.prior.hidden": (((), (1,)), ((0,), (3, -1))),
    "model.prior.components": ((1,), (0, -1)),
    "model.likelihood.components": ((1, 1000), (0, -1, 1001)),
    "objective.beta": ((0.0, 1.0), (-1e-9, float("inf"), float("nan"))),
    "objective.beta_warmup_steps": ((0, 1), (-1,)),
    "objective.beta_cycles": ((1, 8), (0, -1)),
    "objective.beta_rise": ((1e-6, 1.0), (0.0, 1.0001, float("nan"))),
    "objective.free_bits": ((0.0, 0.5), (-1e-9, float("inf"), float("nan"))),
    "objective.samples": ((1,), (0, -1)),
    "objective.groups": ((1,), (0, -1)),
    "objective.at_once": ((None, 1), (0, -1)),
    "objective.alpha": ((0.0, 0.9999), (1.0, -0.1, float("nan"))),
    "optimizer.learning_rate": ((0.0, 1e-9), (-1e-9, 1e39, float("nan"))),
    "optimizer.warmup_steps": ((0, 1), (-1,)),
    "optimizer.beta1": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.beta2": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.epsilon": ((1e-12,), (0.0, -1.0, float("inf"), float("nan"))),
    "optimizer.weight_decay": ((0.0, 0.1), (-1e-9, float("inf"), float("nan"))),
    "optimizer.momentum": ((0.0, 0.9999), (1.0, -0.1, float("nan"))),
    "optimizer.skip_norm": ((None, 1.01), (1.0, 0.5, float("inf"), float("nan"))),
    "optimizer.clip_norm": ((None, 1e-6), (0.0, -1.0, float("inf"), float("nan"))),
    "optimizer.ema_decay": ((None, 0.0, 0.9999), (1.0, -0.1, float("nan"))),
    "train.steps": ((1,), (0, -1)),
    "train.batch_size": ((1,), (0, -8)),
    "train.steps_per_call": ((1,), (0,)),
    "train.log_every": ((1,), (0,)),
    "train.eval_every": ((1,), (0,)),
    "train.checkpoint_every": ((1,), (0,)),
    "train.checkpoints_kept": ((1,), (0, -1)),
    "train.devices": ((None, 1), (0, -1)),
    "eval.importance_samples": ((1,), (0, -1)),
    "eval.interim_importance_samples": ((1,), (0,)),
    "eval.batch_size": ((1,), (0,)),
    "eval.grid": ((2, 3), (1, 0)),
}


@pytest.mark.parametrize("name", BOUNDS)
def test_each_bound_lets_in_what_is_just_right_and_nothing_beyond(name):
    right, wrong = BOUNDS[name]
    for base in kinds_with(name):
        if name == "objective.beta" and isinstance(base.objective, CIWAE):
            continue  # another one, see below
        for value in right:
            validate(with_field(_alone(base, name, value), name, value))
        for value in wrong:
            with pytest.raises(UserError, match=rf"\b{name}\b"):
                validate(with_field(base, name, value))


def _alone(base: Config, name: str, value: Any) -> Config:
    """The configuration, in which nothing has no effect beside this value."""
    if name in ("objective.beta", "objective.beta_warmup_steps", "objective.free_bits"):
        return dataclasses.replace(base, objective=ELBO())
    if name == "model.architecture.hidden":
        return with_field(base, name, (1,))
    return base


def test_the_elbos_part_of_ciwae_is_from_none_to_all():
    for beta in (0.0, 1.0):
        validate(Config(objective=CIWAE(beta=beta)))
    for beta in (-1e-9, 1.0001, float("nan")):
        with pytest.raises(UserError, match=r"\bobjective\.beta\b"):
            validate(Config(objective=CIWAE(beta=beta)))


@pytest.mark.parametrize("binarization", ["threshold", "static", "dynamic"])
def test_pixels_are_binarised_or_dequantised_and_never_both(binarization):
    data = Data(binarization=binarization, dequantization="uniform")
    for model in (Model(), Model(likelihood=Gaussian())):
        with pytest.raises(UserError, match=r"data\.dequantization"):
            validate(Config(data=data, model=model))
    validate(dataclasses.replace(GAUSSIAN, data=Data(binarization="none", dequantization="uniform")))
    with pytest.raises(UserError, match="bernoulli"):
        validate(Config(data=Data(binarization="none", dequantization="uniform")))


def test_a_convolutional_model_has_a_convolution():
    with pytest.raises(UserError, match=r"model\.architecture\.channels"):
        validate(Config(model=Model(architecture=Conv(channels=()))))
    with pytest.raises(UserError, match=r"model\.architecture\.channels"):
        validate(Config(model=Model(architecture=Conv(channels=(4, 0)))))
    validate(Config(model=Model(architecture=Conv(channels=(1,)))))


def test_a_fixed_order_wants_batches_of_a_multiple_of_eight():
    for size, is_right in ((8, True), (24, True), (12, False), (9, False)):
        config = Config(train=Train(batch_size=size, reduction="fixed"))
        if is_right:
            validate(config)
        else:
            with pytest.raises(UserError, match=r"train\.batch_size"):
                validate(config)
        validate(Config(train=Train(batch_size=size)))


def test_defaults_are_those_that_were_published():
    # Kingma and Ba 2014; and the ELBO itself.
    adam = Adam()
    assert (adam.beta1, adam.beta2, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert (ELBO().beta, ELBO().beta_warmup_steps) == (1.0, 0)
    assert (Model().likelihood.kind, Data().binarization, Data().dequantization) == (
        "bernoulli",
        "dynamic",
        "none",
    )
    assert (Data().horizontal_flips, Train().precision, Train().non_finite) == (False, "float32", "stop")
