"""How does a module of another library become part of a model? Its arrays are leaves, the rest static."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


class Adopted(eqx.Module):
    """A module of whose leaves only the arrays are left, called as it was.

    Leaves that are functions or plain numbers, such as the activation of ``eqx.nn.MLP``, can neither be on a
    device nor in a checkpoint. As our own networks do, it computes in the precision of its weights and
    returns float32.
    """

    arrays: PyTree
    rest: PyTree = eqx.field(static=True)

    def __call__(self, *arguments: Any) -> Any:
        precision = next(
            (w.dtype for w in jax.tree.leaves(self.arrays) if eqx.is_inexact_array(w)), jnp.float32
        )
        results = eqx.combine(self.arrays, self.rest)(*_cast(arguments, precision))
        return _cast(results, jnp.float32)


def _cast(tree: PyTree, precision: Any) -> PyTree:
    return jax.tree.map(lambda leaf: leaf.astype(precision) if eqx.is_inexact_array(leaf) else leaf, tree)


def adopt(module: Any) -> Any:
    """The module itself if all its leaves are JAX arrays, else ``Adopted``; NumPy arrays become JAX's."""
    leaves = jax.tree.leaves(module)
    if all(eqx.is_array(leaf) for leaf in leaves):
        return module
    module = jax.tree.map(lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf, module)
    return Adopted(*eqx.partition(module, eqx.is_array))
