"""Why did a computation fail? Another process of the run stopped, or memory ran out."""

import contextlib
from collections.abc import Iterator

import jax

from jaxvae.errors import RunError
from jaxvae.training import processes

_LOST = ("gloo", "nccl", "connection", "peer", "unavailable", "coordination", "heartbeat")
"""Words that occur in XLA's messages when it loses the connection to another process."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turns exceptions of JAX or NumPy with one of these causes into a RunError that says what to do."""
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory(error) from error
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" in str(error):
            raise _out_of_memory(error) from error
        if processes.count() == 1 or not any(word in str(error).lower() for word in _LOST):
            raise
        raise RunError(
            f"another process of this run has stopped ({_first_line(error)}). Start all of them again: they "
            "continue from the newest checkpoint."
        ) from error


def _out_of_memory(error: Exception) -> RunError:
    return RunError(
        f"there is not enough memory ({_first_line(error)}). Less is taken by a smaller "
        "--train.batch_size, --eval.batch_size, --model.architecture.hidden or --data.image_size; more "
        "--train.devices share a batch."
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
