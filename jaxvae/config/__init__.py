"""What can an experiment set, and what is said of values that cannot work? Dataclasses only, without JAX.

- ``fields``: every field, its default and its ``--help``.
- ``validation``: which values cannot work, wherever a configuration comes from.
- ``conversion``: has a value the type that its field declares?
- ``experiment_file``: an experiment's own file, ``configs/NAME.py`` or a path to one.

Knows nothing of the other folders but paths (``system``) and errors.
"""

from jaxvae.config.fields import Config, Data, Eval, Model, Objective, Optimizer, Train

__all__ = ["Config", "Data", "Eval", "Model", "Objective", "Optimizer", "Train"]
