"""The command as it is typed: what it makes, and what it says when it cannot."""

import gc
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from jaxvae.commands.train import main

ROOT = Path(__file__).parents[2]
SHORT = (
    "--train.steps 40 --train.batch_size 16 --train.log_every 10 --train.eval_every 20 "
    "--train.checkpoint_every 20 --train.devices 1 --model.architecture.hidden 16 --model.latent_dim 4 "
    "--eval.importance_samples 4 --eval.interim_importance_samples 1"
).split()


def train(*arguments, cwd, **environment):
    return subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def run_here(*arguments, capsys):
    """The same without a process of its own, which would take seconds to import JAX."""
    try:
        code = main(ROOT / "configs", [str(argument) for argument in arguments])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    said = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, code, said.out, said.err)


def read_folder(run):
    """The metrics and the summary of a finished ``SHORT`` run, after checking that it left what it should."""
    assert sorted(path.name for path in run.iterdir()) == [
        "checkpoints",
        "config.json",
        "goodput.json",
        "images",
        "metrics.jsonl",
        "summary.json",
    ]
    assert sorted(path.name for path in (run / "images").iterdir()) == [
        f"{kind}-{step}.png" for kind in ("reconstructions", "samples") for step in (20, 40)
    ]
    assert sorted(int(path.name) for path in (run / "checkpoints").iterdir()) == [20, 40]

    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["split"]) for line in lines] == [
        (10, "train"),
        (20, "train"),
        (20, "test"),
        (30, "train"),
        (40, "train"),
        (40, "test"),
    ]
    assert list(lines[0]) == [
        "step",
        "split",
        "elbo",
        "rate",
        "distortion",
        "loss",
        "learning_rate",
        "examples_per_second",
        "seconds",
    ]
    return lines, json.loads((run / "summary.json").read_text())


def check_summary(summary, last_line):
    """Everything that is promised of the summary of a ``SHORT`` run."""
    assert list(summary) == ["step", "test", "data", "throughput", "device", "versions", "goodput"]
    test = summary["test"]
    assert list(test) == [
        "elbo",
        "elbo_stderr",
        "rate",
        "distortion",
        "nll",
        "nll_stderr",
        "nll_bias",
        "nll_draw_stderr",
        "effective_samples",
        "gap",
        "gap_stderr",
        "active_units",
        "bits_per_dim",
        "importance_samples",
        "examples",
    ]
    assert last_line == {"step": 40, "split": "test", **test}
    assert test["examples"] == 10_000
    assert test["importance_samples"] == 4
    assert abs(test["elbo"] + test["rate"] + test["distortion"]) < 1e-6
    assert abs(test["gap"] - (-test["nll"] - test["elbo"])) < 1e-6
    assert test["gap"] > 0
    assert abs(test["bits_per_dim"] - test["nll"] / 784 / 0.6931471805599453) < 1e-9
    data = dict(summary["data"])
    assert len(data.pop("sha256")) == 64
    assert data == {
        "name": "mnist",
        "source": "mnist",
        "train": 60_000,
        "test": 10_000,
        "image_shape": [28, 28, 1],
        "binarization": "dynamic",
        "dequantization": "none",
        "horizontal_flips": False,
        "support": "binary",
    }
    throughput = dict(summary["throughput"])
    assert list(throughput) == ["examples_per_second", "compile_seconds", "train_seconds", "data_wait"]
    assert throughput.pop("data_wait") == 0
    assert min(throughput.values()) > 0
    assert summary["device"] == {"platform": "cpu", "kind": "cpu", "count": 1}


def test_the_shipped_experiment_runs_from_the_command_line_and_leaves_what_it_promises(
    tmp_path, monkeypatch, capsys
):
    done = train("--config", "mnist", *SHORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "mnist"
    lines, summary = read_folder(run)
    check_summary(summary, lines[-1])
    assert f"{-summary['test']['elbo']:.3f}" in done.stdout

    # The same command again only evaluates, and finds the same.
    again = train("--config", "mnist", *SHORT, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "is finished at step 40" in again.stdout
    evaluated = json.loads((run / "summary.json").read_text())
    assert evaluated.pop("goodput")["wall_seconds"] > summary.pop("goodput")["wall_seconds"]
    assert evaluated == summary
    assert [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()] == lines

    # Another experiment in the same folder is refused, field by field, and nothing is touched.
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = train(
        "--config", "mnist", *SHORT, "--seed", 3, "--model.architecture.activation", "tanh", cwd=tmp_path
    )
    assert_refused(
        other, "seed: 0 there, 3 here", "model.architecture.activation: ", " there, tanh here", "--workdir"
    )
    monkeypatch.chdir(tmp_path)
    shorter = run_here("--config", "mnist", *SHORT, "--train.steps", 20, capsys=capsys)
    assert_refused(shorter, "already at step 40", "--train.steps 20", "use 40 or more")
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before

    # A longer run continues, and says what that means for the learning rate.
    longer = train("--config", "mnist", *SHORT, "--train.steps", 60, cwd=tmp_path)
    assert longer.returncode == 0, longer.stderr
    assert "from step 40" in longer.stdout
    assert re.search(r"learning rate at step 40 goes from 0 to \d\S+", longer.stdout)
    assert json.loads((run / "summary.json").read_text())["step"] == 60


def unframed(text):
    """Without the frame and the line breaks that help and some messages come in."""
    return re.sub(r"[│╭╮╰╯─\s]+", " ", text)


def assert_refused(done, *parts):
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    assert "Traceback" not in done.stderr
    text = unframed(done.stderr)
    for part in parts:
        assert part in text, done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ("which experiment? --config NAME", "linear, mnist")),
        ("--config mnits", ("--config mnits: there is no", "did you mean mnist?", "linear, mnist")),
        ("--config mnist --train.step 5", ("--train.step", "--train.steps")),
        ("--config mnist --train.steps many", ("--train.steps", "invalid literal", "many")),
        ("--config mnist --data.binarization maybe", ("maybe", "threshold", "static", "dynamic")),
        (
            "--config mnist --data.validation half --optimizer.clip_norm=no",
            (
                "--data.validation half cannot work: it must be a share above 0 and below 1, a whole number",
                "--optimizer.clip_norm no cannot work: it must be a number, or None",
            ),
        ),
        ("--config mnist --train.steps -5", ("--train.steps -5 cannot work: it must be 1 or more",)),
        (
            "--config mnist --data.name cats",
            ("cats is no file or folder here", "Bundled is mnist."),
        ),
        ("--config mnist --train.batch_size 100", ("--train.batch_size 100", "8 devices: use 96 or 104")),
        ("--config mnist --train.devices 9", ("--train.devices 9", "8 cpu devices here: use 8")),
        ("--config mnist --data.binarization none", ("bernoulli needs pixels that are 0 or 1",)),
        ("--config mnist --train.devices 1 --workdir /dev/null/run", ("/dev/null/run cannot be written",)),
        ("--config mnist --train.devices 1 --workdir afile", ("afile is a file: name a folder",)),
        ("--config mnist --workdir=", ("--workdir '' cannot work: it must be a path that is not empty",)),
        ("--config mnist --workdir ~no-user-of-this-name/run", ("this system knows no folder of that user",)),
        ("--config mnist --data.name=", ("--data.name '' cannot work: it must be text that is not empty",)),
        (
            "--config mnist --data.dir=",
            ("--data.dir '' cannot work: it must be text that is not empty, or None",),
        ),
        (
            "--config mnist --train.steps 10000000000 --eval.importance_samples 100000000000",
            (
                "--train.steps 10000000000 cannot work: it must be 2147483647 or less",
                "--eval.importance_samples",
            ),
        ),
        ("--config mnist --data.image_size 10000000", ("51.2 PB at least", "this machine has")),
        (
            "--config mnist --model.likelihood.sigma 0.1",
            ("--model.likelihood.sigma 0.1 does nothing with --model.likelihood bernoulli",),
        ),
    ],
)
def test_a_mistake_is_one_clear_message_with_code_2_and_leaves_nothing(
    tmp_path, monkeypatch, capsys, arguments, parts
):
    (tmp_path / "afile").write_text("mine")
    monkeypatch.chdir(tmp_path)
    assert_refused(run_here(*arguments.split(), capsys=capsys), *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["afile"]


def test_an_experiment_of_ones_own_is_a_path(tmp_path):
    (tmp_path / "mine.py").write_text("config = 3\n")
    assert_refused(train("--config", "mine.py", cwd=tmp_path), "mine.py must define config = Config(...)")
    (tmp_path / "mine.py").write_text(
        "from jaxvae.config import Config, Train\nconfig = Config(train=Train(steps=1234567))\n"
    )
    shown = train("--config", "mine.py", "--help", cwd=tmp_path)
    assert shown.returncode == 0
    assert "1234567" in shown.stdout


def test_the_home_is_where_a_tilde_says(tmp_path, monkeypatch, capsys):
    (tmp_path / "home" / "run").mkdir(parents=True)
    (tmp_path / "home" / "run" / "config.json").write_text("3")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    done = run_here("--config", "mnist", "--train.devices", 1, "--workdir", "~/run", capsys=capsys)
    assert_refused(done, f"{tmp_path}/home/run/config.json is not a configuration of this version")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_help_shows_every_field_with_the_experiments_own_defaults(tmp_path):
    from jaxvae.config.experiment_file import load_experiment
    from jaxvae.config.nested import flat, kinds_of, to_dict

    config = load_experiment(ROOT / "configs/linear.py")
    shown = train("--config", "linear", "--help", cwd=tmp_path, COLUMNS="110")
    assert shown.returncode == 0
    text = unframed(shown.stdout)
    for field in flat(to_dict(config)):
        assert f"--{field} " in text, field
    for name, kind in kinds_of(config).items():
        choices = ",".join(kind.kinds())
        # Long lines are broken, also between two choices.
        assert f"--{name}{{{choices}}}" in "".join(text.split())
        for other in kind.kinds().values():
            assert f"{other.kind}: {other.about()}" in text
        assert f"(default: {kind.kind})" in text
    assert "--model.architecture.channels" not in text
    assert "(default: runs/" not in text
    general = train("--help", cwd=tmp_path)
    assert general.returncode == 0
    assert "linear, mnist" in general.stdout


def test_an_unreadable_configuration_in_the_folder_is_named(tmp_path, monkeypatch, capsys):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text('{"train": {"stepz": 3}}')
    monkeypatch.chdir(tmp_path)
    done = run_here("--config", "mnist", "--train.devices", 1, "--workdir", "run", capsys=capsys)
    assert_refused(done, "run/config.json is not a configuration of this version", "stepz")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--profile", "--workdir", "/dev/null/run"),
        ("--workdir", "/dev/null/run"),
        ("--replay", 3, "--workdir", "none"),
        ("--process_id", 0),
    ],
)
def test_garbage_is_collected_again_whatever_was_asked_and_came_of_it(
    tmp_path, monkeypatch, capsys, arguments
):
    monkeypatch.chdir(tmp_path)
    done = run_here("--config", "mnist", "--train.devices", 1, *arguments, capsys=capsys)
    assert done.returncode == 2, done
    assert gc.isenabled()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("--workdir .", "--workdir . holds no run, but files of something else (thesis.tex)"),
        ("--workdir thesis.tex/run", "thesis.tex is a file: name a folder"),
        ("--replay 3 --workdir run", "run holds no run to replay a step of"),
        ("--data.name ./none.npy", "--data.name ./none.npy: there is no such file or folder"),
        ("--num_processes 2", "go together: give all three"),
        ("--coordinator_address h --num_processes 2 --process_id 0", "it must be HOST:PORT"),
    ],
)
def test_a_mistake_that_needs_no_jax_is_answered_without_it(tmp_path, arguments, says):
    (tmp_path / "thesis.tex").write_text("mine")
    program = (
        "import sys; from pathlib import Path; from jaxvae.commands.train import main; "
        "code = main(Path(sys.argv.pop(1))); print(code, 'jax' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ROOT / "configs", "--config", "mnist", *arguments.split()],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "2 False\n"
    assert says in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_runs_folder_is_called_as_the_experiment(tmp_path, monkeypatch, capsys):
    """Also where its name has a dot in it."""
    (tmp_path / "mnist.v2.py").write_text("from jaxvae.config import Config\nconfig = Config()\n")
    make = tmp_path / "runs" / "mnist.v2"
    make.mkdir(parents=True)
    (make / "config.json").write_text("3")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("mnist.v2.py", str(tmp_path / "mnist.v2"), "~/mnist.v2"):
        done = run_here("--config", name, capsys=capsys)
        assert_refused(done, "runs/mnist.v2/config.json is not a configuration of this version")
