"""What does an experiment's file say, what is wrong in which line, and how is its own code found again?

An experiment's file may define kinds of its own, and ``build``, ``objective`` and ``optimizer`` beside
``config``. A run remembers the file's path and a digest of its text and of the modules beside it that it
imports; whoever opens the run later imports them again.
"""

import dataclasses
import functools
import hashlib
import linecache
import re
import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxvae import config as fields
from jaxvae.config.conversion import suggest, unknown_field
from jaxvae.config.fields import Code, Config
from jaxvae.config.kinds.kind import Kind, is_own, kind_of_name
from jaxvae.config.nested import kinds_of
from jaxvae.config.validation import Origin, validate
from jaxvae.errors import ReportedError, UserError
from jaxvae.system.paths import meant_path


def known_experiments(configs: Path) -> list[str]:
    """Names of the experiments in the folder ``configs``."""
    return sorted(path.stem for path in configs.glob("*.py"))


def experiment_file(configs: Path, name: str) -> Path:
    """``configs/NAME.py``, or the file that ``name`` is a path of; raises UserError if there is none."""
    path = meant_path(name, "--config")
    if not name.endswith(".py"):
        path = configs / f"{path}.py"
    try:
        if path.is_file():
            return path
        what = f"{path} is a folder" if path.is_dir() else f"there is no {path}"
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror})"
    known = known_experiments(configs)
    hint = suggest(name.removesuffix(".py"), known)
    hint = f"{hint} " if hint else ""
    raise UserError(f"--config {name}: {what}; {hint}Experiments: {', '.join(known)}")


def load_experiment(path: Path) -> Config:
    """The ``config`` in the file, its values converted to their fields' types.

    Raises UserError with the file, and the line or the fields, if anything in it is wrong.
    """
    try:
        found, digest = run_file(path)
    except (ReportedError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise UserError(_explain(path, error)) from error
    config = found.get("config")
    if not isinstance(config, Config):
        is_what = "it defines none" if "config" not in found else f"there it is {_kind(config)}"
        raise UserError(f"{path} must define config = Config(...): {is_what}")
    config = validate(config, Origin(str(path)), types_only=True)
    return dataclasses.replace(config, code=own_code(path, found, digest, config))


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"of type {type(value).__name__}"


def _explain(path: Path, error: BaseException) -> str:
    """The line of the file in which it went wrong, how, and what would be right if that is known."""
    if isinstance(error, SyntaxError) and error.filename in (str(path), None):
        number, what = error.lineno, error.msg
    elif isinstance(error, OSError) and error.filename == str(path):
        return f"{path} cannot be read ({error.strerror})"
    else:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        number = frames[-1].lineno if frames else None
        what = _described(error)
    where = f"{path}, line {number}" if number else f"{path}"
    # A caller may have run an earlier content of it.
    linecache.checkcache(str(path))
    source = linecache.getline(str(path), number).strip() if number else ""
    return f"{where}: {what}" + (f"\n    {source}" if source else "")


def _described(error: BaseException) -> str:
    """The error in words: a field that a section does not have, or that cannot be set so, in ours."""
    kind = type(error).__name__
    try:
        text = str(error)
    except Exception:
        # It is of a class of the file's own, which has its mistakes too.
        return kind
    found = re.match(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'", text)
    if found is not None and isinstance(error, TypeError):
        section, field = getattr(fields, found[1], None) or kind_of_name(found[1]), found[2]
        if isinstance(section, type) and dataclasses.is_dataclass(section):
            known = [each.name for each in dataclasses.fields(section)]
            name = found[1] if issubclass(section, Kind) else found[1].lower()
            return f"{field} {unknown_field(name, field, known)}"
    if kind == "FrozenInstanceError":
        return f"{text}: a configuration cannot be changed; give its fields when it is made"
    return f"{kind}: {text}".removesuffix(": ")


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
