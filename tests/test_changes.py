"""What may be another when a run goes on: a list of its own, in which every field must stand."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from jaxvae.config import Config, Conv, Data, DiscretizedLogistic, Gaussian, LogisticMixture, Model
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import get_field, to_dict, with_field
from jaxvae.errors import UserError
from jaxvae.runs.folder import Workdir

CHANGE_TRAINING = """
    seed data.binarization data.dequantization data.horizontal_flips
    model.latent_dim model.architecture model.architecture.channels model.architecture.hidden
    model.architecture.activation model.likelihood model.likelihood.sigma model.likelihood.learn_sigma
    model.likelihood.sigma_per model.likelihood.scale_per model.likelihood.components
    model.posterior model.prior objective objective.beta objective.beta_warmup_steps optimizer
    optimizer.learning_rate optimizer.schedule optimizer.warmup_steps optimizer.beta1 optimizer.beta2
    optimizer.epsilon optimizer.clip_norm optimizer.ema_decay code.sha256
    train.batch_size train.precision train.reduction
""".split()
CHANGE_NOTHING_THAT_IS_TRAINED = """
    data.placement data.workers train.steps train.steps_per_call train.log_every train.eval_every
    train.checkpoint_every train.checkpoints_kept train.devices train.non_finite train.write_errors
    eval.importance_samples eval.interim_importance_samples eval.batch_size eval.grid data.dir
    code.file code.accept_changed
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
    return (value / 2 or 0.1) if isinstance(value, float) else value + 1


EVERYTHING_IS_USED = Config(
    data=Data(binarization="none", dequantization="uniform", image_size=8, placement="stream"),
    model=Model(architecture=Conv(), likelihood=Gaussian(learn_sigma=True)),
)


def all_fields(section: Any = EVERYTHING_IS_USED, prefix: str = "") -> Iterator[str]:
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), prefix + field.name
        if isinstance(value, Kind) or not dataclasses.is_dataclass(value):
            yield name
        if dataclasses.is_dataclass(value):
            yield from all_fields(value, f"{name}.")


WITH_FIELD = {
    # A configuration that has the field.
    **{
        f"model.likelihood.{field}": Config(
            data=Data(binarization="none"), model=Model(likelihood=likelihood)
        )
        for likelihood in (DiscretizedLogistic(), LogisticMixture())
        for field in likelihood.field_names()
    },
    **dict.fromkeys(all_fields(), EVERYTHING_IS_USED),
}


@pytest.mark.parametrize("name", WITH_FIELD)
def test_what_changes_training_is_refused_when_a_run_goes_on_and_nothing_else(tmp_path, name):
    base = WITH_FIELD[name]
    old = get_field(base, name)
    if isinstance(old, Kind):
        others = [kind for kind in old.kinds().values() if kind is not type(old)]
        # Of a family with one kind there is no other yet.
        assert others or len(old.kinds()) == 1
        new: Any = others[0]() if others else type("Other", (old.family(),), {"kind": "other"})()
        old.kinds().pop("other", None)  # type: ignore
    else:
        section = get_field(base, name.rpartition(".")[0])
        new = another(old, typing.get_type_hints(type(section))[name.rpartition(".")[2]])
    assert new != old
    (tmp_path / "config.json").write_text(json.dumps(to_dict(base)))
    folder, config = Workdir(tmp_path), with_field(base, name, new)
    if name in CHANGE_TRAINING:
        with pytest.raises(UserError, match=rf"\b{name}: "):
            folder.check(config)
    elif name in CHANGE_NOTHING_THAT_IS_TRAINED:
        assert list(folder.check(config)) == [name]
    else:
        assert name in CHOOSE_IMAGES, f"{name} is in none of the lists above"
