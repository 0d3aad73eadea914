"""What did earlier versions call a field?"""

from collections.abc import Mapping
from typing import Any

from jaxvae.config.kinds.kind import Kind
from jaxvae.config.kinds.likelihoods import Likelihood
from jaxvae.config.kinds.networks import Architecture
from jaxvae.config.kinds.optimizers import Optimizer

MOVED = {
    "model.channels": "model.architecture.channels",
    "model.hidden": "model.architecture.hidden",
    "model.activation": "model.architecture.activation",
    "model.sigma": "model.likelihood.sigma",
    "model.learn_sigma": "model.likelihood.learn_sigma",
    "optimizer.name": "optimizer",
}
"""Fields of 0.1.0, when a section had the fields of all its kinds, by what they are called now."""

_FAMILIES: dict[str, type[Kind]] = {"architecture": Architecture, "likelihood": Likelihood}


def upgraded(nested: Mapping[str, Any]) -> dict[str, Any]:
    """What a run of an earlier version wrote, in the layout of this one. Fields that its kinds do not have
    did nothing, and are left out."""
    nested = dict(nested)
    model, optimizer = nested.get("model"), nested.get("optimizer")
    if isinstance(model, dict) and "kind" not in model:
        nested["model"] = _with_kinds(model)
    if isinstance(optimizer, dict) and "kind" not in optimizer:
        old = {**optimizer, "kind": optimizer.get("name", "adam")}
        nested["optimizer"] = _own_fields(old, Optimizer, {"name"})
    return nested


def _with_kinds(model: dict[str, Any]) -> dict[str, Any]:
    moved = {name.partition(".")[2]: place for name, place in MOVED.items() if name.startswith("model.")}
    new = {name: value for name, value in model.items() if name not in moved}
    for section, family in _FAMILIES.items():
        if not isinstance(kind := model.get(section, _DEFAULTS[section]), str):
            continue
        names = {name for name, place in moved.items() if place.split(".")[1] == section}
        fields = {name: value for name, value in model.items() if name in names}
        if fields or section in model:
            new[section] = _own_fields({**fields, "kind": kind}, family, names)
    return new


_DEFAULTS = {"architecture": "mlp", "likelihood": "bernoulli"}


def _own_fields(fields: dict[str, Any], family: type[Kind], droppable: set[str]) -> dict[str, Any]:
    """The fields that the kind has; those of other kinds of the family, or ``droppable``, are left out."""
    kind = family.kinds().get(fields["kind"]) if isinstance(fields["kind"], str) else None
    if kind is None:
        return fields
    others = {name for other in family.kinds().values() for name in other.field_names()} | droppable
    return {
        name: value
        for name, value in fields.items()
        if name == "kind" or name in kind.field_names() or name not in others
    }
