"""How are functions compiled, and compiled programs reused?

XLA takes seconds and does not hold Python's lock, so a separate thread compiles while others import, read and
trace. Programs that earlier processes compiled are taken from a cache.
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
    """Compiles functions, or takes the compiled program from a ``cache`` that earlier processes filled.

    A program from the cache is the earlier one byte for byte, so it computes the same bits. Its key
    (``identify``) contains everything that compilation depends on.
    """

    def __init__(self, cache: Cache | None = None):
        # If the user configured or disabled JAX's own compilation cache, ours is not used.
        settings: Any = jax.config
        ours = settings.jax_enable_compilation_cache and not settings.jax_compilation_cache_dir
        self._cache = cache if ours else None
        self._thread = ThreadPoolExecutor(1, "compiler")

    def __call__(self, function: Any, devices: Sequence[Device], *arguments: PyTree) -> Callable:
        """Compiles ``function``, which comes from ``jax.jit`` or ``map_over_devices``, to run on ``devices``
        with arguments of these shapes; the arguments may be shapes instead of arrays."""
        if processes.count() > 1:
            return compile_for(function, devices, *arguments)
        lowered = function.lower(*arguments)
        name = identify(lowered, devices) if self._cache is not None else None
        if self._cache is None or name is None:
            return compile_lowered(lowered, devices)
        cached = self._cache.read(name)
        if cached is not None:
            try:
                return serialize_executable.deserialize_and_load(
                    cached, lowered.in_tree, lowered.out_tree, execution_devices=list(devices)
                )
            except Exception:
                # Any error here means an unusable cache entry: compile instead.
                pass
        compiled = compile_lowered(lowered, devices)
        self._thread.submit(self._keep, self._cache, name, compiled)
        return compiled

    def begin(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Calls a function, which may be this compiler or use it, in the compiler's thread. Calls run in the
        order in which they were submitted."""
        return self._thread.submit(function, *arguments)

    def __enter__(self) -> "Compiler":
        return self

    def __exit__(self, kind, *_) -> None:
        # After an error, calls that wait in the queue are cancelled.
        self._thread.shutdown(cancel_futures=kind is not None)

    @staticmethod
    def _keep(cache: Cache, name: str, compiled: Any) -> None:
        try:
            content = serialize_executable.serialize(compiled)[0]
        except Exception:
            # Some programs cannot be serialised. The cache is optional, so that is no error.
            return
        cache.write(name, content)


def identify(lowered: Any, devices: Sequence[Device]) -> str | None:
    """The cache key of a program: a digest of the program before compilation, the compiler, its settings,
    and the target machine. None if the machine cannot be identified."""
    processor, client = _processor(), devices[0].client
    if client.platform == "cpu" and (processor is None or _complains()):
        return None
    settings = sorted(item for item in os.environ.items() if item[0].startswith(_SETTINGS))
    # XLA divides a CPU program into as many tasks as there are cores, so their number changes the bits.
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
"""Prefixes of the environment variables that may change what a compiler does."""
_IDENTITY = (
    *("vendor_id", "cpu family", "model", "model name", "stepping", "flags"),
    *("CPU implementer", "CPU architecture", "CPU variant", "CPU part", "CPU revision", "Features"),
)


@functools.cache
def _processor() -> str | None:
    """The facts that distinguish this processor from others with other instructions or timings."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return None
    facts = [line for line in first.splitlines() if line.split(":")[0].strip() in _IDENTITY]
    return "\n".join(facts) or None


def _complains() -> bool:
    """Whether this jaxlib prints long warnings that a cached program does not fit the processor (jax issue
    38445). The programs run correctly, but a user could not know that, so they are not cached."""
    version = tuple(int(number) for number in re.findall(r"\d+", jaxlib.version.__version__)[:3])
    return (0, 8, 1) <= version < (0, 10, 2)
