"""Which processes train this run together? One, or several, each with devices of its own.

The first process alone reads and writes files; what it read reaches the others by ``broadcast``.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import PyTree

from jaxvae.errors import RunError
from jaxvae.training import launch

HEARTBEAT_SECONDS = 30
"""A process that is silent for so long is taken for dead, and the others stop."""


def join(coordinator_address: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Meets the other processes; to be called before anything asks for devices.

    Without arguments JAX finds them out from the environment (TPU pod, Slurm, Open MPI). Raises UserError
    for arguments that ``launch.check`` refuses, and RunError if the others do not come.
    """
    launch.check(coordinator_address, num_processes, process_id)
    given = (coordinator_address, num_processes, process_id)
    global _joined
    try:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(*given, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except (RuntimeError, ValueError) as error:
        raise RunError(f"the processes of this run did not find each other: {error}") from error

    _joined = True


_joined = False


def is_joined() -> bool:
    """Whether this process has met others; asks for no devices."""
    return _joined


def count() -> int:
    """How many processes train together."""
    return jax.process_count()


def is_first() -> bool:
    """Whether this is the process that reads, writes and prints."""
    return jax.process_index() == 0


def broadcast(tree: PyTree) -> PyTree:
    """The first process's arrays, bit for bit, as NumPy, in every process; shapes and types must agree."""
    if count() == 1:
        return tree
    # As bytes: the sum that carries numbers to the others would turn -0 into 0.
    raw = jax.tree.map(lambda x: np.frombuffer(np.asarray(x).tobytes(), np.uint8), tree)
    raw = multihost_utils.broadcast_one_to_all(raw)
    return jax.tree.map(
        lambda x, b: np.frombuffer(np.asarray(b).tobytes(), np.asarray(x).dtype).reshape(np.shape(x)),
        tree,
        raw,
    )


def first_does(action: Callable[[], Any]) -> Any:
    """Runs ``action`` in the first process and returns its result there, None elsewhere.

    If it raises there, every process raises: the others a RunError that points to the first.
    """
    if count() == 1:
        return action()
    result, error = None, None
    if is_first():
        try:
            result = action()
        except Exception as raised:
            error = raised
    failed = broadcast(np.asarray(error is not None))
    if error is not None:
        raise error
    if failed:
        raise RunError("the first process of this run could not go on; its own message says why")
    return result
