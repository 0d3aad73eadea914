import dataclasses
import inspect
import json
import subprocess
import sys

import jaxvae
from jaxvae.config import MLP, Adam, Config, Data, Eval, Gaussian, Likelihood, Model, Network, Train
from jaxvae.config.conversion import convert
from jaxvae.config.kinds.kind import Kind
from jaxvae.config.nested import differences, flat, kinds_of, to_dict, with_field
from jaxvae.config.resumption import MAY_DIFFER
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.objectives import AbstractObjective
from jaxvae.models.posteriors import AbstractPosterior
from jaxvae.models.priors import AbstractPrior
from jaxvae.models.vae import AbstractVAE


def test_a_configuration_survives_json():
    config = Config(
        seed=3,
        model=Model(architecture=MLP(hidden=(5, 6)), likelihood=Gaussian(sigma=0.1)),
        optimizer=Adam(clip_norm=None),
    )
    assert convert(json.loads(json.dumps(to_dict(config))), []) == config
    assert convert({"seed": 3, "model": {"architecture": {"hidden": []}}}, []) == Config(
        seed=3, model=Model(architecture=MLP(hidden=()))
    )


def test_differences_name_every_field_with_both_values():
    old = Config(seed=1, model=Model(architecture=MLP(hidden=(5,))))
    new = Config(seed=2, model=Model(architecture=MLP(hidden=(5, 6))), train=Train(steps=7))
    steps = Train().steps
    assert differences(old, new) == {
        "seed": (1, 2),
        "model.architecture.hidden": ([5], [5, 6]),
        "train.steps": (steps, 7),
    }


def test_fields_that_may_change_exist():
    assert flat(to_dict(Config())).keys() >= MAY_DIFFER


def test_every_field_has_its_help():
    kinds = [kind for chosen in kinds_of(Config()).values() for kind in chosen.kinds().values()]
    for section in {base for kind in kinds for base in kind.__mro__ if issubclass(base, Kind)} | {
        *(Data, Model, Train, Eval)
    }:
        assert section.__doc__
        source = inspect.getsource(section)
        for name in section.__annotations__:
            if name not in {field.name for field in dataclasses.fields(section)}:
                continue
            after = source.split(f"    {name}: ")[1]
            assert after.splitlines()[1].startswith('    """'), f"{section.__name__}.{name}"


def test_every_kind_builds_what_its_family_is_and_takes_its_fields():
    families = {
        "model.likelihood": AbstractLikelihood,
        "model.posterior": AbstractPosterior,
        "model.prior": AbstractPrior,
        "objective": AbstractObjective,
    }
    for name, chosen in kinds_of(Config()).items():
        for kind in chosen.kinds().values():
            assert kind.about()
            assert kind.__name__ in jaxvae.__all__
            if name == "model.architecture" and not issubclass(kind, Network):
                assert issubclass(kind().implementation(), AbstractVAE)
            if name in families:
                assert issubclass(kind().implementation(), families[name]), kind
    for kind in Likelihood.kinds().values():
        assert issubclass(kind, Likelihood)
        assert kind.pixels == kind().implementation().support


def test_one_field_is_replaced_by_its_dotted_name():
    assert with_field(Config(), "seed", 4) == Config(seed=4)
    assert with_field(Config(seed=4), "train.steps", 7) == Config(seed=4, train=Train(steps=7))


def test_configuration_does_not_import_jax():
    code = "import sys, jaxvae.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
