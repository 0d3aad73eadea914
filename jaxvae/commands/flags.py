"""Which flags does an experiment have? Every field of its configuration, one for the kind of each family, and
the chosen kinds' own fields."""

import argparse
import contextlib
import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import tyro

from jaxvae.config import Config
from jaxvae.config.conversion import of_other_kinds, unfit
from jaxvae.config.earlier_versions import MOVED
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import flat, kinds_of, to_dict, values_of, with_field
from jaxvae.errors import UserError, printable


def chosen_kinds(config: Config, arguments: Sequence[str]) -> tuple[Config, frozenset[str]]:
    """The configuration with the kinds that flags such as ``--model.likelihood gaussian`` choose, and the
    names of those flags. What both kinds have in common stays; a kind that is not known is left to
    whoever parses the flags."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    kinds = kinds_of(config)
    for name in kinds:
        parser.add_argument(f"--{name}", dest=name, nargs="?")
    typed: dict[str, str] = {}
    with contextlib.suppress(argparse.ArgumentError, SystemExit):
        found = vars(parser.parse_known_args([each.strip() for each in arguments])[0])
        typed = {name: value for name, value in found.items() if value is not None}
    for name, value in typed.items():
        if (kind := kinds[name].kinds().get(value)) is not None:
            config = with_field(config, name, kinds[name].become(kind))
    return config, frozenset(typed)


def refuse_unfit_values(sections: Mapping[str, type], arguments: Sequence[str]) -> None:
    """Raises UserError for values that are of none of the types that their flags have, those of fields of
    these ``sections``, by dotted names. A parser would say of each type why it does not fit."""
    problems = []
    for name, value in _flags(arguments):
        section, _, field = name.rpartition(".")
        if value and section in sections and (says := unfit(sections[section], field, value)) is not None:
            problems.append(f"--{name} {printable(value)} {says}")
    if problems:
        raise UserError("\n".join(problems))


def refuse_other_kinds_flags(config: Config, arguments: Sequence[str]) -> None:
    """Raises UserError for flags of kinds that are not chosen, or that an earlier version had."""
    problems, kinds, known = [], kinds_of(config), flat(to_dict(config))
    for name, value in _flags(arguments):
        section, _, field = name.rpartition(".")
        if name in MOVED and name not in known:
            problems.append(f"--{name} is --{MOVED[name]} now")
        elif section in kinds and (says := of_other_kinds(section, field, type(kinds[section]))) is not None:
            problems.append(" ".join(filter(None, [f"--{name}", value, says])))
    if problems:
        raise UserError("\n".join(problems))


def _flags(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Every flag's name, with underscores, and its value as it was typed."""
    for i, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            after = itertools.takewhile(lambda word: not word.startswith("--"), arguments[i + 1 :])
            yield name.replace("-", "_"), value or " ".join(after)


def with_kind_flags(section: Any) -> Any:
    """The configuration, or a section of it, as an instance of a subclass that has a field for the kind of
    each family, whose flag is that of the family itself."""
    flags, inside = [], {}
    for name, value in values_of(section).items():
        if isinstance(value, Kind):
            about = "; ".join(f"{kind}: {other.about()}" for kind, other in value.kinds().items())
            named = tyro.conf.arg(name=name, help=about)
            type_ = Annotated[Literal[tuple(value.kinds())], named]  # type: ignore
            flags.append((f"{name}{_SUFFIX}", type_, value.kind))
        elif dataclasses.is_dataclass(value):
            inside[name] = with_kind_flags(value)
    section = dataclasses.replace(section, **inside)
    if not flags:
        return section
    kind = type(section)
    made = dataclasses.make_dataclass(
        kind.__name__,
        [(name, type_, dataclasses.field(default=default)) for name, type_, default in flags],
        bases=(kind,),
        namespace={"__doc__": kind.__doc__, "__module__": kind.__module__},
        frozen=True,
    )
    return made(**values_of(section))


def without_kind_flags(section: Any) -> Any:
    """What ``with_kind_flags`` was given, with the values that were parsed."""
    kind = type(section)
    if any(field.name.endswith(_SUFFIX) for field in dataclasses.fields(section)):
        (kind,) = kind.__bases__
    values = {name: value for name, value in values_of(section).items() if not name.endswith(_SUFFIX)}
    inside = {
        name: without_kind_flags(value) if dataclasses.is_dataclass(value) else value
        for name, value in values.items()
    }
    return kind(**inside)


_SUFFIX = "_kind"
"""Of a field whose flag is that of another."""
