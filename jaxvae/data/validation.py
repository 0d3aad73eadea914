"""Which images choose the best checkpoint? A part of the training images, or a set of their own."""

import hashlib

import numpy as np
from jaxtyping import Int

from jaxvae.config import Data
from jaxvae.data.dataset import Dataset
from jaxvae.data.memory_map import Chosen, choose
from jaxvae.errors import UserError
from jaxvae.training import order

VALIDATION_SEED = 2**32 + 1
"""Seed of the choice. Neither a run nor the split of images without a test set has it, so their orders are
others. It is not the run's own, so that runs with several seeds are trained and chosen by the same images,
and their scores differ by what was trained alone."""


def with_validation(dataset: Dataset, data: Data) -> Dataset:
    """The images with the validation set that ``data.validation`` asks for.

    A part of the training images is always the same part of the same set, and is not among its training
    images any more. Raises UserError if there is no such set, or if nothing would be left to train on.
    """
    wanted = data.validation
    if wanted is None:
        if dataset.validation is not None:
            raise UserError(
                f"{dataset.title} give validation images, and data.validation is None: choose own, or give "
                "none"
            )
        return dataset
    if wanted == "own":
        if dataset.validation is None:
            refuse_no_validation(dataset.title)
        return dataset._replace(chosen="a set of their own")
    if dataset.validation is not None:
        raise UserError(
            f"--data.validation {wanted} is of no use with {dataset.title}, which give validation images: "
            "choose own"
        )
    count = len(dataset.train)
    held = round(wanted * count) if wanted < 1 else int(wanted)
    if held >= count:
        raise UserError(
            f"--data.validation {wanted} cannot work: of the {count:,} training images of {dataset.title}, "
            "none would be left to train on"
        )
    if held < 2:
        raise UserError(
            f"--data.validation {wanted} cannot work: one of the {count:,} training images of "
            f"{dataset.title} would choose among checkpoints, which is by chance; two are the least"
        )
    trained, validated = divide(count, held)
    assert not isinstance(dataset.train, Chosen)
    digest = hashlib.sha256(dataset.digest().encode())
    digest.update(validated.tobytes())
    return dataset._replace(
        train=choose(dataset.train, trained),
        validation=choose(dataset.train, validated),
        noted_digest=digest.hexdigest(),
        chosen=f"{held:,} of {count:,} training images, drawn once and for all",
    )


def refuse_no_validation(title: str) -> None:
    """Raises UserError: the set has no validation images."""
    raise UserError(
        f"--data.validation own cannot work: {title} has no validation set (validation, valid or val) beside "
        "train and test; choose a number of training images, such as 5000, or a share of them, such as 0.1"
    )


def divide(count: int, held: int) -> tuple[Int[np.ndarray, " train"], Int[np.ndarray, " validation"]]:
    """The numbers of the training and of the ``held`` validation images among ``count``, both ascending."""
    ranks = order.permutation(VALIDATION_SEED, 0, count).astype("<i8")
    return np.sort(ranks[held:]), np.sort(ranks[:held])
