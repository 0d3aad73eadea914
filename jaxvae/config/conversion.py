"""Has a value the type that its field declares, or can it be converted without loss?

Values from a file or a Python call have passed no parser. The types of ``config``'s dataclasses say what is
right; there is no other list.
"""

import dataclasses
import difflib
import math
import numbers
import os
import types
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jaxvae.config.fields import Config


class Problem(NamedTuple):
    """What is wrong with one field."""

    field: str
    """By its dotted name; empty for the whole configuration."""
    says: str


def convert(given: Any, problems: list[Problem]) -> Config:
    """The configuration that ``given``, a Config or nested dictionaries, means.

    Every value that is not of its field's type and cannot become one without loss is added to
    ``problems``, and its field has the default.
    """
    return _section(Config, given, "", problems)


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
    return f"is no field of {owner}: {hint + ' ' if hint else ''}It has {', '.join(known)}"


class _Unfit(Exception):
    """The value is not, and cannot become, what the argument says."""


def _section(kind: Any, given: Any, name: str, problems: list[Problem]) -> Any:
    if isinstance(given, Mapping):
        values = dict(given)
    elif isinstance(given, kind):
        values = {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    else:
        problems.append(Problem(name, f"{show(given)} cannot work: it must be {kind.__name__}(...)"))
        return kind()
    declared = get_type_hints(kind)
    prefix = f"{name}." if name else ""
    for key in values:
        if key not in declared:
            says = unknown_field(name, str(key), list(declared))
            problems.append(Problem(f"{prefix}{key}", says))
    made = {}
    for key, type_ in declared.items():
        if key not in values:
            continue
        if dataclasses.is_dataclass(type_):
            made[key] = _section(type_, values[key], prefix + key, problems)
            continue
        try:
            made[key] = _value(type_, values[key])
        except _Unfit as unfit:
            says = f"{show(values[key])} cannot work: it must be {unfit}"
            problems.append(Problem(prefix + key, says))
    return kind(**made)


def _value(declared: Any, given: Any) -> Any:
    """The value as its declared type; raises _Unfit with what it must be."""
    kind, arguments = get_origin(declared), get_args(declared)
    if kind in (Union, types.UnionType):
        (inner,) = (one for one in arguments if one is not type(None))
        if given is None:
            return None
        try:
            return _value(inner, given)
        except _Unfit as unfit:
            raise _Unfit(f"{unfit}, or None") from None
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
    raise _Unfit(f"{', '.join(choices[:-1])} or {choices[-1]}" + (f"; {hint}" if hint else ""))


def _tuple(declared: Any, given: Any) -> tuple:
    if hasattr(given, "tolist"):
        given = given.tolist()
    items = given if isinstance(given, list | tuple | range) else (given,)
    try:
        return tuple(_value(declared, item) for item in items)
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
