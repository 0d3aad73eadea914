"""Which of several sets trains and which tests, by what they are called?"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from jaxvae.errors import UserError, printable

_TRAIN = ("train", "training")
_TESTS = (("test", "testing", "t10k"), ("validation", "valid", "val"), ("eval", "evaluation"))
"""What test images are called; the first of these that there is."""
_WHAT = "(?:x|images?|imgs?|data)"
_WORD = "|".join(word for kind in (_TRAIN, *_TESTS) for word in kind)
_NAME = re.compile(rf"(?:{_WHAT}[_-]?)?({_WORD})(?:[_-]?{_WHAT})?(?:[_-]?\d+)?")


class Roles(NamedTuple):
    """Which set does what."""

    train: str | None
    test: str | None
    others: tuple[str, ...]
    """All the rest, in order."""


def rank(name: str) -> int | None:
    """0 for a name of training images, such as train, Training, X_train or train-images; from 1 on for one of
    test images, lower for those that are rather meant; None for others."""
    match = _NAME.fullmatch(name.lower())
    kinds = (_TRAIN, *_TESTS)
    return next((i for i, kind in enumerate(kinds) if match is not None and match[1] in kind), None)


def choose(names: Iterable[str], where: str) -> Roles:
    """What the sets in ``where`` are for; raises UserError if two could be meant for the same."""
    names = sorted(names)
    ranked: dict[int, list[str]] = {}
    for name in names:
        if (place := rank(name)) is not None:
            ranked.setdefault(place, []).append(name)
    train = _plain(ranked.pop(0, []))
    tests = _plain(ranked[min(ranked)]) if ranked else []
    for found, what in ((train, "training"), (tests, "test")):
        if len(found) > 1:
            listed = " and ".join(printable(name) for name in found)
            raise UserError(
                f"{where} holds {listed}, each of which could be the {what} images: keep one of them there"
            )
    chosen = {*train, *tests}
    return Roles(
        train[0] if train else None,
        tests[0] if tests else None,
        tuple(name for name in names if name not in chosen),
    )


def _plain(names: list[str]) -> list[str]:
    """Of several such names, the one without a number, as test beside test2015, if one has none."""
    plain = [name for name in names if not name[-1].isdigit()]
    return plain if len(plain) == 1 else names
