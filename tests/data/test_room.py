"""What cannot fit is answered before anything is decoded, compiled or written."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxvae.commands.data import main as main_data
from jaxvae.config import MLP, Adam, Config, Conv, Data, Eval, Model, Train
from jaxvae.data.memory_needs import describe_bytes, needs, refuse_image_size
from jaxvae.data.placement import refuse_what_cannot_fit, state_bytes
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit
from jaxvae.training.state import state_shapes

ONE = jax.devices()[:1]
TRAIN = Train(devices=1)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            Config(model=Model(latent_dim=2**31 - 1), train=TRAIN),
            ["TB at least: --model.latent_dim 2147483647"],
        ),
        (
            Config(model=Model(architecture=MLP(hidden=(10**9,))), train=TRAIN),
            [" TB at least", "--model.architecture.hidden [1000000000]"],
        ),
        (
            Config(model=Model(architecture=Conv(channels=(10**6, 10**6))), train=TRAIN),
            ["--model.architecture.channels [1000000, 1000000]"],
        ),
        (
            Config(train=Train(devices=1, batch_size=2 * 10**9)),
            ["part of a batch takes 6.3 TB", "batch_size 2000000000"],
        ),
        (Config(eval=Eval(grid=10**5), train=TRAIN), ["sample pictures take 62.7 TB", "--eval.grid 100000"]),
        (
            Config(train=Train(1_000_000_000, 8192, 10**9, 10**9, 10**9, 10**9, devices=1)),
            ["the order of a call's images takes 32.8 TB", "--train.steps_per_call 1000000000"],
        ),
        (
            Config(data=Data(image_size=10**5), train=TRAIN),
            ["a batch takes 5.1 TB", "--data.image_size 100000"],
        ),
    ],
)
def test_absurd_sizes_are_refused_with_their_bytes_and_nothing_is_written(tmp_path, config, says):
    with pytest.raises(UserError) as raised:
        fit(config, tmp_path / "run")
    for part in ["of memory", *says]:
        assert part in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_images_that_nobody_has_decoded_are_not_decoded_for_a_model_that_cannot_be(tmp_path):
    config = Config(
        data=Data(name=str(tmp_path / "none.npz")),
        model=Model(architecture=MLP(hidden=(10**9, 10**9))),
        train=TRAIN,
    )
    with pytest.raises(UserError, match=r"--model\.architecture\.hidden \[1000000000, 1000000000\]"):
        fit(config, tmp_path / "run")


def test_the_bytes_are_those_of_the_arrays():
    config = Config(
        model=Model(latent_dim=3, architecture=MLP(hidden=(5,))), train=Train(batch_size=6), eval=Eval(grid=4)
    )
    weights = (12 * 5 + 5) + (5 * 6 + 6) + (3 * 5 + 5) + (5 * 12 + 12)
    # Three times the weights, the step, Adam's own count, and five totals.
    assert state_bytes(state_shapes(config, (2, 2, 3))) == 4 * (3 * weights + 2 + 5)
    averaged = Config(model=config.model, optimizer=Adam(ema_decay=0.9))
    assert state_bytes(state_shapes(averaged, (2, 2, 3))) == 4 * (4 * weights + 2 + 5)
    sizes = [need.size for need in needs(config, 400, (2, 2, 3), state=1000, devices=2, steps=7)]
    assert sizes == [2000, 6 * 12 * 4 // 2, 400 * 12 * 4 // 2, 2 * 16 * 12 * 4, 7 * 6 * 4]


def test_what_fits_passes():
    config = Config(train=TRAIN)
    refuse_what_cannot_fit(config, 10_000, (28, 28, 1), state_shapes(config, (28, 28, 1)), ONE)
    refuse_image_size(Data(image_size=1024), 128)
    refuse_image_size(Data())


def test_an_image_that_memory_cannot_hold_is_refused_before_jax_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main_data(["data", "mnist", "--data.image_size", "10000000"]) == 2
    said = capsys.readouterr().err
    assert "an image of 10000000 x 10000000 pixels takes 400.0 TB at least, and this machine has" in said
    assert list(tmp_path.iterdir()) == []


def test_bytes_in_words():
    assert [describe_bytes(size) for size in (5_000, 25_300_000_000, 57_700 * 10**9, 10**21)] == [
        "0.0 MB",
        "25.3 GB",
        "57.7 TB",
        "1,000,000.0 PB",
    ]


def test_workers_with_nothing_to_do_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", train=np.zeros((9, 2, 2), np.uint8), test=np.zeros((9, 2, 2), np.uint8))
    data = Data(name=str(tmp_path / "a.npz"), workers=3)
    with pytest.raises(UserError, match=r"--data\.workers 3 does nothing: .* Add --data\.placement stream"):
        fit(Config(data=data, train=TRAIN), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert main_data(["data", data.name, "--data.workers", "3", "--picture", str(tmp_path / "a.png")]) == 2
    assert not (tmp_path / "a.png").exists()


def test_a_platform_that_is_not_here_is_named_by_every_way_in(tmp_path):
    code = """
import sys
from jaxvae import load_model
from jaxvae.config import Config, Data
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit
from jaxvae.data.summary import summarize
from jaxvae.profiling.profile import profile
from jaxvae.runs.replay import replay
from pathlib import Path

Path("run").mkdir()
Path("run/config.json").write_text('{"model": {}}')
calls = (
    lambda: fit(Config(), "run"),
    lambda: profile(Config(), "run"),
    lambda: replay(Config(), "run", 3),
    lambda: load_model("run"),
    lambda: summarize(Data(), Path("a.png")),
)
for call in calls:
    try:
        call()
    except UserError as error:
        print(error)
"""
    for platform in ("cuda", "nonsense"):
        cwd = tmp_path / platform
        cwd.mkdir()
        environment = {**os.environ, "JAX_PLATFORMS": platform}
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) == 5, done.stdout
        for line in lines:
            assert line.startswith(f"JAX_PLATFORMS={platform} asks for devices that are not here")
            assert "here there are 8 x cpu. Without JAX_PLATFORMS" in line
