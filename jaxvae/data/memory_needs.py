"""Does a run fit into memory? This is checked before anything is decoded or trained."""

import math
from typing import Any, NamedTuple

from jaxvae.config import Config, Data
from jaxvae.config.nested import flat, to_dict
from jaxvae.errors import UserError
from jaxvae.system.platforms import host_memory

FLOAT = 4
"""Bytes of a float32 number."""


def describe_bytes(size: int) -> str:
    """A number of bytes in words, such as ``1.5 GB``."""
    exponent = min(5, max(2, int(math.log10(max(1, size)) // 3)))
    return f"{size / 1000**exponent:,.1f} {('', 'kB', 'MB', 'GB', 'TB', 'PB')[exponent]}"


def refuse_image_size(data: Data, batch_size: int = 1) -> None:
    """Raises UserError if one batch of gray images of ``data.image_size`` is larger than all of this
    machine's memory."""
    if data.image_size is None:
        return
    needed, memory = batch_size * data.image_size**2 * FLOAT, host_memory()
    if needed > memory:
        size = f"{data.image_size} x {data.image_size}"
        batch = f"a batch of {batch_size:,} images" if batch_size > 1 else "an image"
        raise UserError(
            f"--data.image_size {data.image_size} cannot work: {batch} of {size} pixels takes "
            f"{describe_bytes(needed)} at least, and this machine has {describe_bytes(memory)} of memory"
        )


class Need(NamedTuple):
    """Something that a device must hold in memory at one time."""

    what: str
    size: int
    """Bytes."""
    fields: dict[str, Any]
    """The fields of the configuration that determine its size, with their values."""


def needs(
    config: Config, tests: int, image_shape: tuple[int, ...], state: int, devices: int, steps: int
) -> list[Need]:
    """Lower bounds for what each device must hold in a run that scores ``tests`` images at most, a state of
    ``state`` bytes, and calls of ``steps`` steps."""
    batch, grid = config.train.batch_size, config.eval.grid
    scored = min(config.eval.batch_size, tests)
    image = math.prod(image_shape) * FLOAT
    values = flat(to_dict(config))
    widths = ["model.latent_dim", *(name for name in values if name.startswith("model.architecture."))]
    each = [
        ("weights, Adam's averages and a checkpoint's copy take", 2 * state, widths),
        ("a device's part of a batch takes", batch * image // devices, ["train.batch_size"]),
        ("a device's part of a scored batch takes", scored * image // devices, ["eval.batch_size"]),
        # Once as numbers, and once as the sheet, whose tiles are enlarged.
        ("the sample pictures take", 2 * grid**2 * image, ["eval.grid"]),
    ]
    size = ["data.image_size"] * (config.data.image_size is not None)
    wanted = [(what, bytes_, [*names, *size]) for what, bytes_, names in each]
    # The indices of the images of each step, 32 bits each.
    indices = 4 * steps * batch
    wanted.append(
        ("the order of a call's images takes", indices, ["train.steps_per_call", "train.batch_size"])
    )
    return [Need(what, bytes_, {name: values[name] for name in names}) for what, bytes_, names in wanted]
