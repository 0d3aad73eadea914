"""What a configuration lets in, just, and what it just does not."""

import dataclasses

import pytest

from jaxvae.config import ELBO, SGD, Adam, AdamW, Config, Conv, Data, Gaussian, LogisticMixture, Model, Train
from jaxvae.config.nested import with_field
from jaxvae.config.validation import validate
from jaxvae.errors import UserError

GAUSSIAN = Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian()))
BOUNDS = {
    # Of each field: values that are just right, and values that are just not.
    "seed": ((0, 2**32 - 1), (-1, 2**32)),
    "data.image_size": ((1, None), (0, -3)),
    "data.test_fraction": ((0.001, 0.999), (0.0, 1.0, -0.1, float("nan"))),
    "model.latent_dim": ((1,), (0, -1)),
    "model.architecture.hidden": (((), (1,)), ((0,), (3, -1))),
    "model.likelihood.sigma": ((1e-3, 1e3), (0.0009, 1001.0, -1.0, float("nan"))),
    "model.likelihood.components": ((1, 1000), (0, -1, 1001)),
    "objective.beta": ((0.0, 1.0), (-1e-9, float("inf"), float("nan"))),
    "objective.beta_warmup_steps": ((0, 1), (-1,)),
    "optimizer.learning_rate": ((0.0, 1e-9), (-1e-9, 1e39, float("nan"))),
    "optimizer.warmup_steps": ((0, 1), (-1,)),
    "optimizer.beta1": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.beta2": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.epsilon": ((1e-12,), (0.0, -1.0, float("inf"), float("nan"))),
    "optimizer.weight_decay": ((0.0, 0.1), (-1e-9, float("inf"), float("nan"))),
    "optimizer.momentum": ((0.0, 0.9999), (1.0, -0.1, float("nan"))),
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
    method = {"optimizer.weight_decay": AdamW(), "optimizer.momentum": SGD()}.get(name, Adam())
    base = dataclasses.replace(GAUSSIAN, optimizer=method)
    if name == "model.likelihood.components":
        base = with_field(base, "model.likelihood", LogisticMixture())
    for value in right:
        validate(with_field(base, name, value))
    for value in wrong:
        with pytest.raises(UserError, match=rf"\b{name}\b"):
            validate(with_field(base, name, value))


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
