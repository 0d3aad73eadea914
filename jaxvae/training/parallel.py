"""How is work shared among devices? The only module that says ``pmap``."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.backend import clear_backends
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, PyTree, Shaped

from jaxvae.config import Train
from jaxvae.config.fields import FIXED_PARTS
from jaxvae.errors import UserError
from jaxvae.training import processes

Device = Any
"""A ``jax.Device``; that name is a variable, which a type checker does not take."""

AXIS = "data"
"""Name of the mapped axis: the devices."""


def all_devices() -> list[Device]:
    """The devices of the default backend, of all processes; to be asked for before anything is computed.

    Raises UserError if JAX has none of the kind that the environment wants, naming the variable and what
    there is.
    """
    try:
        return jax.devices()
    except Exception as error:
        # Whatever JAX raises: for a missing GPU, an assertion without a word.
        reason = (str(error).splitlines() or [""])[0][:200]
        reason = f" ({reason})" if reason else ""
        settings: Any = jax.config
        if not settings.jax_platforms:
            raise UserError(f"JAX finds no device that it can use{reason}") from error
        raise UserError(
            f"JAX_PLATFORMS={settings.jax_platforms} asks for devices that are not here{reason}: "
            f"{_what_is_here()}. Without JAX_PLATFORMS, JAX takes the best that it finds."
        ) from error


def _what_is_here() -> str:
    """The devices that JAX finds if it is told nothing; it then forgets that it was asked."""
    settings: Any = jax.config
    wanted = settings.jax_platforms
    try:
        jax.config.update("jax_platforms", "")
        found = jax.devices()
        return f"here there {'is' if len(found) == 1 else 'are'} {len(found)} x {found[0].platform}"
    except Exception:
        return "here there is cpu"
    finally:
        clear_backends()
        jax.config.update("jax_platforms", wanted)


def choose_devices(count: int | None) -> list[Device]:
    """The first ``count`` devices of the default backend, or all; raises UserError if there are fewer."""
    devices = all_devices()
    if count not in (None, len(devices)) and processes.count() > 1:
        raise UserError(
            f"--train.devices {count}, but the {processes.count()} processes of this run have "
            f"{len(devices)} devices, and all of them take part: leave it out"
        )
    if count is not None and count > len(devices):
        raise UserError(
            f"--train.devices {count} asks for more than the {len(devices)} {devices[0].platform} "
            f"device{'s' if len(devices) > 1 else ''} here: use {len(devices)} or fewer"
        )
    return devices[:count]


def devices_for(train: Train) -> list[Device]:
    """The devices that are to train; raises UserError if there are fewer than asked for, or they cannot
    share a batch evenly or in the order that ``train.reduction`` wants, with what would do, or if JAX was
    told to compile nothing, or to draw other numbers from the same seed."""
    settings: Any = jax.config
    if settings.jax_disable_jit:
        raise UserError("JAX_DISABLE_JIT is set, but a run is made of compiled programs: unset it")
    for name, usual in (("jax_threefry_partitionable", True), ("jax_random_seed_offset", 0)):
        if (value := getattr(settings, name, usual)) != usual:
            raise UserError(
                f"{name.upper()} is {value}, which draws other numbers than the run's seed: unset it"
            )
    devices, size = choose_devices(train.devices), train.batch_size
    count = len(devices)
    if size % count:
        below, above = size // count * count, -(-size // count) * count
        sizes = f"{below} or {above}" if below else f"{above}"
        raise UserError(
            f"--train.batch_size {size} cannot be shared evenly by {count} devices: use {sizes}, or fewer "
            "devices"
        )
    if train.reduction == "fixed" and FIXED_PARTS % count:
        counts = [n for n in range(1, FIXED_PARTS + 1) if FIXED_PARTS % n == 0]
        raise UserError(f"--train.reduction fixed works on {counts} devices, not on {count}")
    return devices


def local_devices(devices: Sequence[Device]) -> list[Device]:
    """Those of this process: all, unless several processes train together."""
    return [device for device in devices if device.process_index == jax.process_index()]


def replicate(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """The same arrays on every device of this process, as ordinary (un-stacked) arrays."""
    return jax.device_put(tree, NamedSharding(_mesh(devices), PartitionSpec()))


def shapes_replicated(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Shapes, types and places of what ``replicate`` would make of arrays like these."""
    place = NamedSharding(_mesh(devices), PartitionSpec())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)


def local_part(array: Shaped[np.ndarray, "device ..."], devices: Sequence[Device]) -> np.ndarray:
    """What belongs to this process's devices of an array whose leading axis is all the devices'."""
    return array[slice(*_local_range(devices))]


def shard_local(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Gives each device of this process its part of arrays whose leading axis is that of these devices."""
    return jax.device_put(tree, NamedSharding(_mesh(devices), PartitionSpec(AXIS)))


def shard(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Gives each device of this process its part of arrays whose leading axis is all the devices'."""
    return shard_local(jax.tree.map(lambda array: local_part(array, devices), tree), devices)


def shape_sharded(shape: tuple[int, ...], dtype: Any, devices: Sequence[Device]) -> jax.ShapeDtypeStruct:
    """Shape, type and place of what ``shard_local`` would make of an array, for this process's devices."""
    place = NamedSharding(_mesh(devices), PartitionSpec(AXIS))
    return jax.ShapeDtypeStruct((len(local_devices(devices)), *shape), dtype, sharding=place)


def _mesh(devices: Sequence[Device]) -> Mesh:
    return Mesh(np.asarray(local_devices(devices)), (AXIS,))


def _local_range(devices: Sequence[Device]) -> tuple[int, int]:
    mine = [device.process_index == jax.process_index() for device in devices]
    first = mine.index(True)
    return first, first + sum(mine)


def split_batch(array: Shaped[np.ndarray, "row batch"], count: int) -> Shaped[np.ndarray, "device row local"]:
    """Gives each device its consecutive part of every row, on a new leading axis."""
    rows = array.shape[0]
    return np.ascontiguousarray(array.reshape(rows, count, -1).swapaxes(0, 1))


def mean_over_devices(tree: PyTree, axis_name: str) -> PyTree:
    """Mean over the mapped axis; nothing on one device, where a CPU would still copy every array."""
    return tree if jax.lax.psum(1, axis_name) == 1 else jax.lax.pmean(tree, axis_name)


def mean_in_order(parts: PyTree, axis_name: str) -> PyTree:
    """Mean over all parts of a batch, of which each device of the mapped axis has the same number.

    The parts, on the leading axis, are added in pairs, then the pairs in pairs: sums of neighbours, so a
    device's own parts are a branch of the same tree whatever the number of devices, if that is a power of
    two, and the result has the same bits.
    """

    def add(stacked: Array) -> Array:
        while len(stacked) > 1:
            stacked = stacked[0::2] + stacked[1::2]
        return stacked[0]

    def mean(stacked: Array) -> Array:
        devices = jax.lax.psum(1, axis_name)
        total = add(jax.lax.all_gather(add(stacked), axis_name)) if devices > 1 else add(stacked)
        return total / (len(stacked) * devices)

    return jax.tree.map(mean, parts)


def any_device(flag: Bool[Array, ""], axis_name: str) -> Bool[Array, ""]:
    """Whether the flag is up on any device of the mapped axis."""
    return jax.lax.psum(flag.astype(jnp.int32), axis_name) > 0


def gather_over_devices(tree: PyTree, axis_name: str, axis: int) -> PyTree:
    """The devices' arrays one after the other along ``axis``, on every device."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, axis=axis, tiled=True), tree)


def map_over_devices(
    function: Callable,
    devices: Sequence[Device],
    *,
    mapped: tuple[bool, ...],
    donate: tuple[int, ...] = (),
) -> Any:
    """``function`` to run on every device at once, under the axis ``AXIS``, as a ``jax.stages.Wrapped``.

    ``mapped`` says of each argument whether its leading axis is the devices' (``shard``); the others are
    replicated, as the results are. ``donate`` names arguments whose memory results may take.
    """
    return jax.pmap(
        function,
        axis_name=AXIS,
        in_axes=tuple(0 if is_mapped else None for is_mapped in mapped),
        out_axes=None,
        devices=list(devices),
        donate_argnums=donate,
    )


def compile_for(mapped: Any, devices: Sequence[Device], *arguments: PyTree) -> Callable:
    """The mapped function compiled for these devices and arguments like these.

    With several processes it is compiled by its first call instead: what a compiled ``pmap`` takes
    there, local or global arrays, differs between JAX versions, while a call takes local ones in all.
    """
    if processes.count() > 1:
        return mapped
    return compile_lowered(mapped.lower(*arguments), devices)


def compile_lowered(lowered: Any, devices: Sequence[Device]) -> Any:
    """The program of a ``jax.stages.Lowered``, under ``compile_options``."""
    return lowered.compile(compiler_options=compile_options(devices))


def compile_options(devices: Sequence[Device]) -> dict[str, Any]:
    """How XLA is told to compile for these devices, where its defaults are slower.

    On CPUs its loops take vectors of 256 bits; with 512 a step is 6 % faster, and 8 % without AVX-512, where
    each is cut in two (784-400-20 model, batch 128, two cores of an AMD EPYC).
    """
    return {"xla_cpu_prefer_vector_width": 512} if devices[0].platform == "cpu" else {}
