"""How much of the machine did other programs take meanwhile?

Not a detail: two threads of PyTorch wait for each other in a busy loop, and with one core taken away they
were seen to train at a thirtieth of their speed, while JAX lost half.
"""

import os
import sys
from pathlib import Path

LIMIT = 0.05
"""Share of the CPUs that may be gone without a turn being taken again."""


def cpu_seconds() -> float:
    """CPU time that all programs together have had; 0 where Linux does not tell."""
    if sys.platform != "linux":
        return 0.0
    user, nice, system, _idle, _waiting, *rest = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def others(everybody: float, own: float, seconds: float) -> float:
    """Share of all CPUs that went to others in so many seconds, given everybody's CPU time and one's own."""
    return max(0.0, everybody - own) / (seconds * (os.cpu_count() or 1))
