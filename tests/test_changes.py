"""What may be another when a run goes on: a list of its own, in which every field must stand."""

import dataclasses
import json
import typing
from collections.abc import Iterator
from typing import Any

import pytest

from jaxvae.config import Config, Data, Model
from jaxvae.config.fields import to_dict
from jaxvae.errors import UserError
from jaxvae.runs.folder import Workdir

CHANGE_TRAINING = """
    seed data.binarization data.dequantization data.horizontal_flips
    model.latent_dim model.architecture model.channels model.hidden model.activation model.likelihood
    model.sigma model.learn_sigma objective.beta objective.beta_warmup_steps
    optimizer.learning_rate optimizer.schedule optimizer.warmup_steps optimizer.beta1 optimizer.beta2
    optimizer.epsilon optimizer.clip_norm optimizer.ema_decay optimizer.name optimizer.weight_decay
    optimizer.momentum code.sha256
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
