"""Values that no parser has seen: each becomes what its field declares, or is refused by name."""

import dataclasses
import decimal
import enum
import fractions
import re
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import MLP, Adam, Config, Conv, Data, Gaussian, Model, Train
from jaxvae.config.conversion import convert, show
from jaxvae.config.kinds.kind import Kind as BaseKind
from jaxvae.config.nested import flat, get_field, to_dict, with_field


class Kind(enum.StrEnum):
    CONV = "conv"


def converted(given):
    problems = []
    config = convert(given, problems)
    return config, [f"{field} {says}" for field, says in problems]


def nest(field, given):
    """Nested dictionaries with one field; that of a likelihood is a Gaussian's."""
    for name in reversed(field.split(".")):
        given = {name: given}
        if name in ("sigma", "learn_sigma"):
            given["kind"] = "gaussian"
    return given


@pytest.mark.parametrize(
    ("field", "given", "expected"),
    [
        ("train.steps", 1e2, 100),
        ("train.steps", "16", 16),
        ("train.steps", "1e3", 1000),
        ("train.steps", np.int64(7), 7),
        ("train.steps", np.array(7.0), 7),
        ("train.steps", jnp.int32(7), 7),
        ("model.latent_dim", 2.0, 2),
        ("model.architecture.hidden", [16], (16,)),
        ("model.architecture.hidden", 16, (16,)),
        ("model.architecture.hidden", "16", (16,)),
        ("model.architecture.hidden", np.array([16, 8]), (16, 8)),
        ("model.architecture.hidden", [np.int32(4), 8.0], (4, 8)),
        ("model.architecture.hidden", [], ()),
        ("model.likelihood.learn_sigma", np.bool_(True), True),
        ("model.likelihood.learn_sigma", "True", True),
        ("model.architecture", np.str_("conv"), Conv()),
        ("model.architecture", Kind.CONV, Conv()),
        ("model.architecture", {"hidden": [16]}, MLP(hidden=(16,))),
        ("model.likelihood", {"kind": "gaussian", "sigma": 1}, Gaussian()),
        ("model.likelihood.sigma", 1, 1.0),
        ("optimizer.learning_rate", "1e-3", 0.001),
        ("optimizer.learning_rate", np.float32(0.5), 0.5),
        ("optimizer.learning_rate", fractions.Fraction(1, 4), 0.25),
        ("optimizer.clip_norm", None, None),
        ("optimizer.clip_norm", 200, 200.0),
        ("train.devices", None, None),
        ("data.name", Path("a") / "b", "a/b"),
        ("data.dir", Path("sets"), "sets"),
    ],
)
def test_what_loses_nothing_is_converted(field, given, expected):
    config, problems = converted(nest(field, given))
    value = get_field(config, field)
    assert problems == []
    assert value == expected
    assert type(value) is type(expected)
    assert hash(config) == hash(convert(to_dict(config), []))


@pytest.mark.parametrize(
    ("field", "given", "says"),
    [
        ("train.steps", 1.5, "1.5 cannot work: it must be a whole number"),
        ("train.steps", True, "True cannot work: it must be a whole number"),
        ("train.steps", None, "None cannot work: it must be a whole number"),
        ("train.steps", "many", "'many' cannot work: it must be a whole number"),
        ("train.steps", float("inf"), "inf cannot work: it must be a whole number"),
        ("train.steps", [100], "[100] cannot work: it must be a whole number"),
        ("train.devices", "all", "'all' cannot work: it must be a whole number, or None"),
        ("model.likelihood.sigma", False, "False cannot work: it must be a number"),
        (
            "model.likelihood.sigma",
            fractions.Fraction(1, 3),
            "Fraction(1, 3) cannot work: it must be a number that 64 bits",
        ),
        ("model.likelihood.sigma", 10**400, "cannot work: it must be a number that 64 bits can hold"),
        ("model.likelihood.learn_sigma", 1, "1 cannot work: it must be True or False"),
        (
            "model.architecture.hidden",
            [16, 1.5],
            "[16, 1.5] cannot work: it must be a row of numbers, each a whole number",
        ),
        ("model.architecture.hidden", {16}, "{16} cannot work: it must be a row of numbers"),
        ("model.architecture.hidden", "16, 16", "'16, 16' cannot work: it must be a row of numbers"),
        ("model.likelihood", "Bernoulli", "must be bernoulli, gaussian, continuous_bernoulli, "),
        ("model.likelihood", "gausian", "or categorical; did you mean gaussian?"),
        ("model.likelihood", ["gaussian"], "['gaussian'] cannot work: it must be bernoulli, gaussian, "),
        ("data.binarization", None, "None cannot work: it must be none, threshold, static or dynamic"),
        ("data.name", 3, "3 cannot work: it must be text"),
        ("data.name", "", "'' cannot work: it must be text that is not empty"),
        ("data.dir", "a\0b", "cannot work: it must be text that is not empty, or None"),
    ],
)
def test_what_would_lose_something_is_refused(field, given, says):
    config, problems = converted(nest(field, given))
    assert len(problems) == 1
    assert problems[0].startswith(f"{field} ")
    assert says in problems[0]
    if "model.likelihood." not in field:
        assert config == Config()


ODD = [
    *(
        None,
        True,
        0,
        1,
        -1,
        2.0,
        1.5,
        float("nan"),
        float("inf"),
        10**400,
        -(10**5000),
        1j,
        "",
        " ",
        "x",
        "16",
    ),
    *(
        "1e400",
        "nan",
        "True",
        "\0",
        "conv",
        b"x",
        bytearray(b"1"),
        [],
        [16],
        [1.5],
        [[16]],
        (True,),
        {},
        {"a": 1},
    ),
    *(
        {1},
        object(),
        decimal.Decimal("0.5"),
        decimal.Decimal("NaN"),
        fractions.Fraction(1, 3),
        Path("a"),
        range(3),
    ),
    *(
        np.int64(3),
        np.float32(0.5),
        np.array(3),
        np.array([3, 4]),
        np.array([[3]]),
        np.array(None),
        np.bool_(1),
    ),
    *(
        np.array("x"),
        jnp.ones(()),
        jnp.ones(2),
        jnp.bfloat16(2),
        len,
        Config,
        Config(),
        Model,
        iter([1]),
        enum.Enum,
    ),
]


def is_of(declared, value):
    """Whether the value is exactly of the declared type."""
    origin, arguments = get_origin(declared), get_args(declared)
    if origin in (types.UnionType, Union):
        return any(is_of(one, value) for one in arguments)
    if origin is Annotated:
        return is_of(arguments[0], value) and all(limits.holds(value) for limits in arguments[1:])
    if origin is tuple:
        return type(value) is tuple and all(is_of(arguments[0], one) for one in value)
    if origin is Literal:
        return type(value) is str and value in arguments
    return type(value) is declared


@pytest.mark.parametrize("given", ODD, ids=lambda given: re.sub(r" at 0x\w+", "", show(given)))
def test_whatever_a_field_is_given_it_ends_as_its_type_or_by_name(given):
    base = Config(data=Data(binarization="none"), model=Model(likelihood=Gaussian()))
    for name in flat(to_dict(base)):
        section, _, field = name.rpartition(".")
        declared = get_type_hints(type(get_field(base, section)), include_extras=True)[field]
        config, problems = converted(with_field(base, name, given))
        value = get_field(config, name)
        if isinstance(declared, type) and issubclass(declared, BaseKind):
            assert isinstance(value, declared)
        else:
            assert is_of(declared, value), (name, value)
        if problems:
            assert all(one.startswith(name) for one in problems)
            assert all(len(one) < 400 for one in problems)


def test_a_section_may_be_any_that_loses_nothing():
    class Mine(Model):
        pass

    @dataclasses.dataclass(frozen=True)
    class Larger(Train):
        patience: int = 3

    config, problems = converted(Config(model=Mine(latent_dim=3), train={"steps": 5}))  # type: ignore
    assert problems == []
    assert config == Config(model=Model(latent_dim=3), train=Train(steps=5))
    assert type(config.model) is Model
    wrong: Any = Config(train=Larger(), optimizer=Train(), eval=None, data=Data)  # type: ignore
    assert [problem.split(" cannot work")[-1][:40] for problem in converted(wrong)[1]] == [
        ": it must be Data(...)",
        ": it must be adam, adamw, adamax, sgd, l"[:40],
        "train.patience is no field of train: It ha"[:40],
        ": it must be Eval(...)",
    ]
    assert converted(3)[1] == [" 3 cannot work: it must be Config(...)"]


def test_a_misspelt_field_is_named_with_the_one_that_was_meant():
    problems = converted({"train": {"stepz": 3}, "modell": {}, 4: 4})[1]
    assert problems[0].startswith(
        "modell is no field of the configuration: did you mean model? It has seed, data"
    )
    assert problems[1].startswith("4 is no field of the configuration: It has seed")
    assert problems[2].startswith(
        "train.stepz is no field of train: did you mean steps? It has steps, batch_size"
    )


def test_a_configuration_that_is_right_stays_what_it_is():
    config = Config(seed=3, model=Model(architecture=MLP(hidden=(5, 6))), optimizer=Adam(clip_norm=None))
    assert converted(config) == (config, [])
