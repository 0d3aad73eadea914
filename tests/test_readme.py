"""The README's examples in Python run as they stand."""

import re
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxvae
from jaxvae.commands.train import main

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
SHORT = (
    "--config mine.py --train.steps 20 --train.batch_size 16 --train.log_every 10 --train.eval_every 20 "
    "--train.checkpoint_every 20 --eval.importance_samples 2 --train.devices 1 --model.latent_dim 3"
).split()


def test_the_model_of_ones_own_trains_and_is_loaded(tmp_path, monkeypatch, digits, capsys):
    monkeypatch.chdir(tmp_path)
    (own,) = (block for block in BLOCKS if "def build" in block)
    Path("mine.py").write_text(own)
    assert main(ROOT / "configs", [*SHORT, "--data.name", digits]) == 0, capsys.readouterr().err
    model = jaxvae.load_model("runs/mine")
    assert model.sample(jax.random.key(0)).shape == (28, 28, 1)
    assert model.encode(np.zeros((28, 28, 1))).mean.shape == (3,)


def test_the_kind_of_ones_own_trains_by_its_flag_and_is_loaded(tmp_path, monkeypatch, digits, capsys):
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "docs" / "own-model.md").read_text()
    (own,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    Path("mine.py").write_text(own)
    flags = [*SHORT, "--data.name", digits, "--model.likelihood.scale", "0.2"]
    assert main(ROOT / "configs", flags) == 0, capsys.readouterr().err
    assert jaxvae.Run("runs/mine").config.model.likelihood.kind == "laplace"
    draw: Any = jaxvae.load_model("runs/mine").generate(key=jax.random.key(0))
    assert draw.scale == 0.2


def test_the_other_examples_name_what_there_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 2, (40, 5, 4), np.uint8) * 255
    (train,) = (block for block in BLOCKS if "jaxvae.train" in block)
    short = train.replace("2_000", "4, 'batch_size': 8, 'checkpoint_every': 2, 'devices': 1").replace(
        "1_000", "2"
    )
    names = {"jaxvae": jaxvae, "images": images}
    exec(short, names)
    assert names["trained"].summary["step"] == 4
    (load,) = (block for block in BLOCKS if "load_model" in block)
    exec(load.replace("runs/mnist", "runs/mine"), names)
    assert names["digits"].shape == (16, 5, 4, 1)
