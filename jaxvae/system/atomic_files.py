"""How is a file replaced so that a reader finds either the old or the new content, never a part of it?"""

import json
import math
import os
from pathlib import Path
from typing import Any

from jaxvae.system.platforms import flush_open


def write_json(path: Path, content: dict[str, Any], durable: bool = True) -> None:
    """Writes a JSON file so that a reader finds either the old or the new content, never a part of it.

    With ``durable`` this holds after a power failure too, not only after the process was killed.
    """
    replace(path, (json.dumps(finite(content), indent=2) + "\n").encode(), durable)


def read_json(path: Path) -> Any:
    """The content of a JSON file; None if the file is missing or is not JSON. For files that are written
    again in that case, so that an unreadable one is no error."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def replace(path: Path, content: bytes, durable: bool = True) -> None:
    """Replaces the content of the file, as ``write_json`` does. Raises OSError and then keeps the old one."""
    partial = path.with_name(path.name + ".partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                flush_open(file.fileno())
        os.replace(partial, path)
    except BaseException:
        # BaseException, because signals end some commands by raising KeyboardInterrupt.
        partial.unlink(missing_ok=True)
        raise


def finite(value: Any) -> Any:
    """The value with NaN and infinities replaced by None, because JSON has no such numbers."""
    if isinstance(value, dict):
        return {name: finite(inner) for name, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
