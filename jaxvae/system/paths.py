"""Which path does a person mean by what was typed, and where are the user's caches?"""

import os
from pathlib import Path
from typing import Any

from jaxvae.errors import UserError


def meant_path(given: Any, what: str) -> Path:
    """The path with ``~`` and ``~user`` as the folders that they stand for.

    ``what`` is the flag or the argument that it was given for. Raises UserError if it is empty, no path, or
    of an unknown user.
    """
    try:
        text = os.fsdecode(given)
    except TypeError:
        raise UserError(f"{what} {given!r} cannot work: it must be a path") from None
    if not text.strip() or "\0" in text:
        raise UserError(f"{what} {text!r} cannot work: it must be a path that is not empty")
    expanded = os.path.expanduser(text)
    if expanded.startswith("~"):
        raise UserError(f"{what} {text} cannot work: this system knows no folder of that user")
    return Path(expanded)


def users_folder() -> Path | None:
    """The folder that JAXVAE_CACHE_DIR names, or ``jaxvae`` where the user's caches are.

    ``~`` stands for the home. None if JAXVAE_CACHE_DIR is set to nothing, or if there is no home.
    """
    given = os.environ.get("JAXVAE_CACHE_DIR")
    if given == "":
        return None
    try:
        if given is not None:
            return Path(given).expanduser()
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxvae"
    except RuntimeError:
        return None
