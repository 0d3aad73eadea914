"""Every way into the program checks its configuration by the same rules."""

import dataclasses
import json
import math
import subprocess
import sys

import numpy as np
import pytest

from jaxvae.config import (
    ELBO,
    IWAE,
    MLP,
    SGD,
    Adam,
    Config,
    Conv,
    Data,
    Eval,
    Gaussian,
    Likelihood,
    Model,
    Objective,
    Train,
)
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import kinds_of, to_dict, with_field
from jaxvae.config.validation import Origin, validate
from jaxvae.errors import UserError
from jaxvae.profiling.profile import profile
from jaxvae.runs.fit import fit
from jaxvae.runs.folder import Workdir
from jaxvae.runs.replay import replay

GAUSSIAN = Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian()))


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
            Config(objective=ELBO(beta_warmup_steps=2**31)),
            "--objective.beta_warmup_steps 2147483648 cannot",
        ),
        (
            Config(model=Model(architecture=MLP(hidden=(5, 0)))),
            r"--model.architecture.hidden \[5, 0\] cannot work",
        ),
        (
            Config(model=Model(architecture=MLP(hidden=(2**31,)))),
            r"--model.architecture.hidden \[2147483648\] cannot work",
        ),
        (
            Config(model=Model(architecture=MLP(hidden=(1,) * 300))),
            r"cannot work: it must be 256 widths or fewer",
        ),
        (Config(optimizer=Adam(learning_rate=math.nan)), "--optimizer.learning_rate nan cannot"),
        (Config(optimizer=Adam(learning_rate=1e-50)), "--optimizer.learning_rate 1e-50 cannot"),
        (Config(optimizer=Adam(epsilon=1e-50)), "--optimizer.epsilon 1e-50 cannot"),
        (Config(optimizer=Adam(ema_decay=1.0)), "--optimizer.ema_decay 1.0 cannot"),
        (Config(optimizer=Adam(clip_norm=0.0)), "--optimizer.clip_norm 0.0 cannot"),
        (Config(optimizer=Adam(clip_norm=math.inf)), "--optimizer.clip_norm inf cannot"),
        (Config(train=Train(devices=0)), "--train.devices 0 cannot"),
        (
            Config(data=Data(workers=1000, placement="stream")),
            "--data.workers 1000 cannot work: it must be 256",
        ),
        (Config(data=Data(name="~nobody-here/x")), "--data.name '~nobody-here/x' cannot work"),
        (Config(model=Model(architecture=Conv(channels=()))), "one number of channels or more"),
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
            dataclasses.replace(GAUSSIAN, model=Model(likelihood=Gaussian(sigma=0.0))),
            "--model.likelihood.sigma 0.0 cannot work: it must be from 0.001 to 1000",
        ),
        (
            Config(objective=IWAE(samples=2, gradient="stl")),
            "--objective.gradient 'stl' cannot work: with --objective.samples 2 it has another mean than .* "
            "choose dreg",
        ),
        (
            Config(objective=ELBO(gradient="stl", free_bits=0.5)),
            "--objective.gradient 'stl' cannot work: .* or leave free_bits out",
        ),
        (
            Config(objective=ELBO(gradient="stl", beta_warmup_steps=9, beta_balance=True)),
            "--objective.gradient 'stl' cannot work: .* or leave beta_balance out",
        ),
        (
            Config(objective=ELBO(beta_warmup_steps=9, beta_balance=True, free_bits=0.5)),
            "--objective.beta_balance True cannot work: .* choose one",
        ),
        (
            Config(objective=ELBO(beta_warmup="cyclical", beta_warmup_steps=3)),
            "--objective.beta_cycles 4 cannot work: there are only 3 steps of --objective.beta_warmup_steps",
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
        "model": {"likelihood": "Bernoulli", "architecture": {"hidden": [1.5]}},
        "train": {"steps": 0, "stepz": 1, "reduction": "fixed", "batch_size": 12},
    }
    with pytest.raises(UserError) as raised:
        validate(nested, Origin("mine.py"))
    lines = str(raised.value).splitlines()
    assert sorted(line.split()[1] for line in lines) == [
        "data.binarization",
        "data.test_fraction",
        "model.architecture.hidden",
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
        {"likelihood": {"kind": "Gaussian", "sigma": 0.1}},
        3,
        {"architecture": {"kind": 1, "channels": [4]}},
    ],
)
def test_of_a_field_that_is_wrong_nothing_else_is_concluded(model):
    with pytest.raises(UserError) as raised:
        validate({"data": {"binarization": "threshold"}, "model": model})
    assert len(str(raised.value).splitlines()) == 1
    with pytest.raises(UserError) as raised:
        validate({"data": {"binarization": "none"}, "model": {"likelihood": "Gaussian"}})
    assert len(str(raised.value).splitlines()) == 1


FLAT = MLP(hidden=())
CYCLICAL = ELBO(beta_warmup="cyclical", beta_warmup_steps=9)
UNUSED = {
    # A field, and configurations that use it and that do not.
    "data.resize": ("stretch", Config(data=Data(image_size=8)), Config()),
    "data.workers": (3, Config(), Config(data=Data(placement="resident"))),
    "model.architecture.activation": ("tanh", Config(), Config(model=Model(architecture=FLAT))),
    "model.likelihood.sigma_per": (
        "pixel",
        with_field(GAUSSIAN, "model.likelihood.learn_sigma", True),
        GAUSSIAN,
    ),
    "objective.beta_warmup_steps": (7, Config(), Config(objective=ELBO(beta=0.0))),
    "objective.beta_warmup": ("cyclical", Config(objective=ELBO(beta_warmup_steps=9)), Config()),
    "objective.beta_cycles": (5, Config(objective=CYCLICAL), Config(objective=ELBO(beta_warmup_steps=9))),
    "objective.beta_balance": (True, Config(objective=ELBO(beta_warmup_steps=9)), Config()),
    "objective.beta_rise": (0.7, Config(objective=CYCLICAL), Config()),
    "objective.free_bits": (0.1, Config(), Config(objective=ELBO(beta=0.0))),
    "objective.free_bits_per": ("level", Config(objective=ELBO(free_bits=0.1)), Config()),
    "objective.gradient": ("stl", Config(), Config(objective=ELBO(beta=0.0))),
    "objective.alpha": (0.5, Config(objective=IWAE()), Config(objective=IWAE(samples=1))),
}


@pytest.mark.parametrize("field", UNUSED)
def test_a_field_that_does_nothing_is_refused_with_what_would_use_it(field):
    value, used, without = UNUSED[field]
    changed = with_field(without, field, value)
    with pytest.raises(
        UserError, match=rf"--{field} .* does nothing with --.*: choose --.*, or leave it out"
    ):
        validate(changed)
    with pytest.raises(UserError, match=rf"^mine\.py: {field} .* does nothing with"):
        validate(changed, Origin("mine.py", below=changed))
    # As a flag it is refused whatever its value; the flags that were typed say so.
    with pytest.raises(UserError, match=rf"^--{field} .* does nothing with"):
        validate(without, Origin("mine.py", frozenset({field}), without))
    assert validate(with_field(used, field, value)) == with_field(used, field, value)
    # What the file set for other values is forgotten when flags choose these.
    assert validate(changed, Origin("mine.py", below=with_field(used, field, value))) == without
    # An earlier version took it, and its run goes on.
    assert validate(changed, Origin("config.json", old=True)) == without


def test_every_field_that_may_do_nothing_has_a_case_here():
    """Where a section or a kind says that some of its fields can be without effect."""
    kinds = [(name, kind) for name, one in kinds_of(Config()).items() for kind in one.kinds().values()]
    say = {name for name, kind in kinds if kind.unused is not Kind.unused} | {"data"}
    assert say == {field.rpartition(".")[0] for field in UNUSED}


@pytest.mark.parametrize(
    ("nested", "says"),
    [
        (
            {"model": {"likelihood": {"sigma": 2}}},
            "model.likelihood.sigma 2 does nothing with",
        ),
        (
            {"optimizer": {"kind": "sgd", "beta1": 0.5}},
            "beta1 0.5 does nothing with --optimizer sgd",
        ),
        ({"optimizer": {"kind": "sgd", "beta": 0.5}}, "optimizer.beta is no field of optimizer sgd: It has"),
        (
            {"model": {"sigma": 2}},
            "model any more: it is model.likelihood.sigma now",
        ),
    ],
)
def test_a_field_of_another_kind_is_refused_with_the_kinds_that_have_it(nested, says):
    with pytest.raises(UserError) as raised:
        validate(nested)
    assert says in str(raised.value)


def test_a_family_is_none_of_its_kinds():
    with pytest.raises(TypeError, match=r"Objective\(...\) must be one of its kinds: ELBO\(...\)"):
        Objective()


def test_a_users_kind_may_not_take_the_name_of_ours():
    with pytest.raises(TypeError, match="kind 'gaussian' of Mine is taken by Gaussian of jaxvae"):

        class Mine(Likelihood):
            kind = "gaussian"


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
    model = dataclasses.replace(
        small_config.model,
        architecture=MLP(hidden=[16]),  # type: ignore
        latent_dim=3.0,  # type: ignore
    )
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
        ('{"model": {"hidden": "wide"}}', "config.json: model.architecture.hidden 'wide' cannot work"),
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
    nested["model"] = {"latent_dim": 40, "architecture": "mlp", "channels": [4], "hidden": [400, 400]}
    nested["model"] |= {"activation": "relu", "likelihood": "bernoulli", "sigma": 0.1, "learn_sigma": False}
    nested["optimizer"] |= {"name": nested["optimizer"].pop("kind"), "momentum": 0.9, "weight_decay": 0.0}
    del nested["objective"]["kind"]
    del nested["data"]["background"]
    (tmp_path / "config.json").write_text(json.dumps(nested))
    assert Workdir(tmp_path).check(Config()) == {}
    nested["model"] |= {"architecture": "conv", "likelihood": "gaussian"}
    nested["optimizer"] |= {"name": "sgd"}
    nested["data"]["binarization"] = "none"
    (tmp_path / "config.json").write_text(json.dumps(nested))
    model = Model(architecture=Conv(channels=(4,)), likelihood=Gaussian(sigma=0.1))
    expected = Config(data=Data(binarization="none"), model=model, optimizer=SGD())
    assert Workdir(tmp_path).previous() == expected


def test_checking_imports_neither_jax_nor_numpy():
    code = (
        "import sys, jaxvae.config.experiment_file, jaxvae.data.memory_needs; "
        "sys.exit(bool({'jax', 'numpy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
