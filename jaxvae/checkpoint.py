"""How does a run outlive its process? Orbax checkpoints under ``checkpoints/STEP``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from jaxvae.parallel import Device, replicate

_ARGUMENTS: Any = ocp.args
"""Typed by a decorator that type checkers cannot see through in older versions of Orbax."""


@jax.jit
def snapshot(state: PyTree) -> PyTree:
    """A copy on the device, dispatched like any computation: it can be written to disk while the next
    training call reuses the memory of the original."""
    return jax.tree.map(jnp.copy, state)


class Checkpoints:
    """The checkpoints of one run, written in the background, the newest ``kept`` of them."""

    def __init__(self, folder: Path, kept: int):
        options = ocp.CheckpointManagerOptions(max_to_keep=kept, enable_async_checkpointing=True)
        # Orbax refuses relative paths.
        self._manager = ocp.CheckpointManager(folder.resolve(), options=options)

    @property
    def latest(self) -> int | None:
        """Step of the newest complete checkpoint, or None."""
        return self._manager.latest_step()

    def save(self, step: int, state: PyTree) -> None:
        """Starts writing ``state``, unless the step is there; returns once it is copied to the host."""
        if step not in self._manager.all_steps():
            self._manager.save(step, args=_ARGUMENTS.StandardSave(state))

    def restore(self, step: int, like: PyTree, devices: Sequence[Device]) -> PyTree:
        """The state saved at ``step``, with the structure, shapes and types of ``like``, on every device."""
        target = jax.tree.map(ocp.utils.to_shape_dtype_struct, replicate(like, devices))
        return self._manager.restore(step, args=_ARGUMENTS.StandardRestore(target))

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()
