"""Which processes train this run together? One, or several, each with its own devices.

Only the first process reads and writes files; ``broadcast`` sends what it read to the others.
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
"""After this many seconds without a heartbeat a process counts as dead, and the others stop."""


def join(coordinator_address: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Connects to the other processes; must be called before anything asks for devices.

    Without arguments, JAX reads them from the environment (TPU pod, Slurm, Open MPI). Raises UserError for
    arguments that ``launch.check`` refuses, and RunError if the other processes do not connect.
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
    """Whether ``join`` has connected this process to others. Does not initialise the devices."""
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
    # Sent as bytes, because the broadcast is a sum, which would turn -0 into 0.
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
