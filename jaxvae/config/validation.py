"""Which values of a configuration cannot work? Wherever it comes from, it is checked here, once."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxvae.config.conversion import Problem, convert, show
from jaxvae.config.fields import FIXED_PARTS, Config, flat, to_dict, with_field
from jaxvae.errors import UserError


class Origin(NamedTuple):
    """Where a configuration comes from. Without anything it is a Python call's."""

    file: str | None = None
    """Where its values were read, but for those of the ``flags``."""
    flags: frozenset[str] = frozenset()
    """The fields that were typed as flags, by their dotted names."""
    below: Config | None = None
    """The file's own configuration, which the flags changed."""
    old: bool = False
    """Whether the file was written by a run, maybe of an earlier version, which took fields without use."""

    def name(self, field: str) -> str:
        """The field as the person who set it knows it."""
        if self.file is None or field in self.flags:
            return f"--{field}" if field else "the configuration"
        return f"{self.file}: {field or 'config'}"


def validate(given: Any, origin: Origin | None = None, types_only: bool = False) -> Config:
    """The configuration that ``given``, a Config or nested dictionaries, means: of the types that its fields
    declare, where they can be reached without loss.

    A field that the chosen kinds do not use must have its default. It gets it back where its file set it
    for kinds that flags replaced, or where a run wrote it. Raises UserError with every field whose value
    cannot work, one a line: its file or flag, the value, and what would work. ``types_only``: as long as
    all types are right, nothing else is checked.
    """
    origin = origin or Origin()
    problems: list[Problem] = []
    config = convert(given, problems)
    if problems or not types_only:
        check = _Check(config, origin, {problem.field for problem in problems})
        _check_numbers(check)
        _check_together(check)
        problems += check.problems
        config = _without_unused(check, problems)
    if problems:
        raise UserError("\n".join(f"{origin.name(field)} {says}" for field, says in problems))
    return config


def typed_fields(arguments: Sequence[str]) -> frozenset[str]:
    """The configuration's fields that have a flag among the arguments, by their dotted names."""
    typed = {each[2:].partition("=")[0].replace("-", "_") for each in arguments if each.startswith("--")}
    return frozenset(typed & flat(to_dict(Config())).keys())


class _Check:
    """A configuration that is being checked."""

    def __init__(self, config: Config, origin: Origin, bad: set[str]):
        self.config, self.origin, self._bad = config, origin, bad
        self.values = flat(to_dict(config))
        self.problems: list[Problem] = []

    def has(self, *fields: str) -> bool:
        """Whether the fields have values of the right types."""
        return not any(field in self._bad or field.split(".")[0] in self._bad for field in fields)

    def require(self, holds: bool, field: str, wanted: str) -> None:
        """Notes that the field's value must be ``wanted``, unless it is."""
        self.refuse(not holds, field, f"{self.show(field)} cannot work: it must be {wanted}")

    def refuse(self, fails: bool, field: str, says: str, *others: str) -> None:
        """Notes what is said of the field if it, with ``others``, fails."""
        if fails and self.has(field, *others):
            self.problems.append(Problem(field, says))

    def show(self, field: str) -> str:
        """The field's value, as it was written."""
        value = self.values[field]
        return value if isinstance(value, str) and field in self.origin.flags else show(value)


def _check_numbers(check: _Check) -> None:
    """Notes numbers outside of the range that can work."""
    values, require = check.values, check.require
    require(0 <= values["seed"] < 2**32, "seed", "from 0 to 4294967295")
    for names, least in _LEAST.items():
        for name in names:
            value, least_words = values[name], f"{least} or more"
            if name in ("train.devices", "data.image_size"):
                least_words += ", or None"
            require(value is None or value >= least, name, least_words)
            require(value is None or value <= MOST, name, f"{MOST} or less: counters have 32 bits")
    require(values["data.workers"] <= MOST_WORKERS, "data.workers", f"{MOST_WORKERS} or less")
    for name in ("model.hidden", "model.channels"):
        widths = values[name]
        require(all(1 <= width <= MOST for width in widths), name, f"widths of 1 or more, to {MOST}")
        require(len(widths) <= MOST_LAYERS, name, f"{MOST_LAYERS} widths or fewer")
    for name in ("objective.beta", "optimizer.learning_rate", "optimizer.weight_decay"):
        wanted = "finite in float32 and not negative"
        require(values[name] == 0 or _TINIEST <= values[name] <= _LARGEST, name, wanted)
    for name in ("optimizer.beta1", "optimizer.beta2", "optimizer.momentum"):
        require(0 <= values[name] < 1, name, "at least 0 and below 1")
    require(
        _TINIEST <= values["optimizer.epsilon"] <= _LARGEST,
        "optimizer.epsilon",
        "finite in float32 and above 0",
    )
    clip, ema = values["optimizer.clip_norm"], values["optimizer.ema_decay"]
    wanted = "finite in float32 and above 0, or None"
    require(clip is None or _TINIEST <= clip <= _LARGEST, "optimizer.clip_norm", wanted)
    require(ema is None or 0 <= ema < 1, "optimizer.ema_decay", "at least 0 and below 1, or None")
    require(1e-3 <= values["model.sigma"] <= 1e3, "model.sigma", "from 0.001 to 1000")
    require(0 < values["data.test_fraction"] < 1, "data.test_fraction", "above 0 and below 1")
    for name in ("data.name", "data.dir"):
        known = not os.path.expanduser(values[name] or "").startswith("~")
        require(known, name, "a path, its ~ the folder of a user whom this system knows")


def _check_together(check: _Check) -> None:
    """Notes values that cannot work together."""
    config, name, refuse = check.config, check.origin.name, check.refuse
    data, model, train = config.data, config.model, config.train
    check.refuse(
        model.architecture == "conv" and not model.channels,
        "model.channels",
        "() cannot work: it must be one number of channels or more, with conv",
        "model.architecture",
    )
    refuse(
        train.reduction == "fixed" and train.batch_size % FIXED_PARTS != 0,
        "train.batch_size",
        f"{train.batch_size} cannot work: it must be a multiple of {FIXED_PARTS} with "
        f"{name('train.reduction')} fixed",
        "train.reduction",
    )
    refuse(
        data.dequantization != "none" and data.binarization != "none",
        "data.dequantization",
        f"{data.dequantization} is for pixels of 256 levels, but {name('data.binarization')} is "
        f"{data.binarization}: choose none for one of them",
        "data.binarization",
    )
    refuse(
        # A model of the experiment's own has a likelihood of its own, which is asked once it is built.
        model.likelihood == "bernoulli" and data.binarization == "none" and config.code.file is None,
        "model.likelihood",
        f"bernoulli needs pixels that are 0 or 1, but {name('data.binarization')} is none: choose "
        "--data.binarization dynamic, static or threshold, or --model.likelihood gaussian",
        "data.binarization",
    )


def _without_unused(check: _Check, problems: list[Problem]) -> Config:
    """The configuration in which fields without use have their defaults; those that may not be given them
    are added to the problems."""
    config, origin, defaults = check.config, check.origin, flat(to_dict(Config()))
    for field, use in USES.items():
        value, default = check.values[field], defaults[field]
        if use.holds(check.config) or not check.has(field, *use.of):
            continue
        inherited = origin.old or (origin.below is not None and use.holds(origin.below))
        if field in origin.flags or (value != default and not inherited):
            kinds = " and ".join(f"--{of} {check.values[of]}" for of in use.of)
            says = f"{check.show(field)} does nothing with {kinds}: choose {use.choose}, or leave it out"
            problems.append(Problem(field, says))
        elif value != default:
            section, _, name = field.rpartition(".")
            config = with_field(config, field, getattr(getattr(Config(), section), name))
    return config


class Use(NamedTuple):
    """When a field has an effect."""

    holds: Callable[[Config], bool]
    of: tuple[str, ...]
    """The fields that decide it."""
    choose: str
    """What to type for it to have one."""


USES = {
    "data.resize": Use(lambda c: c.data.image_size is not None, ("data.image_size",), "--data.image_size N"),
    "data.workers": Use(
        lambda c: c.data.placement != "resident", ("data.placement",), "--data.placement stream"
    ),
    "model.channels": Use(
        lambda c: c.model.architecture == "conv", ("model.architecture",), "--model.architecture conv"
    ),
    "model.activation": Use(
        lambda c: bool(c.model.hidden) or c.model.architecture == "conv",
        ("model.hidden", "model.architecture"),
        "--model.hidden WIDTH, or --model.architecture conv",
    ),
    "model.sigma": Use(
        lambda c: c.model.likelihood == "gaussian", ("model.likelihood",), "--model.likelihood gaussian"
    ),
    "model.learn_sigma": Use(
        lambda c: c.model.likelihood == "gaussian", ("model.likelihood",), "--model.likelihood gaussian"
    ),
    **{
        f"optimizer.{field}": Use(
            lambda c, names=names: c.optimizer.name in names or c.code.file is not None,
            ("optimizer.name",),
            f"--optimizer.name {' or '.join(names)}",
        )
        for field, names in {
            "beta1": ("adam", "adamw", "adamax", "lion", "muon"),
            "beta2": ("adam", "adamw", "adamax", "lion", "muon"),
            "epsilon": ("adam", "adamw", "adamax", "muon"),
            "weight_decay": ("adamw", "lion", "muon"),
            "momentum": ("sgd",),
        }.items()
    },
    "objective.beta_warmup_steps": Use(
        lambda c: c.objective.beta > 0, ("objective.beta",), "--objective.beta above 0"
    ),
}
"""Fields that do nothing unless others have certain values; all the rest are always used, as far as the
configuration alone can tell."""


MOST = 2**31 - 1
MOST_WORKERS = 256
MOST_LAYERS = 256
_TINIEST, _LARGEST = 1.1754944e-38, 3.4028234e38
"""Of float32, without subnormal numbers, which devices may take for zero."""
_LEAST = {
    ("optimizer.warmup_steps", "objective.beta_warmup_steps"): 0,
    (
        "data.image_size",
        "data.workers",
        "model.latent_dim",
        "train.steps",
        "train.batch_size",
        "train.steps_per_call",
        "train.log_every",
        "train.eval_every",
        "train.checkpoint_every",
        "train.checkpoints_kept",
        "train.devices",
        "eval.importance_samples",
        "eval.interim_importance_samples",
        "eval.batch_size",
    ): 1,
    ("eval.grid",): 2,
}
"""Whole numbers, by the least that can work."""
