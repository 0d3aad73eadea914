"""Variational autoencoders in JAX: exact, fast, and impossible to lose.

``train.py`` is the way in; ``load_model`` is the way back to what it trained.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxvae.runs.trained import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    # Importing the package stays free of JAX, so that the command line answers mistakes at once.
    if name == "load_model":
        from jaxvae.runs.trained import load_model

        return load_model
    raise AttributeError(f"module 'jaxvae' has no attribute {name!r}")
