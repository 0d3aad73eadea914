"""What is a kind? One of several things of a family, such as a likelihood, with fields of its own.

A kind is a class: its fields are what an experiment can set, its docstring's first line is its ``--help``.
``kind`` is what it is called on a command line and in config.json, and ``builds`` what it stands for once
JAX is there. Nothing else lists the kinds: one that is defined, here or in an experiment's own file, is
known.
"""

import dataclasses
import importlib
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, dataclass_transform


class Needs(NamedTuple):
    """When a field would have an effect."""

    of: tuple[str, ...]
    """The fields, of the same section or kind, whose values leave it without one."""
    choose: str
    """What to set for it to have one, such as ``hidden WIDTH``."""


@dataclass_transform(frozen_default=True)
@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of a family; families are its direct subclasses. Every subclass is a frozen dataclass."""

    kind: ClassVar[str]
    """What it is called on a command line and in config.json."""
    builds: ClassVar[Any]
    """The class or function that it stands for, or its name, ``"package.module:name"``, so that a
    configuration need not import it. It is called with the kind's fields; see ``arguments``."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Any:
        if getattr(cls, "kind", None) is None:
            names = ", ".join(f"{kind.__name__}(...)" for kind in cls.kinds().values())
            raise TypeError(f"{cls.__name__}(...) must be one of its kinds: {names}")
        return super().__new__(cls)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        dataclasses.dataclass(frozen=True)(cls)
        if "kind" not in cls.__dict__:
            return
        known = _KINDS.setdefault(cls.family(), {})
        ours = known.get(cls.kind)
        if ours is not None and _is_ours(ours) and not _is_ours(cls):
            raise TypeError(f"kind {cls.kind!r} of {cls.__name__} is taken by {ours.__name__} of jaxvae")
        known[cls.kind] = cls

    @classmethod
    def family(cls) -> type["Kind"]:
        """The class that all kinds of its sort have in common."""
        return cls.__mro__[cls.__mro__.index(Kind) - 1]

    @classmethod
    def kinds(cls) -> Mapping[str, type["Kind"]]:
        """All kinds of the family by name, ours first."""
        return _KINDS.get(cls.family(), {})

    @classmethod
    def about(cls) -> str:
        """What it is, in one line."""
        return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0].rstrip(".")

    @classmethod
    def field_names(cls) -> list[str]:
        """What can be set of it."""
        return [field.name for field in dataclasses.fields(cls)]

    @classmethod
    def others_with(cls, field: str) -> list[str]:
        """The kinds of the family that have a field which this one does not have."""
        if field in cls.field_names():
            return []
        return [name for name, kind in cls.kinds().items() if field in kind.field_names()]

    def arguments(self) -> dict[str, Any]:
        """Its own fields, which ``implementation`` is called with: all but those of its family."""
        common = self.family().field_names()
        return {name: getattr(self, name) for name in self.field_names() if name not in common}

    def implementation(self) -> Any:
        """The class or function that the kind stands for."""
        return self.named("builds")

    def named(self, attribute: str) -> Any:
        """What an attribute of the class is, or names as ``"package.module:name"``."""
        # Of the class: a function that is an attribute of an instance becomes a method.
        found = getattr(type(self), attribute)
        if not isinstance(found, str):
            return found
        module, _, name = found.partition(":")
        return getattr(importlib.import_module(module), name)

    def unused(self) -> Mapping[str, Needs]:
        """Its fields that have no effect beside the values of the others."""
        return {}

    def refused(self) -> Mapping[str, str]:
        """Its fields whose values cannot work beside those of the others: why, and what would."""
        return {}

    def become(self, kind: type["Kind"]) -> "Kind":
        """Another kind with the values of those fields that both have from a class in common; the others
        have the new kind's defaults."""
        shared = [base for base in kind.__mro__ if issubclass(base, Kind) and isinstance(self, base)]
        names = {name for base in shared for name in base.field_names()}
        return kind(**{name: getattr(self, name) for name in names})


_KINDS: dict[type[Kind], dict[str, type[Kind]]] = {}


def _is_ours(kind: type[Kind]) -> bool:
    return kind.__module__.partition(".")[0] == __name__.partition(".")[0]


def kind_of_name(name: str) -> type[Kind] | None:
    """The kind whose class has this name."""
    every = (kind for kinds in _KINDS.values() for kind in kinds.values())
    return next((kind for kind in every if kind.__name__ == name), None)


def is_own(kind: Kind) -> bool:
    """Whether a kind is of a user's own."""
    return not _is_ours(type(kind))
