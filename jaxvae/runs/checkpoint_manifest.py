"""Is a checkpoint undamaged? ``digest.json`` holds digests of its arrays and of each of its files.

It is written last, and holds a digest of itself too, so that a change of any byte of a checkpoint is
detected.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PyTree

NAME = "digest.json"


class DamagedError(Exception):
    """A checkpoint differs from what was written; says which file, and how."""


class Best(NamedTuple):
    """The checkpoint with the best bound on validation images."""

    step: int
    nll: float
    """Minus its importance-weighted bound there, in nats an image."""


class Manifest(NamedTuple):
    """The content of ``digest.json``."""

    step: int
    state: str
    """SHA-256 of the arrays (``digest_arrays``)."""
    leaves: dict[str, str]
    """``describe_leaves`` of the state."""
    files: dict[str, tuple[int, str]]
    """Size in bytes and SHA-256 of each file, by its path in the checkpoint."""
    record: dict[str, Any]
    """What else the run stores with the state."""

    @property
    def best(self) -> Best | None:
        """The best checkpoint up to this one."""
        found = self.record.get("best")
        return None if found is None else Best(**found)

    @property
    def kept_as_best(self) -> set[int]:
        """The steps that are kept, however old, as long as this checkpoint is the newest."""
        return set() if self.best is None else {self.best.step}


def named_leaves(tree: PyTree) -> dict[str, Any]:
    """Each array by its path in the tree: ``{"model.encoder.mlp.layers[0].weight": ..., ...}``."""
    return {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in jax.tree.leaves_with_path(tree)}


def describe_leaves(tree: PyTree) -> dict[str, str]:
    """Type and shape of each array: ``{"model.encoder.mlp.layers[0].weight": "float32[784,400]", ...}``."""
    return {
        name: f"{leaf.dtype}[{','.join(map(str, leaf.shape))}]" for name, leaf in named_leaves(tree).items()
    }


def digest_arrays(tree: PyTree) -> str:
    """SHA-256 over the paths, types, shapes and bytes of NumPy arrays."""
    digest = hashlib.sha256()
    described = describe_leaves(tree)
    for (path, kind), leaf in zip(described.items(), jax.tree.leaves(tree), strict=True):
        digest.update(f"{path}:{kind}\n".encode())
        digest.update(np.ascontiguousarray(leaf).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def digest_files(folder: Path) -> dict[str, tuple[int, str]]:
    """Size and SHA-256 of every file under ``folder`` but the manifest."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / NAME:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            found[path.relative_to(folder).as_posix()] = (path.stat().st_size, sha256)
    return found


def render(manifest: Manifest) -> bytes:
    """The bytes of ``digest.json``. They are a function of the manifest, so a reader can compare bytes."""
    body = json.dumps(manifest._asdict(), indent=1)
    return json.dumps({"sha256": hashlib.sha256(body.encode()).hexdigest()}).encode() + b"\n" + body.encode()


def verify(folder: Path, step: int) -> Manifest:
    """The manifest of the checkpoint of ``step`` in ``folder``, after checking every file that it names.

    Raises DamagedError if a byte of a file differs from what was written, or if a file is missing.
    """
    manifest = _read(folder / NAME)
    if manifest.step != step:
        raise DamagedError(f"it is the checkpoint of step {manifest.step}")
    try:
        found = digest_files(folder)
    except OSError as error:
        raise DamagedError(f"{error.filename} cannot be read ({error.strerror})") from error
    for name, (size, sha256) in manifest.files.items():
        if name not in found:
            raise DamagedError(f"{name} is missing")
        if found[name][0] != size:
            raise DamagedError(f"{name} has {found[name][0]} bytes, not {size}")
        if found[name][1] != sha256:
            raise DamagedError(f"{name} has other contents than were written: its SHA-256 is not {sha256}")
    return manifest


def _read(path: Path) -> Manifest:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read ({error.strerror})") from error
    try:
        fields = json.loads(content.split(b"\n", 1)[1])
        fields["files"] = {name: tuple(entry) for name, entry in fields["files"].items()}
        manifest = Manifest(**fields)
        if render(manifest) == content:
            return manifest
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise DamagedError(f"{path.name} has other contents than were written")
