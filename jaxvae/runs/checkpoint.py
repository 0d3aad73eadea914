"""How is a run's state saved and read back? Orbax checkpoints under ``checkpoints/STEP``, each with a digest.

A checkpoint is written in the background into ``STEP.partial``, read back and compared, and only then renamed
to ``STEP``. A folder with that name was therefore complete once, and its digest shows whether it still is.
"""

import concurrent.futures
import errno
import os
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from jaxvae.errors import RunError, UserError
from jaxvae.runs import checkpoint_manifest as manifest
from jaxvae.runs.checkpoint_manifest import DamagedError, Manifest
from jaxvae.system.platforms import flush, reserve
from jaxvae.system.third_party_output import quiet, tracebacks
from jaxvae.training import processes

ITEM = "default"
"""Orbax's own name for a checkpoint's only item."""
PARTIAL, DAMAGED = ".partial", ".damaged"
_HALF_DONE = re.compile(r"\d+(\.damaged)?(\.old)?\.partial", re.ASCII)
"""Folders that a killed process leaves behind. Any other ``.partial`` is not ours and is not removed."""


class WriteError(RunError):
    """A file of a run cannot be written."""


class Restored(NamedTuple):
    """A state that was read, as NumPy arrays."""

    state: PyTree
    manifest: Manifest
    damaged: dict[int, str]
    """Newer checkpoints that were skipped, and what is wrong with each."""


@jax.jit
def snapshot(state: PyTree) -> PyTree:
    """A copy on the device. It can be written to disk while the next training call reuses the memory of the
    original. Copying is dispatched asynchronously, like any computation."""
    return jax.tree.map(jnp.copy, state)


class Checkpoints:
    """The checkpoints of one run. Only the newest ``kept`` are kept, and the best."""

    def __init__(self, folder: Path, kept: int):
        # Orbax refuses relative paths.
        self.folder, self._kept = folder.resolve(), kept
        self._writer = concurrent.futures.ThreadPoolExecutor(1, "checkpoint")
        self._writing: concurrent.futures.Future | None = None
        self._has_written = False

    def steps(self) -> list[int]:
        """Steps of the checkpoints that were committed, ascending."""
        if not self.folder.is_dir():
            return []
        return sorted(int(entry.name) for entry in self.folder.iterdir() if _is_checkpoint(entry))

    def read(self, like: PyTree | Callable, until: int | None = None) -> Restored | None:
        """The newest undamaged checkpoint (of step ``until`` at most); None if there are no checkpoints.

        ``like`` is a tree of shapes, or a function from the checkpoint's record to one. Changes nothing on
        disk. Raises UserError, with the array's path, if an array's type or shape differs from ``like``, and
        RunError if all checkpoints are damaged.
        """
        damaged: dict[int, str] = {}
        for step in reversed(self.steps()):
            if until is not None and step > until:
                continue
            path = self.folder / str(step)
            try:
                description = manifest.verify(path, step)
                shapes = like(description.record) if callable(like) else like
                _check_leaves(path, description.leaves, manifest.describe_leaves(shapes))
                state = _read_arrays(path, shapes)
                if manifest.digest_arrays(state) != description.state:
                    raise DamagedError("its arrays are not those that were written")
            except DamagedError as error:
                damaged[step] = str(error)
            else:
                return Restored(state, description, damaged)
        if damaged:
            listed = "\n".join(f"  step {step}: {reason}" for step, reason in damaged.items())
            raise RunError(
                f"every checkpoint in {self.folder} is damaged:\n{listed}\nNothing was changed. Put back a "
                "copy of one, or choose another --workdir to start anew."
            )
        return None

    def clean(self, damaged: dict[int, str]) -> None:
        """Renames damaged checkpoints to ``STEP.damaged`` and removes those that a kill left half-written."""
        for step in damaged.keys() & {*self.steps()}:
            shutil.rmtree(self._aside(step), ignore_errors=True)
            (self.folder / str(step)).rename(self._aside(step))
        for entry in list(self.folder.glob(f"*{PARTIAL}")):
            if _HALF_DONE.fullmatch(entry.name) and entry.is_dir():
                shutil.rmtree(entry)

    def save(
        self,
        step: int,
        state: PyTree,
        record: dict[str, Any],
        first: Callable[[], None] | None = None,
    ) -> None:
        """Starts writing ``state``, after waiting for the previous write if that is still running.

        ``first`` is called just before the checkpoint gets its final name. Raises WriteError if the previous
        write failed.
        """
        self.wait()
        if not self._has_written:
            self._has_written = True
            tracebacks.keep_back()
        import_orbax()
        self._writing = self._writer.submit(self._write, step, state, record, first or (lambda: None))

    def check(self) -> None:
        """Raises WriteError if the last write has failed; does not wait for it."""
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Waits for the last write; raises WriteError if it failed."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def close(self) -> None:
        """Waits for the last write, and ends the writing thread."""
        self._writer.shutdown()
        if self._has_written:
            self._has_written = False
            tracebacks.show_again()

    def _aside(self, step: int) -> Path:
        return self.folder / f"{step}{DAMAGED}"

    def _write(self, step: int, state: PyTree, record: dict[str, Any], first: Callable[[], None]) -> None:
        state = jax.device_get(state)
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(state))
        partial = self.folder / f"{step}{PARTIAL}"
        try:
            _refuse_non_finite(step, state)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            _try_room(partial / "room", size)
            checkpointer, kinds = _orbax()
            with quiet():
                checkpointer.save(partial / ITEM, args=kinds.StandardSave(state))
            digest = manifest.digest_arrays(state)
            if manifest.digest_arrays(_read_arrays(partial, state)) != digest:
                raise DamagedError("what was read back is not what was written")
            files = manifest.digest_files(partial)
            description = Manifest(step, digest, manifest.describe_leaves(state), files, record)
            (partial / manifest.NAME).write_bytes(manifest.render(description))
            for path in (*partial.rglob("*"), partial):
                flush(path)
            first()
            partial.rename(self.folder / str(step))
            flush(self.folder)
        except Exception as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise self._write_error(step, size, error) from error
        self._remove(self._aside(step))
        for old in {*self.steps()[: -self._kept]} - description.kept_as_best:
            self._remove(self.folder / str(old))

    def _remove(self, path: Path) -> None:
        # Renamed first: if the process died while removing it, it would count as a damaged checkpoint.
        doomed = path.with_name(f"{path.name}.old{PARTIAL}")
        if path.exists():
            path.rename(doomed)
            shutil.rmtree(doomed)

    def _write_error(self, step: int, size: int, error: Exception) -> WriteError:
        if isinstance(error, RunError):
            return WriteError(str(error))
        newest = max(self.steps(), default=None)
        resume = f"step {newest} is the newest there" if newest is not None else "there is none yet"
        return WriteError(
            f"step {step} could not be saved in {self.folder}: {_reason(error)}. A checkpoint takes up to "
            f"{_megabytes(size)}; {_free(self.folder)}. Of the checkpoints, {resume}. Once this is put "
            "right, the same command continues the run."
        )


def _is_checkpoint(path: Path) -> bool:
    """Whether the folder is a checkpoint, possibly damaged. Other folders may be called by a number too."""
    named = re.fullmatch(r"0|[1-9]\d*", path.name, re.ASCII) is not None
    return named and any((path / name).exists() for name in (ITEM, manifest.NAME))


def _check_leaves(path: Path, saved: dict[str, str], wanted: dict[str, str]) -> None:
    for name in sorted(saved.keys() | wanted.keys()):
        if saved.get(name) != wanted.get(name):
            there, here = (kinds.get(name, "nothing") for kinds in (saved, wanted))
            raise UserError(
                f"{path} is not a checkpoint of this configuration: {name} is {there} there and {here} here"
            )


def _read_arrays(path: Path, like: PyTree) -> PyTree:
    """The arrays, in the structure of ``like``. They are found by their paths: a module without arrays, which
    an earlier version of the model did not have, changes nothing."""
    try:
        checkpointer, kinds = _orbax()
        with quiet():
            saved = checkpointer.restore(path / ITEM, args=kinds.StandardRestore())
        return jax.tree.map_with_path(lambda keys, _: _found(saved, keys), like)
    except Exception as error:
        raise DamagedError(f"Orbax cannot read it: {_first_line(error)}") from error


def _found(saved: Any, keys: tuple) -> np.ndarray:
    """The array at a path in what Orbax gives: dictionaries and lists for whatever was saved."""
    for key in keys:
        name = next(getattr(key, field) for field in ("name", "key", "idx") if hasattr(key, field))
        saved = saved[int(name)] if isinstance(saved, Sequence) else saved[str(name)]
    return np.asarray(saved)


def import_orbax() -> Any:
    """Imports Orbax, which takes half a second. The main thread must call this before another thread writes:
    two imports in two threads at once can each find partly initialised modules of the other."""
    import orbax.checkpoint

    return orbax.checkpoint


def _orbax() -> tuple[Any, Any]:
    """A checkpointer and the module of its arguments, as Any: some versions hide their types."""
    ocp = import_orbax()

    # Only one process reads and writes, also when several train together.
    several = processes.count() > 1
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(),
        active_processes={jax.process_index()} if several else None,
        barrier_sync_key_prefix="jaxvae" if several else None,
    )
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone), ocp.args


def _try_room(path: Path, size: int) -> None:
    """Raises OSError unless a file of ``size`` bytes can be created now. Orbax fails late on a full disk,
    with long tracebacks. It may need less space, because it compresses."""
    try:
        with path.open("wb") as file:
            reserve(file.fileno(), size)
    except OSError as error:
        # A single file of this size may exceed a limit that Orbax's several smaller files do not.
        if error.errno not in (errno.EFBIG, errno.EOPNOTSUPP, errno.EINVAL):
            raise OSError(error.errno, os.strerror(error.errno or 0)) from error
    finally:
        path.unlink(missing_ok=True)


def _refuse_non_finite(step: int, state: PyTree) -> None:
    for name, leaf in manifest.named_leaves(state).items():
        if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
            raise RunError(f"the state after step {step} is not finite and was not saved: see {name}")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return error.strerror + where
    # TensorStore, which Orbax uses, hides the operating system's error number in a long message.
    if number := re.search(r"os_error_code='(\d+)'", str(error)):
        return os.strerror(int(number[1]))
    return _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def _free(folder: Path) -> str:
    try:
        return f"{_megabytes(shutil.disk_usage(folder).free)} are free"
    except OSError:
        return "the folder is gone"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB ({size:,} bytes)"
