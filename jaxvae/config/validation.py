"""Which values of a configuration cannot work? Wherever it comes from, it is checked here, once."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxvae.config.conversion import Problem, convert, show
from jaxvae.config.earlier_versions import upgraded
from jaxvae.config.fields import FIXED_PARTS, Config, Data, Model
from jaxvae.config.kinds.kind import Needs
from jaxvae.config.kinds.likelihoods import Likelihood
from jaxvae.config.kinds.posteriors import Posterior
from jaxvae.config.nested import flat, get_field, kinds_of, to_dict, with_field
from jaxvae.config.pixels import ARE, TAKES, Pixels, flags_for
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

    A field that has no effect beside the others must have its default. It gets it back where its file set it
    for values that flags replaced, or where a run wrote it. Raises UserError with every field whose value
    cannot work, one a line: its file or flag, the value, and what would work. ``types_only``: as long as
    all types are right, nothing else is checked.
    """
    origin = origin or Origin()
    if origin.old and isinstance(given, dict):
        given = upgraded(given)
    problems: list[Problem] = []
    if types_only:
        config = convert(given, problems, ranges=False)
        if not problems:
            return config
        problems = []
    config = convert(given, problems)
    check = _Check(config, origin, {problem.field for problem in problems})
    _check_together(check)
    problems += check.problems
    config = _without_unused(check, problems)
    if problems:
        raise UserError("\n".join(f"{origin.name(field)} {says}" for field, says in problems))
    return config


def typed_fields(arguments: Sequence[str], config: Config) -> frozenset[str]:
    """The configuration's fields that have a flag among the arguments, by their dotted names."""
    typed = {each[2:].partition("=")[0].replace("-", "_") for each in arguments if each.startswith("--")}
    return frozenset(typed & flat(to_dict(config)).keys())


class _Check:
    """A configuration that is being checked."""

    def __init__(self, config: Config, origin: Origin, bad: set[str]):
        self.config, self.origin, self._bad = config, origin, bad
        self.values = flat(to_dict(config))
        self.problems: list[Problem] = []

    def has(self, *fields: str) -> bool:
        """Whether the fields, and the sections and kinds that they are of, have values that can work."""
        parts = [field.split(".") for field in fields]
        wholes = {".".join(names[:end]) for names in parts for end in range(1, len(names) + 1)}
        return not wholes & self._bad

    def refuse(self, fails: bool, field: str, says: str, *others: str) -> None:
        """Notes what is said of the field if it, with ``others``, fails."""
        if fails and self.has(field, *others):
            self.problems.append(Problem(field, says))

    def show(self, field: str) -> str:
        """The field's value, as it was written."""
        value = self.values[field]
        return value if isinstance(value, str) and field in self.origin.flags else show(value)


def _check_together(check: _Check) -> None:
    """Notes values that cannot work together."""
    config, name, refuse = check.config, check.origin.name, check.refuse
    data, model, train = config.data, config.model, config.train
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
        data.pixels not in TAKES[model.likelihood.pixels] and config.code.file is None,
        "model.likelihood",
        _unfit(model.likelihood, data, name),
        "data.binarization",
        "data.dequantization",
    )
    refuse(
        model.prior.of_posteriors and not model.posterior.density_of_any and config.code.file is None,
        "model.prior",
        f"{model.prior.kind} is made of densities q(z|u), of which {name('model.posterior')} "
        f"{model.posterior.kind} needs a pass of its networks for every latent: choose --model.posterior "
        + " or ".join(kind.kind for kind in _posteriors() if kind.density_of_any),
        "model.posterior",
    )
    if model.architecture.own_densities and config.code.file is None:
        for field, chosen, own in (("posterior", model.posterior, "q(z|x)"), ("prior", model.prior, "p(z)")):
            default = getattr(Model(), field)
            refuse(
                chosen != default,
                f"model.{field}",
                f"{chosen.kind} cannot work: {name('model.architecture')} {model.architecture.kind} has a "
                f"{own} of its own, of Gaussians; leave it at {default.kind}",
                "model.architecture",
            )
    for section, kind in kinds_of(config).items():
        for field, why in kind.refused().items():
            fields = [f"{section}.{name}" for name in kind.field_names()]
            refuse(
                True, f"{section}.{field}", f"{check.show(f'{section}.{field}')} cannot work: {why}", *fields
            )


def _posteriors() -> list[type[Posterior]]:
    return [kind for kind in Posterior.kinds().values() if issubclass(kind, Posterior)]


def _unfit(likelihood: Likelihood, data: Data, name: Callable[[str], str]) -> str:
    """What is said of a likelihood that does not take such pixels."""
    if data.dequantization != "none":
        found = f"{name('data.dequantization')} is {data.dequantization}, which makes them {ARE['unit']}"
    elif data.pixels == "levels":
        found = f"{name('data.binarization')} is none, which leaves them at {ARE['levels']}"
    else:
        found = f"{name('data.binarization')} is {data.binarization}, which makes them {ARE['binary']}"
    return (
        f"{likelihood.kind} needs pixels that are {ARE[likelihood.pixels]}, but {found}: choose "
        f"{flags_for(likelihood.pixels, data.pixels)}, or --model.likelihood {_others(data.pixels)}"
    )


def _others(pixels: Pixels) -> str:
    """The likelihoods that are made for such pixels."""
    kinds = [kind for kind in Likelihood.kinds().values() if issubclass(kind, Likelihood)]
    suit = [kind.kind for kind in kinds if pixels in TAKES[kind.pixels]]
    if pixels == "binary":
        # Densities take them too, but are no probability of 0 or 1.
        suit = [kind.kind for kind in kinds if kind.pixels == "binary"]
    return ", ".join(suit[:-1]) + " or " * (len(suit) > 1) + suit[-1]


def _unused(config: Config) -> dict[str, Needs]:
    """The fields that have no effect beside the values of the others, by their dotted names; all the rest are
    always used, as far as the configuration alone can tell."""
    found = {}
    for section in ("data", *kinds_of(config)):
        for field, needs in get_field(config, section).unused().items():
            of = tuple(f"{section}.{name}" for name in needs.of)
            found[f"{section}.{field}"] = Needs(of, f"--{section}.{needs.choose}")
    return found


def _without_unused(check: _Check, problems: list[Problem]) -> Config:
    """The configuration in which fields without effect have their defaults; those that may not be given them
    are added to the problems."""
    config, origin = check.config, check.origin
    for field, needs in _unused(config).items():
        if not check.has(field, *needs.of):
            continue
        section, _, name = field.rpartition(".")
        value, default = get_field(config, field), getattr(type(get_field(config, section))(), name)
        used_below = origin.below is not None and field not in _unused(origin.below)
        if field in origin.flags or (value != default and not (origin.old or used_below)):
            values = " and ".join(f"--{of} {check.values[of]}" for of in needs.of)
            says = f"{check.show(field)} does nothing with {values}: choose {needs.choose}, or leave it out"
            problems.append(Problem(field, says))
        elif value != default:
            config = with_field(config, field, default)
    return config
