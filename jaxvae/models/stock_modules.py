"""How does a module with leaves that are no arrays become part of a model? Its arrays are leaves, the rest
static."""

import functools
import types
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class StaticParts:
    """The leaves of a module that are not arrays, such as the activation of ``eqx.nn.MLP``.

    Functions are equal if their code is: a module that is built again has new ones.
    """

    def __init__(self, rest: PyTree):
        self._rest = rest

    def join(self, arrays: PyTree) -> Any:
        """The whole module, with these arrays."""
        return eqx.combine(arrays, self._rest)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StaticParts) and self._identity == other._identity

    def __hash__(self) -> int:
        return hash(self._identity)

    @functools.cached_property
    def _identity(self) -> tuple:
        leaves, tree = jax.tree.flatten(self._rest)
        return tree, tuple(map(_identity, leaves))


def _identity(leaf: Any) -> Any:
    """What tells a static leaf from others, also after it was made again."""
    if isinstance(leaf, functools.partial):
        return _identity(leaf.func), tuple(map(_identity, leaf.args)), tuple(sorted(leaf.keywords.items()))
    if isinstance(leaf, types.FunctionType):
        cells = tuple(_identity(cell.cell_contents) for cell in leaf.__closure__ or ())
        return leaf.__module__, leaf.__qualname__, leaf.__code__, cells
    return leaf


def partition(module: PyTree) -> tuple[PyTree, StaticParts | None]:
    """The module without the leaves that are no arrays, and those; None if there are none. NumPy's arrays
    become JAX's."""
    module = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, module)
    arrays, rest = eqx.partition(module, eqx.is_array)
    return arrays, StaticParts(rest) if jax.tree.leaves(rest) else None


class Adopted(eqx.Module):
    """A network of whose leaves only the arrays are left, called as it was.

    As our own networks do, it computes in the precision of its weights and returns float32.
    """

    arrays: PyTree
    rest: StaticParts = eqx.field(static=True)

    def __call__(self, *arguments: Any) -> Any:
        precision = next(
            (w.dtype for w in jax.tree.leaves(self.arrays) if eqx.is_inexact_array(w)), jnp.float32
        )
        results = self.rest.join(self.arrays)(*_cast(arguments, precision))
        return _cast(results, jnp.float32)


def _cast(tree: PyTree, precision: Any) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.astype(precision) if eqx.is_inexact_array(leaf) else leaf, tree)


def adopt(module: Any) -> Any:
    """The module itself if all its leaves are arrays, else ``Adopted``."""
    if all(eqx.is_array(leaf) for leaf in jax.tree.leaves(module)):
        return module
    arrays, rest = partition(module)
    return arrays if rest is None else Adopted(arrays, rest)


class Frozen(eqx.Module):
    """A module that is not trained: its arrays get no gradient, so they stay as they are."""

    module: Any

    def __init__(self, module: Any):
        self.module = adopt(module)

    def __call__(self, *arguments: Any) -> Any:
        return jax.tree.map(
            lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_array(leaf) else leaf, self.module
        )(*arguments)
