"""How is work shared among devices? The only module that uses ``pmap``."""

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
"""A ``jax.Device``. A type checker does not accept that name as a type, because it is a variable."""

AXIS = "data"
"""Name of the mapped axis: the devices."""


def all_devices() -> list[Device]:
    """The devices of the default backend, of all processes. Call it before anything is computed.

    Raises UserError if JAX finds no device of the kind that the environment asks for; the message names the
    variable and the devices that exist.
    """
    try:
        return jax.devices()
    except Exception as error:
        # JAX raises several types; for a missing GPU it is an AssertionError without a message.
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
    """The devices that JAX finds without JAX_PLATFORMS; its state is restored afterwards."""
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
    """The devices that train.

    Raises UserError, with values that would work, if there are fewer devices than asked for, or if they
    cannot share a batch evenly or as ``train.reduction`` requires. Raises it too if JAX is set to compile
    nothing, or to draw other numbers from the same seed.
    """
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
    """The devices of this process: all of them, unless several processes train together."""
    return [device for device in devices if device.process_index == jax.process_index()]


def replicate(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """The same arrays on every device of this process, as ordinary (un-stacked) arrays."""
    return jax.device_put(tree, NamedSharding(_mesh(devices), PartitionSpec()))


def shapes_replicated(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Shapes, types and shardings of the result of ``replicate`` for such arrays."""
    place = NamedSharding(_mesh(devices), PartitionSpec())
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place), tree)


def local_part(array: Shaped[np.ndarray, "device ..."], devices: Sequence[Device]) -> np.ndarray:
    """The part for this process's devices of an array whose leading axis runs over all devices."""
    return array[slice(*_local_range(devices))]


def shard_local(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Gives each device of this process its part of arrays whose leading axis runs over these devices."""
    return jax.device_put(tree, NamedSharding(_mesh(devices), PartitionSpec(AXIS)))


def shard(tree: PyTree, devices: Sequence[Device]) -> PyTree:
    """Gives each device of this process its part of arrays whose leading axis runs over all devices."""
    return shard_local(jax.tree.map(lambda array: local_part(array, devices), tree), devices)


def shape_sharded(shape: tuple[int, ...], dtype: Any, devices: Sequence[Device]) -> jax.ShapeDtypeStruct:
    """Shape, type and sharding of the result of ``shard_local`` for this process's devices."""
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
    """Mean over the mapped axis. On one device the input is returned, since a CPU would copy every array."""
    return tree if jax.lax.psum(1, axis_name) == 1 else jax.lax.pmean(tree, axis_name)


def mean_in_order(parts: PyTree, axis_name: str) -> PyTree:
    """Mean over all parts of a batch, of which each device of the mapped axis has the same number.

    The parts, on the leading axis, are added as a binary tree: neighbours in pairs, then the pairs in pairs.
    If the number of devices is a power of two, the parts of one device are a branch of that tree, so the
    order of the additions, and with it every bit of the result, does not depend on the number of devices.
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
    """Whether the flag is true on any device of the mapped axis."""
    return jax.lax.psum(flag.astype(jnp.int32), axis_name) > 0


def gather_over_devices(tree: PyTree, axis_name: str, axis: int) -> PyTree:
    """The devices' arrays concatenated along ``axis``, on every device."""
    return jax.tree.map(lambda x: jax.lax.all_gather(x, axis_name, axis=axis, tiled=True), tree)


def map_over_devices(
    function: Callable,
    devices: Sequence[Device],
    *,
    mapped: tuple[bool, ...],
    donate: tuple[int, ...] = (),
) -> Any:
    """``function`` to run on every device at once, under the axis ``AXIS``, as a ``jax.stages.Wrapped``.

    ``mapped`` says for each argument whether its leading axis runs over the devices (``shard``). The other
    arguments and the results are replicated. ``donate`` lists arguments whose memory the results may use.
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
    """The mapped function compiled for these devices and arguments of these shapes.

    With several processes it is compiled by its first call instead: JAX versions differ in whether a compiled
    ``pmap`` takes local or global arrays there, while a call takes local ones in all versions.
    """
    if processes.count() > 1:
        return mapped
    return compile_lowered(mapped.lower(*arguments), devices)


def compile_lowered(lowered: Any, devices: Sequence[Device]) -> Any:
    """The program of a ``jax.stages.Lowered``, under ``compile_options``."""
    return lowered.compile(compiler_options=compile_options(devices))


def compile_options(devices: Sequence[Device]) -> dict[str, Any]:
    """Options for XLA where its defaults are slower on these devices.

    On CPUs its loops use vectors of 256 bits by default. With 512 bits a step is 6 % faster, and 8 % faster
    on a processor without AVX-512, where each vector is split in two (784-400-20 model, batch 128, two cores
    of an AMD EPYC).
    """
    return {"xla_cpu_prefer_vector_width": 512} if devices[0].platform == "cpu" else {}
