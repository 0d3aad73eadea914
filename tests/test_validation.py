"""Every way into the program checks its configuration by the same rules."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from jaxvae.config import Config, Data, Eval, Model, Objective, Optimizer, Train
from jaxvae.config.fields import flat, to_dict, with_field
from jaxvae.config.validation import USES, Origin, validate
from jaxvae.errors import UserError
from jaxvae.profiling.profile import profile
from jaxvae.runs.fit import fit
from jaxvae.runs.folder import Workdir
from jaxvae.runs.replay import replay

GAUSSIAN = Config(data=Data(binarization="none"), model=Model(likelihood="gaussian"))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(seed=-1), "--seed -1 cannot work: it must be from 0 to 4294967295"),
        (Config(train=Train(steps=0)), "--train.steps 0 cannot work: it must be 1 or more"),
        (
            Config(train=Train(steps=10**10)),
            "--train.steps 10000000000 cannot work: it must be 2147483647 or less",
        ),
        (Config(eval=Eval(importance_samples=10**11)), "--eval.importance_samples 100000000000 cannot work"),
        (Config(train=Train(checkpoints_kept=2**31)), "--train.checkpoints_kept 2147483648 cannot work"),
        (
            Config(objective=Objective(beta_warmup_steps=2**31)),
            "--objective.beta_warmup_steps 2147483648 cannot",
        ),
        (Config(model=Model(hidden=(5, 0))), r"--model.hidden \[5, 0\] cannot work"),
        (Config(model=Model(hidden=(2**31,))), r"--model.hidden \[2147483648\] cannot work"),
        (Config(model=Model(hidden=(1,) * 300)), r"cannot work: it must be 256 widths or fewer"),
        (Config(optimizer=Optimizer(learning_rate=math.nan)), "--optimizer.learning_rate nan cannot"),
        (Config(optimizer=Optimizer(learning_rate=1e-50)), "--optimizer.learning_rate 1e-50 cannot"),
        (Config(optimizer=Optimizer(epsilon=1e-50)), "--optimizer.epsilon 1e-50 cannot"),
        (Config(optimizer=Optimizer(ema_decay=1.0)), "--optimizer.ema_decay 1.0 cannot"),
        (Config(optimizer=Optimizer(clip_norm=0.0)), "--optimizer.clip_norm 0.0 cannot"),
        (Config(optimizer=Optimizer(clip_norm=math.inf)), "--optimizer.clip_norm inf cannot"),
        (Config(train=Train(devices=0)), "--train.devices 0 cannot"),
        (
            Config(data=Data(workers=1000, placement="stream")),
            "--data.workers 1000 cannot work: it must be 256",
        ),
        (Config(data=Data(name="~nobody-here/x")), "--data.name '~nobody-here/x' cannot work"),
        (Config(model=Model(architecture="conv", channels=())), "one number of channels or more, with conv"),
        (Config(data=Data(binarization="none")), "bernoulli needs pixels that are 0 or 1"),
        (
            Config(train=Train(reduction="fixed", batch_size=12)),
            "--train.batch_size 12 cannot work: it must be a multiple of 8 with --train.reduction fixed",
        ),
        (
            Config(data=Data(dequantization="uniform")),
            "--data.dequantization uniform is for pixels of 256 levels, but --data.binarization is dynamic",
        ),
        (
            dataclasses.replace(GAUSSIAN, model=Model(likelihood="gaussian", sigma=0.0)),
            "--model.sigma 0.0 cannot work: it must be from 0.001 to 1000",
        ),
    ],
)
def test_a_value_that_cannot_work_is_named_with_what_would(config, message):
    with pytest.raises(UserError, match=message):
        validate(config)


def test_the_defaults_are_valid_and_stay_what_they_are():
    assert validate(Config()) == Config()
    assert validate(GAUSSIAN) == GAUSSIAN


def test_every_bad_value_has_a_line_whatever_is_wrong_with_it():
    nested = {
        "seed": -1,
        "data": {"binarization": "Dynamic", "test_fraction": 2},
        "model": {"likelihood": "Bernoulli", "hidden": [1.5]},
        "train": {"steps": 0, "stepz": 1, "reduction": "fixed", "batch_size": 12},
    }
    with pytest.raises(UserError) as raised:
        validate(nested, Origin("mine.py"))
    lines = str(raised.value).splitlines()
    assert sorted(line.split()[1] for line in lines) == [
        "data.binarization",
        "data.test_fraction",
        "model.hidden",
        "model.likelihood",
        "seed",
        "train.batch_size",
        "train.steps",
        "train.stepz",
    ]
    assert all(line.startswith("mine.py: ") for line in lines)


@pytest.mark.parametrize(
    "model",
    [
        {"likelihood": "Gaussian"},
        {"likelihood": "Gaussian", "sigma": 0.1},
        3,
        {"architecture": 1, "channels": [4]},
    ],
)
def test_of_a_field_that_is_wrong_nothing_else_is_concluded(model):
    with pytest.raises(UserError) as raised:
        validate({"data": {"binarization": "threshold"}, "model": model})
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(UserError) as raised:
        validate({"data": {"binarization": "none"}, "model": {"likelihood": "Gaussian"}})
    assert len(str(raised.value).splitlines()) == 1


UNUSED = {
    "data.resize": "stretch",
    "data.workers": 3,
    "model.channels": (8,),
    "model.activation": "tanh",
    "model.sigma": 0.1,
    "model.learn_sigma": True,
    "optimizer.beta1": 0.8,
    "optimizer.beta2": 0.99,
    "optimizer.epsilon": 1e-3,
    "optimizer.weight_decay": 0.1,
    "optimizer.momentum": 0.5,
    "objective.beta_warmup_steps": 7,
}
SGD = Config(optimizer=Optimizer(name="sgd"))
WITHOUT = {
    "data.workers": Config(data=Data(placement="resident")),
    "model.activation": Config(model=Model(hidden=())),
    "optimizer.beta1": SGD,
    "optimizer.beta2": SGD,
    "optimizer.epsilon": SGD,
    "objective.beta_warmup_steps": Config(objective=Objective(beta=0.0)),
}
"""A configuration that does not use the field, where the default one does."""
WITH = {
    "data.resize": Config(data=Data(image_size=8)),
    "model.channels": Config(model=Model(architecture="conv")),
    "model.sigma": GAUSSIAN,
    "model.learn_sigma": GAUSSIAN,
    "optimizer.weight_decay": Config(optimizer=Optimizer(name="adamw")),
    "optimizer.momentum": SGD,
}
"""And one that does, where the default one does not."""


def default(field):
    section, name = field.split(".")
    return getattr(getattr(Config(), section), name)


@pytest.mark.parametrize("field", USES)
def test_a_field_that_does_nothing_is_refused_with_what_would_use_it(field):
    without, used = WITHOUT.get(field, Config()), WITH.get(field, Config())
    changed = with_field(without, field, UNUSED[field])
    with pytest.raises(
        UserError, match=rf"--{field} .* does nothing with --.*: choose --.*, or leave it out"
    ):
        validate(changed)
    with pytest.raises(UserError, match=rf"^mine\.py: {field} .* does nothing with"):
        validate(changed, Origin("mine.py", below=changed))
    # As a flag it is refused whatever its value; the flags that were typed say so.
    with pytest.raises(UserError, match=rf"^--{field} .* does nothing with"):
        validate(without, Origin("mine.py", frozenset({field}), without))
    assert validate(with_field(used, field, UNUSED[field])) == with_field(used, field, UNUSED[field])
    # What the file set for its own kind is forgotten when flags choose another.
    flags = Origin("mine.py", below=with_field(used, field, UNUSED[field]))
    assert validate(changed, flags) == without
    # An earlier version took it, and its run goes on.
    assert validate(changed, Origin("config.json", old=True)) == without


def test_every_field_without_use_has_a_case_here():
    assert UNUSED.keys() == USES.keys()
    for field, use in USES.items():
        assert not use.holds(WITHOUT.get(field, Config()))
        assert use.holds(WITH.get(field, Config()))
        assert set(use.of) <= flat(to_dict(Config())).keys()
        assert UNUSED[field] != default(field)


def test_every_call_from_python_checks_first_and_writes_nothing(tmp_path):
    wrong = Config(model=Model(likelihood="Bernoulli"))  # type: ignore
    for call in (fit, profile, lambda config, path: replay(config, path, 0)):
        with pytest.raises(
            UserError, match=r"--model\.likelihood 'Bernoulli' cannot work: .* did you mean bern"
        ):
            call(wrong, tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_a_list_is_as_good_as_a_tuple(tmp_path, small_config):
    np.savez(tmp_path / "a.npz", train=np.zeros((9, 4, 4), np.uint8), test=np.zeros((9, 4, 4), np.uint8))
    train, data = dataclasses.replace(small_config.train, steps=4), Data(name=str(tmp_path / "a.npz"))
    small_config = dataclasses.replace(small_config, train=train, data=data)
    model = dataclasses.replace(small_config.model, hidden=[16], latent_dim=3.0)  # type: ignore
    fit(dataclasses.replace(small_config, model=model), str(tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "config.json").read_text()) == to_dict(small_config)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("[" * 100_000, "it is no JSON"),
        ("[3]", "it is no object of sections and fields"),
        ("null", "it is no object of sections and fields"),
        ('{"train": {"stepz": 3}}', "config.json: train.stepz is no field of train: did you mean steps?"),
        ('{"training": {}}', "config.json: training is no field of the configuration: did you mean train?"),
        ('{"train": 3}', r"config.json: train 3 cannot work: it must be Train\(...\)"),
        ('{"model": {"hidden": "wide"}}', "config.json: model.hidden 'wide' cannot work"),
        ('{"optimizer": {"learning_rate": NaN}}', "config.json: optimizer.learning_rate nan cannot work"),
        (b"\xff\xfe{}", "codec can't decode"),
    ],
)
def test_a_runs_own_configuration_is_checked_too(tmp_path, text, says):
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(
        UserError, match=rf"config.json is not a configuration of this version:\n.*{says}"
    ) as raised:
        Workdir(tmp_path).previous()
    assert "Choose another --workdir" in str(raised.value)


def test_a_mark_at_the_beginning_of_a_file_says_nothing(tmp_path):
    (tmp_path / "config.json").write_bytes(b"\xef\xbb\xbf" + json.dumps(to_dict(Config(seed=4))).encode())
    assert Workdir(tmp_path).previous() == Config(seed=4)


def test_a_run_of_an_earlier_version_that_set_what_does_nothing_goes_on(tmp_path):
    nested = to_dict(Config())
    nested["model"] |= {"sigma": 0.1, "channels": [4]}
    del nested["data"]["background"]
    (tmp_path / "config.json").write_text(json.dumps(nested))
    assert Workdir(tmp_path).check(Config()) == {}


def test_checking_imports_neither_jax_nor_numpy():
    code = (
        "import sys, jaxvae.config.experiment_file, jaxvae.data.memory; "
        "sys.exit(bool({'jax', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
