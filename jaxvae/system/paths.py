"""Which path does an argument mean, and where is the user's cache folder?"""

import os
from pathlib import Path
from typing import Any

from jaxvae.errors import UserError


def meant_path(given: Any, what: str) -> Path:
    """The path with ``~`` and ``~user`` expanded.

    ``what`` names the flag or argument for messages. Raises UserError if the value is empty, not a path, or
    names an unknown user.
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
    """The folder that JAXVAE_CACHE_DIR names, or else ``jaxvae`` in the user's cache folder.

    ``~`` is expanded. None if JAXVAE_CACHE_DIR is set to an empty string, or if the user has no home folder.
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
