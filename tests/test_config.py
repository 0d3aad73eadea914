import dataclasses
import json
import subprocess
import sys
from pathlib import Path

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
