"""How do a caller's arrays become a set of images? Checked and split as arrays in files are."""

from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxvae.config import Data
from jaxvae.data.dataset import Dataset, dataset_of, split
from jaxvae.data.sources.arrays import Stored, check, pictures, prepared, refuse_other_shapes
from jaxvae.errors import UserError

TITLE = "arrays in memory"


def in_memory(images: Any, data: Data) -> Dataset:
    """The images in an array, example x height x width or with a last axis for channels, or in a pair of such
    arrays, of which the first trains and the second tests, or in a tuple of three, to train, to validate and
    to test; of one array, ``data.test_fraction`` tests.

    Numbers are read as those of arrays in files are: 0 to 255, or k / 255. Raises UserError if an array
    cannot be images, with what would be.
    """
    pair = isinstance(images, tuple | list) and len(images) == 2
    three = has_three(images)
    arrays = (
        [(f"images[{i}]", one) for i, one in enumerate(images)] if pair or three else [("images", images)]
    )
    named: list[tuple[str, np.ndarray]] = []
    for number, (name, given) in enumerate(arrays):
        try:
            array = np.asarray(given)
        except ValueError as error:
            raise UserError(f"{name} is no array of images: {error}") from error
        check(Stored(name, array.shape, array.dtype, lambda array=array: array), trains=number == 0)
        named.append((name, array))
    if three:
        named = [named[0], named[2], named[1]]
    elif not pair:
        if len(named[0][1]) < 2:
            raise UserError("images holds one image: two at least are needed, one to train and one to test")
        parts = split(len(named[0][1]), data.test_fraction)
        named = [("images", named[0][1][rows]) for rows in parts]
    changed = data.image_size is not None or data.color != "keep" or data.background is not None
    found = None if changed or data.sixteen_bit != "refuse" else prepared(named, TITLE)
    sets = [_decoded(one) for one in pictures(named, data)] if found is None else found
    refuse_other_shapes([one.shape[1:] for one in sets])
    return dataset_of([_bytes(one) for one in sets], TITLE)


def has_three(images: Any) -> bool:
    """Whether they are training, validation and test images: a list of three may be three images."""
    return isinstance(images, tuple) and len(images) == 3


def _decoded(some) -> UInt8[np.ndarray, "example height width channel"]:
    return np.stack([some.read(number).pixels for number in range(some.size)])


def _bytes(images: np.ndarray) -> UInt8[np.ndarray, "example height width channel"]:
    return np.ascontiguousarray(images).astype(np.uint8, copy=False)
