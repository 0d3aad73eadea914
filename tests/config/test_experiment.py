"""Files of one's own: what is wrong in them is one message with the file, and the line or the field."""

from pathlib import Path

import pytest

from jaxvae.commands.train import main, parse, typed_fields
from jaxvae.config import ELBO, MLP, SGD, Bernoulli, Config, Conv, Data, Gaussian, Model, Train
from jaxvae.config.experiment_file import experiment_file, load_experiment
from jaxvae.errors import UserError

CONFIGS = Path(__file__).parents[2] / "configs"
IMPORT = "from jaxvae.config import *\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must define config = Config(...): it defines none"),
        ("config = 3", "must define config = Config(...): there it is of type int"),
        (IMPORT + "config = Config", "must define config = Config(...): there it is the class Config"),
        (
            IMPORT + "config = Config(\n    model=Model(latent_dims=3),\n)",
            ", line 3: latent_dims is no field of model: did you mean latent_dim? It has latent_dim, ",
        ),
        (
            IMPORT + "config = Config(modell=Model())",
            ", line 2: modell is no field of config: did you mean model?",
        ),
        (IMPORT + "config = Config(seed=1", ", line 2: '(' was never closed\n    config = Config(seed=1"),
        (
            IMPORT + "\nconfig = Confg()",
            ", line 3: NameError: name 'Confg' is not defined\n    config = Confg()",
        ),
        ("from jaxvae.config import Confg", ", line 1: ImportError: cannot import name 'Confg'"),
        (
            "import nothing_of_this_name",
            ", line 1: ModuleNotFoundError: No module named 'nothing_of_this_name'",
        ),
        ("raise SystemExit(0)", ", line 1: SystemExit: 0\n    raise SystemExit(0)"),
        ("class Own(BaseException): pass\nraise Own", ", line 2: Own\n    raise Own"),
        ("def f():\n    f()\nf()", ", line 2: RecursionError: maximum recursion depth"),
        (IMPORT + "config = Config()\nconfig.train.steps = 4", ", line 3: cannot assign to field 'steps': a"),
        ("import json\njson.loads('{')", ", line 2: JSONDecodeError: "),
        (b"name = '\xff'\n", ": (unicode error)"),
        ("class E(Exception):\n    def __str__(self): return 1 / 0\nraise E", ", line 3: E\n    raise E"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(tmp_path, capsys, text, says):
    path = tmp_path / "mine.py"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main(CONFIGS, ["--config", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {path}")
    assert says in said.err
    assert "Traceback" not in said.err


def test_every_bad_value_of_a_file_is_in_one_message(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        IMPORT + "config = Config(\n"
        "    seed='3',\n"
        "    data=Data(binarization='Dynamic', dequantization='Uniform'),\n"
        "    model=Model(latent_dim=2.5, architecture=MLP(hidden=[16, 'x'], activation='swish'),\n"
        "                likelihood='Bernoulli'),\n"
        "    optimizer=Adam(schedule='linear', learning_rate='1e-3'),\n"
        "    train=Train(steps=1e2, batch_size=True),\n"
        "    eval=Eval(grid=-1),\n"
        ")\n"
    )
    # Flags change none of that, and neither does asking for help.
    for more in ([], ["--train.steps", "5"], ["--help"]):
        assert main(CONFIGS, ["--config", str(tmp_path / "mine.py"), *more]) == 2
        lines = capsys.readouterr().err.removeprefix("error: ").splitlines()
        assert [line.removeprefix(f"{tmp_path / 'mine.py'}: ").split()[0] for line in lines] == [
            "data.binarization",
            "data.dequantization",
            "model.latent_dim",
            "model.architecture.hidden",
            "model.architecture.activation",
            "model.likelihood",
            "optimizer.schedule",
            "train.batch_size",
            "eval.grid",
        ]


def test_what_loses_nothing_is_taken(tmp_path):
    (tmp_path / "mine.py").write_text(
        IMPORT + "import pathlib\n"
        "class Mine(Model): pass\n"
        "config = Config(seed='3', model=Mine(architecture=MLP(hidden=16), latent_dim=2.0),\n"
        "                train={'steps': 1e2},\n"
        "                data=Data(name=pathlib.Path('pictures')))\n"
    )
    expected = Config(
        3, Data(name="pictures"), Model(latent_dim=2, architecture=MLP(hidden=(16,))), train=Train(steps=100)
    )
    assert load_experiment(tmp_path / "mine.py") == expected
    assert parse(CONFIGS, ["--config", str(tmp_path / "mine.py")]).experiment == expected


def test_flags_can_put_right_what_a_file_left_open(tmp_path):
    (tmp_path / "mine.py").write_text(IMPORT + "config = Config(data=Data(binarization='none'))\n")
    named = ["--config", str(tmp_path / "mine.py")]
    gaussian = parse(CONFIGS, [*named, "--model.likelihood", "gaussian"]).experiment
    assert gaussian.model.likelihood == Gaussian()
    with pytest.raises(
        UserError, match=r"mine\.py: model\.likelihood bernoulli needs pixels that are 0 or 1"
    ):
        parse(CONFIGS, named)
    with pytest.raises(UserError, match=r"^--train\.steps 0 cannot work.*\n.*mine\.py: model\.likelihood"):
        parse(CONFIGS, [*named, "--train.steps", "0"])


def test_what_a_file_set_for_its_kind_is_forgotten_when_flags_choose_another():
    flags = "--model.likelihood bernoulli --data.binarization dynamic --data.dequantization none"
    config = parse(CONFIGS, ["--config", "images", *flags.split()]).experiment
    assert config.model.likelihood == Bernoulli()
    assert config.model.architecture == Conv(channels=(32, 64, 128), hidden=(512,), activation="gelu")
    config = parse(CONFIGS, ["--config", "mnist", "--model.architecture.hidden"]).experiment
    assert config.model.architecture == MLP(hidden=())
    config = parse(CONFIGS, ["--config", "images", "--objective.beta", "0"]).experiment
    assert config.objective == ELBO(beta=0.0)
    # What both kinds have in common stays; their own fields begin anew.
    config = parse(CONFIGS, ["--config", "mnist_conv", "--model.architecture", "mlp"]).experiment
    assert config.model.architecture == MLP(hidden=(256,), activation="gelu")
    config = parse(
        CONFIGS, ["--config", "mnist", "--optimizer=sgd", "--optimizer.momentum", "0.5"]
    ).experiment
    assert config.optimizer == SGD(learning_rate=4e-3, momentum=0.5)


@pytest.mark.parametrize(
    ("flags", "field"),
    [
        ("--model.likelihood.sigma 0.1", "model.likelihood.sigma"),
        ("--model.likelihood.sigma 1.0", "model.likelihood.sigma"),
        ("--model.likelihood.sigma=0.1", "model.likelihood.sigma"),
        ("--model.likelihood.learn-sigma False", "model.likelihood.learn_sigma"),
        ("--model.likelihood.learn_sigma=True", "model.likelihood.learn_sigma"),
        ("--model.architecture.channels 8 16", "model.architecture.channels"),
        ("--data.resize crop", "data.resize"),
        ("--data.placement resident --data.workers 2", "data.workers"),
        ("--model.architecture.activation silu --model.architecture.hidden", "model.architecture.activation"),
        ("--objective.beta 0 --objective.beta-warmup-steps 5", "objective.beta_warmup_steps"),
    ],
)
def test_a_flag_that_does_nothing_is_refused_whatever_its_value(flags, field):
    with pytest.raises(
        UserError, match=rf"^--{field} .* does nothing with --.* choose --.*, or leave it out$"
    ):
        parse(CONFIGS, ["--config", "mnist", *flags.split()])


def test_fields_are_found_among_arguments_however_they_are_written():
    arguments = (
        "--config x --train.steps 3 --model.latent-dim=4 --eval.batch_size=5 --workdir --seed 1 -3".split()
    )
    assert typed_fields(arguments, Config()) == {"train.steps", "model.latent_dim", "eval.batch_size", "seed"}


def test_a_file_that_is_not_there_is_named_with_those_that_are(tmp_path):
    (tmp_path / "folder.py").mkdir()
    for name, says in [
        ("mnits", "did you mean mnist?"),
        ("mnist.py", "there is no mnist.py; did you mean mnist?"),
        (str(tmp_path / "folder.py"), "folder.py is a folder"),
        ("x" * 5000 + ".py", "cannot be read (File name too long)"),
        ("", "must be a path that is not empty"),
        ("~no-user-of-this-name/x.py", "knows no folder of that user"),
    ]:
        with pytest.raises(UserError) as raised:
            experiment_file(CONFIGS, name)
        assert says in str(raised.value)
    assert experiment_file(CONFIGS, "mnist") == CONFIGS / "mnist.py"


def test_a_home_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "mine.py").write_text(IMPORT + "config = Config(seed=5)\n")
    assert parse(CONFIGS, ["--config", "~/mine.py"]).experiment.seed == 5
