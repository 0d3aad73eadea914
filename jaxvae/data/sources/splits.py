"""Which of several sets trains and which tests, by what they are called?"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from jaxvae.config import Data
from jaxvae.errors import UserError, printable

_TRAIN = ("train", "training")
_TESTS = (("test", "testing", "t10k"), ("validation", "valid", "val"), ("eval", "evaluation"))
"""What test images are called; the first of these that there is."""
VALIDATION = 2
"""The rank of validation sets, which test only where there is no other test set."""
_WHAT = "(?:x|images?|imgs?|data|set)"
_WORD = "|".join(sorted((word for kind in (_TRAIN, *_TESTS) for word in kind), key=len, reverse=True))
_NAME = re.compile(rf"(?:{_WHAT}[_-]?)?({_WORD})(?:[_-]?{_WHAT})?(?:[_-]?\d+)?")
_INSIDE = re.compile(rf"(?<![A-Za-z])(?i:{_WORD})(?![a-z])")
"""Such a word with others around it, as in seg_train and trainA."""


class Roles(NamedTuple):
    """Which set does what."""

    train: str | None
    test: str | None
    others: tuple[str, ...]
    """All the rest, in order; validation sets too, which are used only if they are asked for."""
    validations: tuple[str, ...] = ()
    """Those of them that could be the validation set beside both."""

    def validation(self, data: Data, where: str) -> str | None:
        """The validation set, if ``data.validation`` is own and there is one; raises UserError if there are
        several."""
        if data.validation != "own":
            return None
        _refuse_several(self.validations, "validation", where)
        return next(iter(self.validations), None)


def rank(name: str) -> int | None:
    """0 for a name of training images, such as train, Training, X_train or train-images; from 1 on for one of
    test images, lower for those that are rather meant; None for others."""
    match = _NAME.fullmatch(name.lower())
    return None if match is None else _place(match[1])


def _place(word: str) -> int:
    return next(i for i, kind in enumerate((_TRAIN, *_TESTS)) if word.lower() in kind)


def ranked_folders(names: Iterable[str]) -> dict[int, list[str]]:
    """The folders of each rank.

    Where none has one, folders count that are called alike but for such a word, as seg_train and seg_test
    are; train_station alone does not.
    """
    names = sorted(names)
    ranked = _ranked((name, rank(name)) for name in names)
    if ranked:
        return ranked
    alike: dict[str, dict[str, int]] = {}
    for name in names:
        for match in _INSIDE.finditer(name):
            rest = f"{name[: match.start()]}/{name[match.end() :]}"
            alike.setdefault(rest, {})[name] = _place(match[0])
    pairs = [places for places in alike.values() if min(places.values()) == 0 < max(places.values())]
    return _ranked(pair for places in pairs for pair in places.items())


def _ranked(places: Iterable[tuple[str, int | None]]) -> dict[int, list[str]]:
    ranked: dict[int, list[str]] = {}
    for name, place in places:
        if place is not None:
            ranked.setdefault(place, []).append(name)
    return ranked


def choose(names: Iterable[str], where: str) -> Roles:
    """What the arrays in ``where`` are for; raises UserError if two could be meant for the same."""
    names = sorted(names)
    return _roles(names, _ranked((name, rank(name)) for name in names), where)


def choose_folders(names: Iterable[str], where: str) -> Roles:
    """What the folders in ``where`` are for, likewise."""
    names = sorted(names)
    return _roles(names, ranked_folders(names), where)


def _roles(names: list[str], ranked: dict[int, list[str]], where: str) -> Roles:
    train = _plain(ranked.pop(0, []))
    place = min(ranked, default=0)
    tests = _plain(ranked[place]) if ranked else []
    for found, what in ((train, "training"), (tests, "test")):
        _refuse_several(found, what, where)
    beside_both = train and tests and place < VALIDATION
    chosen = {*train, *tests}
    return Roles(
        train[0] if train else None,
        tests[0] if tests else None,
        tuple(name for name in names if name not in chosen),
        tuple(_plain(ranked.get(VALIDATION, []))) if beside_both else (),
    )


def _refuse_several(found: Sequence[str], what: str, where: str) -> None:
    if len(found) > 1:
        listed = " and ".join(printable(name) for name in found)
        raise UserError(
            f"{where} holds {listed}, each of which could be the {what} images: keep one of them there"
        )


def _plain(names: list[str]) -> list[str]:
    """Of several such names, the one without a number, as test beside test2015, if one has none."""
    plain = [name for name in names if not name[-1].isdigit()]
    return plain if len(plain) == 1 else names
