"""What does an experiment's file say? And, if it is not a good one, what is wrong in which line?"""

import dataclasses
import linecache
import re
import traceback
from pathlib import Path

from jaxvae import config as fields
from jaxvae.config.conversion import suggest, unknown_field
from jaxvae.config.fields import Config
from jaxvae.config.kinds.kind import Kind, kind_of_name
from jaxvae.config.own_code import own_code, run_file
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
