"""Configurations in which a field exists and has an effect."""

import dataclasses
from collections.abc import Iterator
from typing import Any

from jaxvae.config import (
    ELBO,
    IWAE,
    Config,
    Conv,
    Data,
    DiagonalGaussian,
    Gaussian,
    Likelihood,
    Model,
    Prior,
)
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import kinds_of, with_field

PIXELS = {
    "binary": Data(binarization="dynamic"),
    "levels": Data(binarization="none"),
    "unit": Data(binarization="none"),
    "real": Data(binarization="none", dequantization="uniform"),
}
SET = {
    # Kinds of which a field has an effect beside another only.
    "elbo": ELBO(beta_warmup_steps=20, beta_warmup="cyclical", free_bits=0.5),
    "gaussian": Gaussian(learn_sigma=True),
    "iwae": IWAE(samples=3),
}
EVERYTHING_IS_USED = Config(
    data=dataclasses.replace(PIXELS["real"], image_size=8, placement="stream"),
    model=Model(architecture=Conv(), likelihood=SET["gaussian"]),
    objective=SET["elbo"],
)


def with_kind(section: str, kind: type[Kind]) -> Config:
    """A configuration with this kind, and with what fits it."""
    config = with_field(EVERYTHING_IS_USED, section, SET.get(kind.kind) or kind())
    if issubclass(kind, Likelihood):
        config = dataclasses.replace(config, data=PIXELS[kind.pixels])
    if issubclass(kind, Prior) and kind.of_posteriors:
        config = with_field(config, "model.posterior", DiagonalGaussian())
    return config


def kinds() -> Iterator[tuple[str, type[Kind]]]:
    """Every kind, with its section."""
    for section, chosen in kinds_of(EVERYTHING_IS_USED).items():
        yield from ((section, kind) for kind in chosen.kinds().values())


def kinds_with(name: str) -> list[Config]:
    """Configurations with each of the kinds that have this field; or the one in which everything is used."""
    section, _, field = name.rpartition(".")
    found = [kind for place, kind in kinds() if place == section and field in kind.field_names()]
    return [with_kind(section, kind) for kind in found] or [EVERYTHING_IS_USED]


def every_field(section: Any = EVERYTHING_IS_USED, prefix: str = "") -> Iterator[str]:
    """Every field of every section and every kind, by its dotted name."""
    for field in dataclasses.fields(section):
        value, name = getattr(section, field.name), prefix + field.name
        if isinstance(value, Kind):
            yield name
            own = {field for kind in value.kinds().values() for field in kind.field_names()}
            yield from (f"{name}.{field}" for field in sorted(own))
        elif dataclasses.is_dataclass(value):
            yield from every_field(value, f"{name}.")
        else:
            yield name
