"""What may be another when a run goes on: a list of its own, in which every field must stand."""

import json
import typing

import pytest

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import get_field, to_dict, with_field
from jaxvae.errors import UserError
from jaxvae.runs.folder import Workdir
from tests.used import every_field, kinds_with, with_kind

CHANGE_TRAINING = """
    seed data.binarization data.dequantization data.horizontal_flips data.validation model.latent_dim
    code.sha256 train.batch_size train.precision train.reduction
""".split()
KINDS = ("model.architecture", "model.likelihood", "model.posterior", "model.prior", "objective", "optimizer")
"""Whatever is another of these changes training, and so do all their fields."""
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


@pytest.mark.parametrize("name", list(every_field()))
def test_what_changes_training_is_refused_when_a_run_goes_on_and_nothing_else(tmp_path, name):
    for number, used in enumerate(kinds_with(name)):
        old = get_field(used, name)
        if isinstance(old, Kind):
            others = [kind for kind in old.kinds().values() if kind is not type(old)]
            config = with_kind(name, others[0])
        else:
            section = get_field(used, name.rpartition(".")[0])
            new = another(old, typing.get_type_hints(type(section))[name.rpartition(".")[2]])
            assert new != old
            config = with_field(used, name, new)
        folder = Workdir(tmp_path / str(number))
        folder.path.mkdir()
        (folder.path / "config.json").write_text(json.dumps(to_dict(used)))
        if name in CHANGE_TRAINING or name in KINDS or name.rpartition(".")[0] in KINDS:
            with pytest.raises(UserError, match=rf"\b{name}: "):
                folder.check(config)
        elif name in CHANGE_NOTHING_THAT_IS_TRAINED:
            assert list(folder.check(config)) == [name]
        else:
            assert name in CHOOSE_IMAGES, f"{name} is in none of the lists above"
