"""How is a configuration written as nested dictionaries, and as fields with dotted names?

A kind is a dictionary of its fields and its name, ``{"kind": "gaussian", "sigma": 0.2}``; as fields it is
its name, ``model.likelihood``, and its own fields, ``model.likelihood.sigma``.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from jaxvae.config.fields import Config
from jaxvae.config.kinds.kind import Kind


def values_of(section: Any) -> dict[str, Any]:
    """The fields of a section or kind, by name."""
    return {field.name: getattr(section, field.name) for field in dataclasses.fields(section)}


def to_dict(config: Any) -> dict[str, Any]:
    """The configuration, or a section of it, as JSON-ready nested dictionaries."""
    nested: dict[str, Any] = {"kind": config.kind} if isinstance(config, Kind) else {}
    for name, value in values_of(config).items():
        if dataclasses.is_dataclass(value):
            value = to_dict(value)
        nested[name] = list(value) if isinstance(value, tuple) else value
    return nested


def flat(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted name, and every kind's name by that of its section."""
    found: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{name}.")
        elif name == "kind":
            found[prefix.removesuffix(".")] = value
        else:
            found[prefix + name] = value
    return found


def with_field(config: Any, name: str, value: Any) -> Any:
    """The configuration, or a section of it, with another value of one field, by its dotted name."""
    section, _, rest = name.partition(".")
    changed = with_field(getattr(config, section), rest, value) if rest else value
    return dataclasses.replace(config, **{section: changed})


def get_field(config: Any, name: str) -> Any:
    """The value of a field, or the section or kind, of a dotted name."""
    for part in filter(None, name.split(".")):
        config = getattr(config, part)
    return config


def sections_of(config: Any, prefix: str = "") -> dict[str, type]:
    """The class of every section and kind, by dotted name."""
    found: dict[str, type] = {prefix.removesuffix("."): type(config)}
    for name, value in values_of(config).items():
        if dataclasses.is_dataclass(value):
            found |= sections_of(value, f"{prefix}{name}.")
    return found


def kinds_of(config: Any, prefix: str = "") -> dict[str, Kind]:
    """Every kind that was chosen, by the dotted name of its section."""
    found: dict[str, Kind] = {}
    for name, value in values_of(config).items():
        if isinstance(value, Kind):
            found[prefix + name] = value
        if dataclasses.is_dataclass(value):
            found |= kinds_of(value, f"{prefix}{name}.")
    return found


def unknown_kinds_file(nested: Mapping[str, Any]) -> str | None:
    """The experiment's own file, if a configuration that a run wrote has kinds that nobody defined yet."""
    code, model = nested.get("code"), nested.get("model")
    file = code.get("file") if isinstance(code, Mapping) else None
    if not isinstance(file, str):
        return None
    for name, chosen in kinds_of(Config()).items():
        section, _, field = name.rpartition(".")
        given = nested.get(name) if not section else model.get(field) if isinstance(model, Mapping) else None
        kind = given.get("kind") if isinstance(given, Mapping) else given
        if isinstance(kind, str) and kind not in chosen.kinds():
            return file
    return None


def updated(config: Config, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as nested dictionaries, with other values of some fields, by dotted names; a value
    may be a dictionary of fields, a section, a kind, or a kind's name. A kind that is another keeps nothing
    of the one before but what both have in common (``Kind.become``)."""
    nested = to_dict(config)
    for name, value in fields.items():
        for part in reversed(name.split(".")):
            value = {part: value}
        _merge(nested, value, config)
    return nested


def _merge(into: dict[str, Any], given: Mapping[str, Any], config: Any) -> None:
    for name, value in given.items():
        old, current = into.get(name), getattr(config, name, None)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            into[name] = to_dict(value)
            continue
        if isinstance(value, str) and isinstance(current, Kind):
            value = {"kind": value}
        if not (isinstance(value, Mapping) and isinstance(old, dict)):
            into[name] = value
            continue
        other = current.kinds().get(value["kind"]) if isinstance(current, Kind) and "kind" in value else None
        if isinstance(current, Kind) and other is not None and old["kind"] != other.kind:
            into[name] = old = to_dict(current.become(other))
        _merge(old, value, current)


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Every field, by dotted name, whose value differs, with both values. Where two kinds differ, that is
    the difference; their own fields are not compared."""
    before, after = flat(to_dict(old)), flat(to_dict(new))
    return {
        name: (before[name], after[name]) for name in before if name in after and before[name] != after[name]
    }
