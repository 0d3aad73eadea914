"""The notebook for Colab: what is committed, what it would install, and a whole run of it."""

import ast
import base64
import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, rmtree

import nbclient
import nbformat
import numpy as np
import packaging
import pytest
from PIL import Image

from benchmarks import tables
from benchmarks.experiments import MODELS
from jaxvae.commands.train import parse
from jaxvae.config import Config
from jaxvae.config.experiment_file import load_experiment

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "notebooks" / "colab_tpu.ipynb"
SMALL = (
    "--train.steps 4000 --train.batch_size 16 --train.log_every 100 --train.eval_every 1000 "
    "--train.checkpoint_every 500 --train.devices 1 --model.architecture.hidden 16 --model.latent_dim 4 "
    "--eval.importance_samples 4 --eval.interim_importance_samples 1"
)


@pytest.fixture
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code(notebook):
    """The source of each code cell, by its id."""
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def test_what_is_committed_is_a_valid_notebook_without_outputs_that_never_imports_jax(notebook):
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in cells if "parameters" in cell.metadata.get("tags", [])] == ["parameters"]
    for cell in cells:
        assert cell.outputs == []
        assert cell.execution_count is None
        # One process at a time holds a TPU, and that must be the one that trains.
        imports = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.Import)]
        froms = [node for node in ast.walk(ast.parse(cell.source)) if isinstance(node, ast.ImportFrom)]
        modules = {name.name for node in imports for name in node.names} | {node.module for node in froms}
        assert not {name.split(".")[0] for name in modules if name} & {"jax", "jaxlib", "jaxvae", "flax"}


def test_every_command_in_it_is_one_that_there_is(notebook, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    commands = []
    cells: dict = {"run": lambda *command, **_: commands.append(command) or [], "STOP_ONCE": True}
    source = code(notebook)
    imports = "import json, shlex, sys\nfrom pathlib import Path\n"
    for name in ("parameters", "folder", "stop", "train", "speed"):
        exec(imports + source[name], cells)
    stopped, train, speed = commands
    assert stopped == train
    assert train[:2] == (sys.executable, "train.py")
    command = parse(ROOT / "configs", list(train[2:]))
    assert command.experiment == load_experiment(ROOT / "configs" / "mnist.py")
    assert command.workdir == str(tmp_path / "runs" / "mnist")

    assert speed[:3] == (sys.executable, "-m", "benchmarks.throughput")
    assert (ROOT / "benchmarks" / "throughput.py").is_file()
    flags = dict(zip(speed[3:-1:2], speed[4:-1:2], strict=True))
    assert tables.one_or_more(*MODELS)(flags.pop("--models"))
    assert tables.positive_integers(flags.pop("--batch-sizes"))
    assert not flags
    assert speed[-1] == "--json"

    # What its text names.
    text = " ".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert {"mnist", "mnist_conv"} <= set(re.findall(r"`(\w+)`", text))
    for name in ("mnist", "mnist_conv"):
        assert isinstance(load_experiment(ROOT / "configs" / f"{name}.py"), Config)
    (option,) = re.findall(r"`OPTIONS` \| more of the command, such as `(.*?)`", text)
    assert parse(ROOT / "configs", ["--config", "mnist", *option.split()]).experiment.train.steps == 4000


def wheel(folder, name, number, *requirements):
    """A package that pip can install, whose module knows its version."""
    info = f"{name}-{number}.dist-info"
    files = {
        f"{name}.py": f"__version__ = {number!r}\ndef devices(): return ['imaginary']\n",
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {number}"]
            + [f"Requires-Dist: {text}" for text in requirements]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)


@pytest.fixture
def runtime(tmp_path):
    """``runtime(command)`` runs Python in an environment with a JAX of its own, version 1, and an index with
    version 2 and two packages, of which one works with both and one wants the newer."""
    wheels, home = tmp_path / "wheels", tmp_path / "runtime"
    wheels.mkdir()
    wheel(wheels, "jax", "1.0")
    wheel(wheels, "jax", "2.0")
    wheel(wheels, "modest", "1.0", "jax>=1")
    wheel(wheels, "greedy", "1.0", "jax>=2")
    venv.create(home, with_pip=True)
    (site,) = home.glob("lib/python*/site-packages")
    copytree(Path(packaging.__file__).parent, site / "packaging")
    environment = {
        **os.environ,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(wheels),
        "PIP_CONFIG_FILE": os.devnull,
        "PYTHONPATH": "",
    }

    def python(*command, cwd=tmp_path):
        return subprocess.run(
            [home / "bin" / "python", *command],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    assert python("-m", "pip", "install", "jax==1").returncode == 0
    return python


def test_it_clones_the_code_and_installs_what_is_missing_but_never_another_jax(notebook, runtime, tmp_path):
    origin, home = tmp_path / "origin", tmp_path / "content"
    (origin / "jaxvae").mkdir(parents=True)
    (origin / "jaxvae" / "__init__.py").touch()
    (origin / "train.py").touch()
    home.mkdir()
    source = code(notebook)
    cells = "\n".join(
        [source["parameters"], f"REPOSITORY = {str(origin)!r}", source["code"], source["install"]]
    )

    def open_with(*dependencies):
        (origin / "pyproject.toml").write_text(f"[project]\ndependencies = {json.dumps(dependencies)}\n")
        git = ["git", "-C", str(origin), "-c", "user.name=test", "-c", "user.email=test@example.org"]
        for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "code"]):
            subprocess.run([*git, *command], check=True)
        return runtime("-c", cells, cwd=home)

    done = open_with("jax>=1", "modest>=1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert (home / "jaxvae" / "train.py").is_file()
    assert "Installed: modest>=1\nUnchanged: jax 1.0\n" in done.stdout
    assert "JAX 1.0 sees ['imaginary']" in done.stdout
    assert runtime("-c", "import modest").returncode == 0

    rmtree(home / "jaxvae")
    refused = open_with("jax>=1", "modest>=1", "greedy>=1")
    assert refused.returncode == 1
    assert "failed with code 1: see above" in refused.stderr
    assert re.search("conflict", refused.stdout)
    assert "1.0" in runtime("-c", "import jax; print(jax.__version__)").stdout
    # Without its constraints pip would have done it.
    assert runtime("-m", "pip", "install", "greedy>=1").returncode == 0
    assert "2.0" in runtime("-c", "import jax; print(jax.__version__)").stdout


def text(cell):
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def pictures(cell):
    shown = [output.data["image/png"] for output in cell.outputs if output.output_type == "display_data"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("L")) for png in shown]


@pytest.mark.slow
def test_run_from_top_to_bottom_it_trains_continues_shows_and_measures(notebook, tmp_path):
    for name in ("jaxvae", "configs", "benchmarks", "notebooks"):
        copytree(ROOT / name, tmp_path / name)
    for name in ("train.py", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    cells = {cell.id: cell for cell in notebook.cells}
    cells["parameters"].source += f"\nOPTIONS = {SMALL!r}\nBENCHMARK = '--models mlp --batch-sizes 128'"
    asked = nbformat.v4.new_code_cell("print(sys.executable, sorted({'jax', 'jaxlib'} & set(sys.modules)))")
    notebook.cells.append(asked)
    here = {"metadata": {"path": str(tmp_path / "notebooks")}}
    nbclient.NotebookClient(notebook, timeout=600, resources=here).execute()
    assert shlex.split(text(asked))[1] == "[]"

    assert f"The code is in {tmp_path}\n" in text(cells["code"])
    assert f"Unchanged: jax {version('jax')}, jaxlib {version('jaxlib')}" in text(cells["install"])
    assert f"JAX {version('jax')} sees [" in text(cells["install"])

    run = tmp_path / "runs" / "mnist"
    (stopped,) = re.findall(r"Stopped at step (\d+) of 4000", text(cells["stop"]))
    assert f"Continuing the run in {run} from step {stopped}." in text(cells["train"])
    assert 1000 <= int(stopped) < 4000
    summary = json.loads((run / "summary.json").read_text())
    assert summary["step"] == 4000
    assert math.isfinite(summary["test"]["nll"])
    assert f"{summary['test']['nll']:.3f}" in text(cells["train"])
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if line["split"] == "train"]
    assert steps == list(range(100, 4001, 100))

    assert [len(pictures(cells[name])) for name in ("curve", "pictures")] == [1, 2]
    for picture in pictures(cells["curve"]) + pictures(cells["pictures"]):
        assert picture.std() > 10
    with Image.open(run / "images" / "samples-4000.png") as written:
        np.testing.assert_array_equal(pictures(cells["pictures"])[0], np.asarray(written.convert("L")))
    (rate,) = re.findall(r"^mlp +batch +128 +([\d,]+) examples/s", text(cells["speed"]), re.MULTILINE)
    assert int(rate.replace(",", "")) > 0
