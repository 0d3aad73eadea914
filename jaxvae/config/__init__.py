"""What can an experiment set, and what is said of values that cannot work? Dataclasses only, without JAX.

- ``fields``: every field, its default and its ``--help``.
- ``validation``: which values cannot work, wherever a configuration comes from.
- ``conversion``: has a value the type that its field declares?
- ``experiment_file``: an experiment's own file, ``configs/NAME.py`` or a path to one.
- ``own_code``: the functions that such a file may define, found again by whoever opens the run.

Knows nothing of the other folders but paths (``system``) and errors.
"""

from jaxvae.config.fields import Code, Config, Data, Eval, Model, Objective, Optimizer, Train

__all__ = ["Code", "Config", "Data", "Eval", "Model", "Objective", "Optimizer", "Train"]
