"""How is work shared among devices? The only module that says ``pmap``."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import PyTree, Shaped

from jaxvae.config import UserError

Device = Any
"""A ``jax.Device``; that name is a variable, which a type checker does not take."""

AXIS = "data"
"""Name of the mapped axis: the devices."""


def choose_devices(count: int | None) -> list[Device]:
    """The first ``count`` devices of the default backend, or all; raises UserError if there are fewer."""
    devices = jax.devices()
    if count is not None and count > len(devices):
        raise UserError(
            f"--train.devices {count} asks for more than the {len(devices)} {devices[0].platform} "
            f"device{'s' if len(devices) > 1 else ''} here: use {len(devices)} or fewer"
        )
    return devices[:count]


def check_divides(name: str, batch_size: int, devices: Sequence[Device]) -> None:
    """Raises UserError if the devices cannot share a batch evenly, with sizes that would do."""
    count = len(devices)
    if batch_size % count:
        below, above = batch_size // count * count, -(-batch_size // count) * count
        sizes = f"{below} or {above}" if below else f"{above}"
        raise UserError(
            f"--{name} {batch_size} cannot be shared evenly by {count} devices: use {sizes}, or fewer devices"
        )


def replicate(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """The same arrays on every device, as ordinary (un-stacked) arrays."""
    return jax.device_put(tree, NamedSharding(Mesh(np.asarray(devices), (AXIS,)), PartitionSpec()))


def split_batch(array: Shaped[np.ndarray, "row batch"], count: int) -> Shaped[np.ndarray, "device row local"]:
    """Gives each device its consecutive part of every row, on a new leading axis."""
    rows = array.shape[0]
    return np.ascontiguousarray(array.reshape(rows, count, -1).swapaxes(0, 1))


def mean_over_devices(tree: PyTree, axis_name: str) -> PyTree:
    """Mean over the mapped axis; nothing on one device, where a CPU would still copy every array."""
    return tree if jax.lax.psum(1, axis_name) == 1 else jax.lax.pmean(tree, axis_name)


def map_over_devices(
    function: Callable,
    devices: Sequence[Device],
    *,
    mapped: tuple[bool, ...],
    out_mapped: bool,
    donate: tuple[int, ...] = (),
) -> Any:
    """``function`` to run on every device at once, under the axis ``AXIS``, as a ``jax.stages.Wrapped``.

    ``mapped`` says of each argument whether its leading axis is the devices'; the others are replicated,
    as the results are unless ``out_mapped``. ``donate`` names arguments whose memory results may take.
    """
    return jax.pmap(
        function,
        axis_name=AXIS,
        in_axes=tuple(0 if is_mapped else None for is_mapped in mapped),
        out_axes=0 if out_mapped else None,
        devices=list(devices),
        donate_argnums=donate,
    )
