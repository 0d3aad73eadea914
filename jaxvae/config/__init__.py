"""What can an experiment set, and what is said of values that cannot work? Dataclasses only, without JAX.

- ``fields``: every section's fields, their defaults and their ``--help``.
- ``kinds``: which likelihoods, posteriors, priors, networks, objectives and optimisers there are, and the
  fields of each.
- ``ranges``: which values of a type can work.
- ``pixels``: which pixels do the data give, and which does a likelihood take?
- ``validation``: which values cannot work together, wherever a configuration comes from.
- ``conversion``: has a value the type and the range that its field declares?
- ``nested``: a configuration as nested dictionaries, and as fields with dotted names.
- ``resumption``: which fields may have other values when a run goes on.
- ``earlier_versions``: what earlier versions called a field.
- ``experiment_file``: an experiment's own file, ``configs/NAME.py`` or a path to one, and the functions and
  kinds that it may define, found again by whoever opens the run.

Knows nothing of the other folders but paths (``system``) and errors. A kind only names what it builds.
"""

from jaxvae.config import kinds
from jaxvae.config.fields import Code, Config, Data, Eval, Model, Train
from jaxvae.config.kinds import *

__all__ = ["Code", "Config", "Data", "Eval", "Model", "Train"]
__all__ += kinds.__all__
