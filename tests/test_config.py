import dataclasses
import json
import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jaxvae.config import (
    MAY_CHANGE,
    Config,
    Data,
    Eval,
    Model,
    Objective,
    Optimizer,
    Train,
    differences,
    from_dict,
    to_dict,
)
from jaxvae.errors import UserError
from jaxvae.validation import validate
from jaxvae.workdir import Workdir


def test_a_configuration_survives_json():
    config = Config(seed=3, model=Model(hidden=(5, 6), sigma=0.1), optimizer=Optimizer(clip_norm=None))
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config
    assert from_dict({"seed": 3, "model": {"hidden": []}}) == Config(seed=3, model=Model(hidden=()))
    with pytest.raises(TypeError):
        from_dict({"train": {"stepz": 3}})


def test_differences_name_every_field_with_both_values():
    old = Config(seed=1, model=Model(hidden=(5,)))
    new = Config(seed=2, model=Model(hidden=(5, 6)), train=Train(steps=7))
    steps = Train().steps
    assert differences(old, new) == {
        "seed": (1, 2),
        "model.hidden": ([5], [5, 6]),
        "train.steps": (steps, 7),
    }


def test_fields_that_may_change_exist():
    names = {f"{s}.{f}" for s, v in to_dict(Config()).items() if isinstance(v, dict) for f in v}
    assert names >= MAY_CHANGE


def test_every_field_has_its_help():
    from jaxvae import config

    source = Path(config.__file__).read_text()
    for section in (Data, Model, Objective, Optimizer, Train, Eval):
        assert section.__doc__
        for field in dataclasses.fields(section):
            after = source.split(f"class {section.__name__}:")[1].split(f"    {field.name}: ")[1]
            assert after.splitlines()[1].startswith('    """'), f"{section.__name__}.{field.name}"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(seed=-1), "--seed -1 cannot work: it must be from 0 to 4294967295"),
        (Config(train=Train(steps=0)), "--train.steps 0 cannot work: it must be 1 or more"),
        (Config(model=Model(hidden=(5, 0))), r"--model.hidden \[5, 0\] cannot work"),
        (Config(optimizer=Optimizer(learning_rate=float("nan"))), "--optimizer.learning_rate nan cannot"),
        (Config(optimizer=Optimizer(ema_decay=1.0)), "--optimizer.ema_decay 1.0 cannot"),
        (Config(optimizer=Optimizer(clip_norm=0.0)), "--optimizer.clip_norm 0.0 cannot"),
        (Config(train=Train(devices=0)), "--train.devices 0 cannot"),
        (Config(model=Model(sigma=0.0)), "--model.sigma 0.0 cannot work: it must be from 0.001 to 1000"),
        (Config(data=Data(binarization="none")), "bernoulli needs pixels that are 0 or 1"),
    ],
)
def test_a_value_that_cannot_work_is_named_with_what_would(config, message):
    with pytest.raises(UserError, match=message):
        validate(config)


def test_the_defaults_are_valid():
    validate(Config())
    validate(Config(data=Data(binarization="none"), model=Model(likelihood="gaussian")))


def test_configuration_does_not_import_jax():
    code = "import sys, jaxvae.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CHANGE_TRAINING = """
    seed data.binarization data.dequantization data.horizontal_flips
    model.latent_dim model.architecture model.channels model.hidden model.activation model.likelihood
    model.sigma model.learn_sigma objective.beta objective.beta_warmup_steps
    optimizer.learning_rate optimizer.schedule optimizer.warmup_steps optimizer.beta1 optimizer.beta2
    optimizer.epsilon optimizer.clip_norm optimizer.ema_decay
    train.batch_size train.precision train.reduction
""".split()
CHANGE_NOTHING_THAT_IS_TRAINED = """
    data.placement data.workers train.steps train.steps_per_call train.log_every train.eval_every
    train.checkpoint_every train.checkpoints_kept train.devices train.non_finite train.write_errors
    eval.importance_samples eval.interim_importance_samples eval.batch_size eval.grid data.dir
""".split()
CHOOSE_IMAGES = """
    data.name data.image_size data.resize data.color data.test_fraction data.background data.sixteen_bit
    data.unreadable
""".split()
"""A run knows its images by their digest, whatever they were made from."""


def another(value, kind):
    """A value of a field that is not the given one."""
    choices = [choice for choice in typing.get_args(kind) if isinstance(choice, str)]
    if choices:
        return next(choice for choice in choices if choice != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, 3)
    if isinstance(value, str):
        return value + "x"
    if value is None:
        return "red" if str in typing.get_args(kind) else 0.5 if float in typing.get_args(kind) else 3
    return value / 2 if isinstance(value, float) else value + 1


EVERYTHING_IS_USED = Config(
    data=Data(binarization="none", dequantization="uniform", image_size=8, placement="stream"),
    model=Model(architecture="conv", likelihood="gaussian"),
)


def all_fields() -> Iterator[tuple[str, Any, Any]]:
    for field in dataclasses.fields(Config):
        section = getattr(EVERYTHING_IS_USED, field.name)
        if dataclasses.is_dataclass(section):
            for inner in dataclasses.fields(section):
                yield f"{field.name}.{inner.name}", section, inner
        else:
            yield field.name, None, field


@pytest.mark.parametrize("name", [name for name, *_ in all_fields()])
def test_what_changes_training_is_refused_when_a_run_goes_on_and_nothing_else(tmp_path, name):
    _, section, field = next(found for found in all_fields() if found[0] == name)
    kinds = typing.get_type_hints(Config if section is None else type(section))
    old = getattr(section or EVERYTHING_IS_USED, field.name)
    new = another(old, kinds[field.name])
    assert new != old
    changed = {field.name: new}
    if section is not None:
        changed = {name.split(".")[0]: dataclasses.replace(section, **changed)}
    (tmp_path / "config.json").write_text(json.dumps(to_dict(EVERYTHING_IS_USED)))
    folder, config = Workdir(tmp_path), dataclasses.replace(EVERYTHING_IS_USED, **changed)
    if name in CHANGE_TRAINING:
        with pytest.raises(UserError, match=rf"\b{name}: "):
            folder.check(config)
    elif name in CHANGE_NOTHING_THAT_IS_TRAINED:
        assert list(folder.check(config)) == [name]
    else:
        assert name in CHOOSE_IMAGES, f"{name} is in none of the lists above"


GAUSSIAN = Config(data=Data(binarization="none"), model=Model(likelihood="gaussian"))
BOUNDS = {
    # Of each field: values that are just right, and values that are just not.
    "seed": ((0, 2**32 - 1), (-1, 2**32)),
    "data.image_size": ((1, None), (0, -3)),
    "data.test_fraction": ((0.001, 0.999), (0.0, 1.0, -0.1, float("nan"))),
    "model.latent_dim": ((1,), (0, -1)),
    "model.hidden": (((), (1,)), ((0,), (3, -1))),
    "model.sigma": ((1e-3, 1e3), (0.0009, 1001.0, -1.0, float("nan"))),
    "objective.beta": ((0.0, 1.0), (-1e-9, float("inf"), float("nan"))),
    "objective.beta_warmup_steps": ((0, 1), (-1,)),
    "optimizer.learning_rate": ((0.0, 1e-9), (-1e-9, 1e39, float("nan"))),
    "optimizer.warmup_steps": ((0, 1), (-1,)),
    "optimizer.beta1": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.beta2": ((0.0, 0.9999), (1.0, -0.1, 1.5, float("nan"))),
    "optimizer.epsilon": ((1e-12,), (0.0, -1.0, float("inf"), float("nan"))),
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


def with_value(config, name, value):
    section, _, field = name.rpartition(".")
    if not section:
        return dataclasses.replace(config, **{field: value})
    return dataclasses.replace(
        config, **{section: dataclasses.replace(getattr(config, section), **{field: value})}
    )


@pytest.mark.parametrize("name", BOUNDS)
def test_each_bound_lets_in_what_is_just_right_and_nothing_beyond(name):
    right, wrong = BOUNDS[name]
    for value in right:
        validate(with_value(GAUSSIAN, name, value))
    for value in wrong:
        with pytest.raises(UserError, match=rf"\b{name}\b"):
            validate(with_value(GAUSSIAN, name, value))


@pytest.mark.parametrize("binarization", ["threshold", "static", "dynamic"])
def test_pixels_are_binarised_or_dequantised_and_never_both(binarization):
    data = Data(binarization=binarization, dequantization="uniform")
    for model in (Model(), Model(likelihood="gaussian")):
        with pytest.raises(UserError, match=r"data\.dequantization"):
            validate(Config(data=data, model=model))
    validate(dataclasses.replace(GAUSSIAN, data=Data(binarization="none", dequantization="uniform")))
    with pytest.raises(UserError, match="bernoulli"):
        validate(Config(data=Data(binarization="none", dequantization="uniform")))


def test_a_convolutional_model_has_a_convolution():
    with pytest.raises(UserError, match=r"model\.channels"):
        validate(Config(model=Model(architecture="conv", channels=())))
    with pytest.raises(UserError, match=r"model\.channels"):
        validate(Config(model=Model(architecture="conv", channels=(4, 0))))
    validate(Config(model=Model(architecture="conv", channels=(1,))))


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
    adam = Optimizer()
    assert (adam.beta1, adam.beta2, adam.epsilon) == (0.9, 0.999, 1e-8)
    assert (Objective().beta, Objective().beta_warmup_steps) == (1.0, 0)
    assert (Model().likelihood, Data().binarization, Data().dequantization) == (
        "bernoulli",
        "dynamic",
        "none",
    )
    assert (Data().horizontal_flips, Train().precision, Train().non_finite) == (False, "float32", "stop")
