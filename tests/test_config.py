import dataclasses
import json
import subprocess
import sys
from pathlib import Path

from jaxvae.config import Config, Data, Eval, Model, Objective, Optimizer, Train
from jaxvae.config.conversion import convert
from jaxvae.config.fields import MAY_CHANGE, differences, to_dict, with_field


def test_a_configuration_survives_json():
    config = Config(seed=3, model=Model(hidden=(5, 6), sigma=0.1), optimizer=Optimizer(clip_norm=None))
    assert convert(json.loads(json.dumps(to_dict(config))), []) == config
    assert convert({"seed": 3, "model": {"hidden": []}}, []) == Config(seed=3, model=Model(hidden=()))


def test_differences_name_every_field_with_both_values():
    old = Config(seed=1, model=Model(hidden=(5,)))
    new = Config(seed=2, model=Model(hidden=(5, 6)), train=Train(steps=7))
    steps = Train().steps
    assert differences(old, new) == {
        "seed": (1, 2),
        "model.hidden": ([5], [5, 6]),
        "train.steps": (steps, 7),
    }


def test_fields_that_may_change_exist():
    names = {f"{s}.{f}" for s, v in to_dict(Config()).items() if isinstance(v, dict) for f in v}
    assert names >= MAY_CHANGE


def test_every_field_has_its_help():
    from jaxvae.config import fields

    source = Path(fields.__file__).read_text()
    for section in (Data, Model, Objective, Optimizer, Train, Eval):
        assert section.__doc__
        for field in dataclasses.fields(section):
            after = source.split(f"class {section.__name__}:")[1].split(f"    {field.name}: ")[1]
            assert after.splitlines()[1].startswith('    """'), f"{section.__name__}.{field.name}"


def test_one_field_is_replaced_by_its_dotted_name():
    assert with_field(Config(), "seed", 4) == Config(seed=4)
    assert with_field(Config(seed=4), "train.steps", 7) == Config(seed=4, train=Train(steps=7))


def test_configuration_does_not_import_jax():
    code = "import sys, jaxvae.config; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
