"""May a result be written to this file? That is asked before hours of work, not after."""

import os
from collections.abc import Callable
from pathlib import Path

from jaxvae.errors import UserError, printable


def refuse_unwritable(path: Path, flag: str, is_ours: Callable[[Path], bool]) -> None:
    """Raises UserError if no file can be made beside ``path`` to take its name, or if another file than one
    that ``is_ours`` has it. Leaves nothing behind."""
    named = f"{flag} {printable(path)}"
    if path.is_dir():
        raise UserError(f"{named} is a folder: name a file")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{named} cannot be written: there is no folder {printable(path.parent)}")
    partial = path.with_name(path.name + ".partial")
    try:
        if path.exists() and not is_ours(path):
            raise UserError(f"{named} is there already, and nothing that jaxvae wrote: name another file")
        there = os.path.lexists(partial)
        partial.open("ab").close()
        if not there:
            partial.unlink()
    except OSError as error:
        raise UserError(f"{named} cannot be written ({error.strerror})") from error
