"""How is the trainer's step compiled for TPUs that are not here? By libtpu, which runs anywhere."""

import importlib.util
import math
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.chips import CHIPS
from jaxvae.config import Config

TPU_PCI_DEVICES = {"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"}
"""What TPU chips call themselves on the bus; the vendor's other devices are network cards."""


def tpu_is_here() -> bool:
    """Whether this machine has a TPU, asked without starting JAX."""
    for vendor in Path("/sys/bus/pci/devices").glob("*/vendor"):
        device = vendor.with_name("device")
        if vendor.read_text().strip() == "0x1ae0" and device.read_text().strip() in TPU_PCI_DEVICES:
            return True
    return False


def prepare() -> None:
    """Sets what libtpu must find in the environment where there is no TPU; before JAX is imported.

    Raises SystemExit, saying what to install, if libtpu is not there.
    """
    if importlib.util.find_spec("libtpu") is None:
        raise SystemExit("The TPU compiler is not installed: run  pip install -e '.[tpu]'")
    os.environ |= {
        "JAX_PLATFORMS": "cpu",
        "TPU_SKIP_MDS_QUERY": "1",
        "TPU_ACCELERATOR_TYPE": "v5litepod-4",
        "TPU_WORKER_HOSTNAMES": "localhost",
    }


def topology_devices(name: str) -> list[Any]:
    """The chips of a topology such as v5e:2x2, none of which need be here.

    Raises SystemExit, saying what would do, if there is no such topology.
    """
    from jax.experimental import topologies

    match = re.fullmatch(r"(\w+):(\d+(?:x\d+)*)", name)
    if match is None or match[1] not in CHIPS:
        raise SystemExit(f"--topology {name}: use a chip ({', '.join(CHIPS)}) and a shape, as in v5e:2x2")
    alone = math.prod(int(side) for side in match[2].split("x")) == 1
    extra = {"chips_per_host_bounds": (1, 1, 1)} if alone else {}
    try:
        found = topologies.get_topology_desc(platform="tpu", topology_name=name, **extra)
    except Exception as error:
        raise SystemExit(
            f"--topology {name}: libtpu knows none such ({str(error).splitlines()[0]})"
        ) from error
    return list(found.devices)


def lower(
    config: Config,
    images: tuple[int, int, int, int],
    devices: Sequence[Any],
    steps: int,
    streamed: bool = False,
) -> Any:
    """The trainer's call of so many steps, on training images of that shape, lowered for these devices.

    If they are ``streamed``, it is given only those of its own steps.
    """
    import jax
    import jax.numpy as jnp

    from jaxvae.training.fused_steps import map_train_steps
    from jaxvae.training.state import initial_state
    from jaxvae.training.step import train_keys

    shape, count = jax.ShapeDtypeStruct, len(devices)
    state = jax.eval_shape(lambda mean: initial_state(config, mean), shape(images[1:], jnp.float32))
    rows = (count, steps, config.train.batch_size // count)
    return map_train_steps(config, devices, streamed).lower(
        state,
        shape(rows, jnp.int32),
        shape((count,), jnp.bool_),
        shape((), jnp.int32),
        jax.eval_shape(lambda: train_keys(config)),
        shape((*rows, *images[1:]) if streamed else images, jnp.uint8),
    )
