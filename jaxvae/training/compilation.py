"""How do functions become programs? While Python goes on, and from what earlier processes compiled.

XLA takes seconds and needs no Python: a thread of its own compiles while others import, read and trace.
"""

import functools
import hashlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import jax
import jaxlib.version
from jax.experimental import serialize_executable
from jaxtyping import PyTree

from jaxvae.system.platforms import cores
from jaxvae.training import processes
from jaxvae.training.compiled_programs import Cache
from jaxvae.training.parallel import Device, compile_for, compile_lowered, compile_options

Result = TypeVar("Result")


class Compiler:
    """Compiles functions, or takes them from a ``cache`` in which earlier processes left the very same.

    A program from the cache is the one that was compiled then, byte for byte, so it computes the same
    bits; what it is found by (``identify``) is all that compiling depends on.
    """

    def __init__(self, cache: Cache | None = None):
        # What the user told JAX about its own cache goes for these programs too.
        settings: Any = jax.config
        ours = settings.jax_enable_compilation_cache and not settings.jax_compilation_cache_dir
        self._cache = cache if ours else None
        self._thread = ThreadPoolExecutor(1, "compiler")

    def __call__(self, function: Any, devices: Sequence[Device], *arguments: PyTree) -> Callable:
        """The function, as from ``jax.jit`` or ``map_over_devices``, compiled for arguments like these, which
        may be only shapes; ``devices`` are those that it will run on."""
        if processes.count() > 1:
            return compile_for(function, devices, *arguments)
        lowered = function.lower(*arguments)
        name = identify(lowered, devices) if self._cache is not None else None
        if self._cache is None or name is None:
            return compile_lowered(lowered, devices)
        kept = self._cache.read(name)
        if kept is not None:
            try:
                return serialize_executable.deserialize_and_load(
                    kept, lowered.in_tree, lowered.out_tree, execution_devices=list(devices)
                )
            except Exception:
                # Whatever is wrong with what was kept, it can be compiled.
                pass
        compiled = compile_lowered(lowered, devices)
        self._thread.submit(self._keep, self._cache, name, compiled)
        return compiled

    def begin(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Calls a function, the compiler itself or one that uses it, in the compiler's own thread; what is
        begun first is ended first."""
        return self._thread.submit(function, *arguments)

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, kind, *_) -> None:
        # After an error nothing more is begun.
        self._thread.shutdown(cancel_futures=kind is not None)

    @staticmethod
    def _keep(cache: Cache, name: str, compiled: Any) -> None:
        try:
            content = serialize_executable.serialize(compiled)[0]
        except Exception:
            # Not every program can be kept, and none has to be.
            return
        cache.write(name, content)


def identify(lowered: Any, devices: Sequence[Device]) -> str | None:
    """A name for what compiling gives: a digest of the program before it, the compiler, its settings, and
    the machine that it compiles for; None if that is unknown."""
    processor, client = _processor(), devices[0].client
    if client.platform == "cpu" and (processor is None or _complains()):
        return None
    settings = sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS))
    # A CPU's program is cut into as many tasks as there are cores: another number gives other bits.
    parts = [
        (jax.__version__, jaxlib.version.__version__, client.platform, client.platform_version),
        [(device.id, device.device_kind) for device in devices],
        (len(jax.devices()), processor, cores(), settings, compile_options(devices)),
        lowered.as_text(),
    ]
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{part}\n".encode())
    return digest.hexdigest()


_SETTINGS = ("JAX_", "XLA_", "LIBTPU_", "TPU_", "NVIDIA_", "NPROC", "PJRT_NPROC")
"""How the names of environment variables begin that a compiler may heed."""
_IDENTITY = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)


@functools.cache
def _processor() -> str | None:
    """What tells this processor from others that may lack an instruction or time it differently."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return None
    facts = [line for line in first.splitlines() if line.split(":")[0].strip() in _IDENTITY]
    return "\n".join(facts) or None


def _complains() -> bool:
    """Whether this jaxlib calls its own programs unfit for the processor that made them, at length, when it
    loads them (jax issue 38445). It runs them all the same, and right, but nobody could tell."""
    version = tuple(int(number) for number in re.findall(r"\d+", jaxlib.version.__version__)[:3])
    return (0, 8, 1) <= version < (0, 10, 2)
