"""Has a value the type that its field declares, or can it be converted without loss; and is it in its range?

Values from a file or a Python call have passed no parser. The types of the configuration's dataclasses say
what is right; there is no other list. Own code: a library such as cattrs takes True and 1.5 for a whole
number and "False" for True, and says neither what would be right nor which name was meant.
"""

import dataclasses
import difflib
import math
import numbers
import os
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jaxvae.config.earlier_versions import MOVED
from jaxvae.config.fields import Config
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import values_of
from jaxvae.config.ranges import Range


class Problem(NamedTuple):
    """What is wrong with one field."""

    field: str
    """By its dotted name; empty for the whole configuration."""
    says: str


def convert(given: Any, problems: list[Problem], ranges: bool = True) -> Config:
    """The configuration that ``given``, a Config or nested dictionaries, means.

    Every value that is not of its field's type and cannot become one without loss, or is not in its range,
    is added to ``problems``, and its field has the default. ``ranges`` False: any value of the right type is
    taken.
    """
    return _section(Config, given, "", _Notes(problems, ranges), Config())


def show(value: Any) -> str:
    """A value in a message: its ``repr``, in one line and cut short."""
    try:
        text = " ".join(repr(value).split())
    except Exception:
        # Of whatever class it is; and a whole number may have too many digits for Python to write.
        text = f"<{type(value).__name__}>"
    return text if len(text) <= 80 else f"{text[:77]}..."


def suggest(name: str, known: list[str]) -> str:
    """``did you mean NAME?``, or nothing if no known name is like this one."""
    close = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), close, n=1)
    return f"did you mean {close[found[0]]}?" if found else ""


def unknown_field(section: str, name: str, known: list[str]) -> str:
    """What is said of a field that does not exist."""
    hint = suggest(name, known)
    owner = section or "the configuration"
    if (moved := MOVED.get(f"{section}.{name}")) is not None:
        return f"is no field of {owner} any more: it is {moved} now"
    has = f"It has {', '.join(known)}" if known else "It has none"
    return f"is no field of {owner}: {hint + ' ' if hint else ''}{has}"


def unknown_kind_field(section: str, name: str, value: Any, kind: type[Kind]) -> str:
    """What is said of a field that a kind does not have."""
    if (says := of_other_kinds(section, name, kind)) is not None:
        return f"{show(_as_written(value))} {says}"
    return unknown_field(f"{section} {kind.kind}", name, kind.field_names())


def of_other_kinds(section: str, name: str, kind: type[Kind]) -> str | None:
    """What is said of a field that other kinds of the family have; None if none has it, or this one has."""
    if not (others := kind.others_with(name)):
        return None
    choose = f"--{section} {' or '.join(others)}"
    return f"does nothing with --{section} {kind.kind}: choose {choose}, or leave it out"


def unfit(section: type, field: str, text: str) -> str | None:
    """What is said of a text that is typed for a field of several types, such as a number or None, and is of
    none of them; None if it fits, or if the field has one type, or there is no such field."""
    declared = get_type_hints(section, include_extras=True).get(field)
    if get_origin(declared) not in (Union, types.UnionType):
        return None
    try:
        _value(declared, None if text == "None" else text, ranges=False)
    except _Unfit as wanted:
        return f"cannot work: it must be {wanted}"
    return None


class _Unfit(Exception):
    """The value is not, and cannot become, what the argument says."""


class _Notes(NamedTuple):
    """What is noted while a configuration is converted."""

    problems: list[Problem]
    ranges: bool

    def note(self, field: str, says: str) -> None:
        self.problems.append(Problem(field, says))


def _section(declared: type, given: Any, name: str, notes: _Notes, default: Any) -> Any:
    """The section, or kind of the ``declared`` family, that ``given`` means."""
    if issubclass(declared, Kind):
        found = _kind(declared, given, name, notes, type(default))
        if found is None:
            return default
        kind, values = found
    elif isinstance(given, Mapping):
        kind, values = declared, dict(given)
    elif isinstance(given, declared):
        kind, values = declared, values_of(given)
    else:
        notes.note(name, f"{show(given)} cannot work: it must be {declared.__name__}(...)")
        return default
    hints = get_type_hints(kind, include_extras=True)
    types = {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    prefix = f"{name}." if name else ""
    for key in values:
        if key not in types and issubclass(kind, Kind):
            notes.note(f"{prefix}{key}", unknown_kind_field(name, str(key), values[key], kind))
        elif key not in types:
            notes.note(f"{prefix}{key}", unknown_field(name, str(key), list(types)))
    made, unset = {}, kind()
    for key, type_ in types.items():
        if key not in values:
            continue
        if isinstance(type_, type) and (issubclass(type_, Kind) or dataclasses.is_dataclass(type_)):
            made[key] = _section(type_, values[key], prefix + key, notes, getattr(unset, key))
            continue
        try:
            made[key] = _value(type_, values[key], notes.ranges)
        except _Unfit as unfit:
            notes.note(prefix + key, f"{show(_as_written(values[key]))} cannot work: it must be {unfit}")
    return kind(**made)


def _kind(
    family: type[Kind], given: Any, name: str, notes: _Notes, default: type[Kind]
) -> tuple[type[Kind], dict[str, Any]] | None:
    """Which kind is meant, and its fields; None if it cannot be said."""
    if isinstance(given, family):
        return type(given), values_of(given)
    values = dict(given) if isinstance(given, Mapping) else {"kind": given}
    wanted, known = values.pop("kind", default.kind), family.kinds()
    if isinstance(wanted, str) and wanted in known:
        return known[wanted], values
    hint = suggest(wanted, list(known)) if isinstance(wanted, str) else ""
    kinds = " or ".join(filter(None, [", ".join(list(known)[:-1]), list(known)[-1]]))
    notes.note(name, f"{show(wanted)} cannot work: it must be {kinds}" + (f"; {hint}" if hint else ""))
    return None


def _as_written(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _value(declared: Any, given: Any, ranges: bool) -> Any:
    """The value as its declared type; raises _Unfit with what it must be."""
    kind, arguments = get_origin(declared), get_args(declared)
    if kind is Annotated:
        try:
            value = _value(arguments[0], given, ranges)
        except _Unfit:
            if get_origin(arguments[0]) not in (Union, types.UnionType):
                raise
            # What is right is said at once, and not type by type.
            raise _Unfit(arguments[1].wanted) from None
        for limits in arguments[1:]:
            if ranges and isinstance(limits, Range) and not limits.holds(value):
                raise _Unfit(limits.wanted)
        return value
    if kind in (Union, types.UnionType):
        if given is None and type(None) in arguments:
            return None
        unfit = []
        for inner in arguments:
            try:
                if inner is not type(None):
                    return _value(inner, given, ranges)
            except _Unfit as error:
                unfit.append(str(error))
        raise _Unfit(" or ".join(unfit) + ", or None" * (type(None) in arguments))
    if kind is tuple:
        return _tuple(arguments[0], given)
    given = _plain(given)
    if kind is Literal:
        return _choice(arguments, given)
    return {bool: _bool, int: _int, float: _float, str: _str}[declared](given)


def _plain(given: Any) -> Any:
    """A NumPy or JAX number, or an array of no dimensions, as Python's own."""
    if getattr(given, "shape", None) == () and hasattr(given, "item"):
        return given.item()
    return given


def _choice(choices: tuple[str, ...], given: Any) -> str:
    if isinstance(given, str) and given in choices:
        return str.__str__(given)
    hint = suggest(given, list(choices)) if isinstance(given, str) else ""
    listed = " or ".join(filter(None, (", ".join(choices[:-1]), choices[-1])))
    raise _Unfit(listed + (f"; {hint}" if hint else ""))


def _tuple(declared: Any, given: Any) -> tuple:
    if hasattr(given, "tolist"):
        given = given.tolist()
    items = given if isinstance(given, list | tuple | range) else (given,)
    try:
        return tuple(_value(declared, item, False) for item in items)
    except _Unfit as unfit:
        raise _Unfit(f"a row of numbers, each {unfit}") from None


def _bool(given: Any) -> bool:
    words = {"True": True, "False": False}
    if isinstance(given, str) and given in words:
        return words[given]
    if isinstance(given, bool):
        return given
    raise _Unfit("True or False")


def _int(given: Any) -> int:
    number = _number(given, "a whole number")
    try:
        if number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise _Unfit("a whole number")


def _float(given: Any) -> float:
    number = _number(given, "a number")
    try:
        if math.isnan(number) or number == float(number):
            return float(number)
    except OverflowError:
        pass
    raise _Unfit("a number that 64 bits can hold exactly")


def _number(given: Any, wanted: str) -> Any:
    if isinstance(given, str):
        for read in (int, float):
            try:
                return read(given)
            except ValueError:
                continue
    if isinstance(given, numbers.Real) and not isinstance(given, bool):
        return given
    raise _Unfit(wanted)


def _str(given: Any) -> str:
    try:
        text = os.fsdecode(given) if isinstance(given, os.PathLike) else str.__str__(given)
    except TypeError:
        raise _Unfit("text") from None
    if not text.strip() or "\0" in text:
        raise _Unfit("text that is not empty")
    return text
