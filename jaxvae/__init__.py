"""Variational autoencoders in JAX: exact, fast, and impossible to lose.

``python train.py`` is the way in from a shell, ``train`` from Python; ``Run`` and ``load_model`` are the ways
back to what was trained. Whatever is not in ``__all__``, or is not named by the README, may change.
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxvae import config
from jaxvae.config import *

if TYPE_CHECKING:
    from jaxvae.analysis.evaluate import evaluate
    from jaxvae.runs.loggers import Logger
    from jaxvae.runs.run import Run, load_model
    from jaxvae.runs.train import Trained, train

_PLACES = {
    "Logger": "jaxvae.runs.loggers",
    "evaluate": "jaxvae.analysis.evaluate",
    **dict.fromkeys(("Run", "load_model"), "jaxvae.runs.run"),
    **dict.fromkeys(("Trained", "train"), "jaxvae.runs.train"),
}
__all__ = ["Logger", "Run", "Trained", "evaluate", "load_model", "train"]
__all__ += config.__all__


def __getattr__(name: str) -> Any:
    # Importing the package stays free of JAX, so that the command line answers mistakes at once.
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'jaxvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
