"""How is a file written so that a reader finds the old content or the new, never a part?"""

import json
import math
import os
from pathlib import Path
from typing import Any

from jaxvae.system.platforms import flush_open


def write_json(path: Path, content: dict[str, Any], durable: bool = True) -> None:
    """Writes a JSON file so that a reader finds the old content or the new, never a part.

    If it is ``durable``, also after the machine, and not only the process, died.
    """
    replace(path, (json.dumps(finite(content), indent=2) + "\n").encode(), durable)


def read_json(path: Path) -> Any:
    """What is in a JSON file; None if there is none, or if it is no JSON: for files that would be replaced
    anyway, and need not be readable."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def replace(path: Path, content: bytes, durable: bool = True) -> None:
    """Gives the file new content, as ``write_json`` does; raises OSError, and leaves the old one then."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                flush_open(file.fileno())
        os.replace(partial, path)
    except BaseException:
        # Also a signal, which ends some commands by an exception.
        partial.unlink(missing_ok=True)
        raise


def finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for them."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
