"""How is code of an experiment's own file found again, and is it still the same?

An experiment's file may define kinds of its own, and ``build``, ``objective`` and ``optimizer`` beside
``config``. A run remembers the file's path and a digest of its text and of the modules beside it that it
imports; whoever opens the run later imports them again.
"""

import functools
import hashlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae.config.fields import Code, Config
from jaxvae.config.kinds.kind import is_own
from jaxvae.config.nested import kinds_of
from jaxvae.errors import UserError

HOOKS = ("build", "objective", "optimizer")
"""Functions that an experiment's file may define; see ``models.build`` and ``training.optimizer``."""


def run_file(path: Path) -> tuple[dict[str, Any], str]:
    """Runs the file, which may import modules that lie beside it; returns its names, and the SHA-256 of all
    of that code. Raises whatever it raises."""
    source, folder = path.read_bytes(), path.parent.absolute()
    module = types.ModuleType(f"{_PREFIX}{path.stem}")
    module.__file__ = str(path)
    # What is imported already may be of another experiment, or be older than its file.
    hidden = {name: sys.modules.pop(name) for name in _beside(folder)}
    bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    # Dataclasses, among others, look up the module that a class says it is of.
    sys.modules[module.__name__] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    finally:
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = bytecode
        beside = {name: sys.modules.pop(name) for name in _beside(folder)}
        sys.modules.update(hidden)
    digest = hashlib.sha256(source)
    for name, one in sorted(beside.items()):
        # A folder without an __init__.py is a module without a file.
        if (file := getattr(one, "__file__", None)) is not None:
            digest.update(b"\0" + name.encode() + b"\0" + Path(file).read_bytes())
    return dict(module.__dict__), digest.hexdigest()


def _beside(folder: Path) -> list[str]:
    """The names of the imported modules that lie in the folder, and of what is in their packages. Libraries
    further below, in a virtual environment, are none of them, nor are this package and the program itself."""

    def lies_there(name: str) -> bool:
        top = name.partition(".")[0]
        if top in (__name__.partition(".")[0], "__main__") or top.startswith(_PREFIX):
            return False
        module = sys.modules.get(top)
        place = next(iter(getattr(module, "__path__", ())), None) or getattr(module, "__file__", None)
        return place is not None and Path(place).absolute().parent == folder

    return [name for name in sys.modules if lies_there(name)]


_PREFIX = "jaxvae_experiment_"
"""How the modules are called that experiments' files become."""


def own_code(path: Path, names: dict[str, Any], digest: str, config: Config) -> Code:
    """What a run is to remember of a file that was run: nothing, unless it defines one of ``HOOKS``, or
    ``config`` has kinds that are not ours."""
    own_kinds = any(is_own(kind) for kind in kinds_of(config).values())
    if not own_kinds and not any(callable(names.get(hook)) for hook in HOOKS):
        return Code()
    file = str(path.absolute())
    _LOADED[file, digest] = names
    return Code(file=file, sha256=digest)


def own_function(code: Code, hook: str) -> Callable | None:
    """The function that the experiment's file defines, or None. Raises UserError if the file is gone, or is
    not the one that the run was made with."""
    if code.file is None or code.sha256 is None:
        return None
    names = _LOADED.get((code.file, code.sha256)) or _load(code.file, code.sha256, code.accept_changed)
    return names.get(hook) if callable(names.get(hook)) else None


def define_kinds(file: str) -> None:
    """Runs an experiment's file for the kinds that it defines, whatever became of its text; whoever builds
    something of them asks ``own_function``, which looks at that. Raises UserError if the file is gone."""
    names, digest = _run_own(file)
    _LOADED.setdefault((file, digest), names)


_LOADED: dict[tuple[str, str], dict[str, Any]] = {}
"""What ``own_code`` was given: it need not be run again, and its classes are the same for whoever asks."""


@functools.cache
def _load(file: str, sha256: str, accept_changed: bool) -> dict[str, Any]:
    names, digest = _run_own(file)
    if digest != sha256 and not accept_changed:
        raise UserError(changed_code(file, sha256, digest))
    return names


def _run_own(file: str) -> tuple[dict[str, Any], str]:
    try:
        return run_file(Path(file))
    except FileNotFoundError as error:
        if error.filename == file:
            raise UserError(
                f"{file}, whose code this run is made with, is gone: put it back, or give it with --config"
            ) from error
        raise


def changed_code(file: str, before: str, now: str) -> str:
    """What is said where a run's code is not what it was."""
    return (
        f"{file}, or a module beside it, has changed since the run was begun: the SHA-256 of its code is "
        f"{now[:12]}..., and was {before[:12]}.... Put it back; or, if that makes no "
        "difference to the model, --code.accept_changed True (in Python: Run(path, accept_changed_code=True))"
    )
