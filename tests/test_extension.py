"""A user's own file, outside of the project: trained, killed, resumed, loaded, and refused once changed."""

import functools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from jaxvae.runs.checkpoint_manifest import verify
from tests.own_experiment import EXPERIMENT, KINDS, NETS

ROOT = Path(__file__).parents[1]
SLOW = functools.partial(pytest.param, marks=pytest.mark.slow)
CLOCK = ("seconds", "examples_per_second", "data_wait")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The user's folder: images, an experiment and a module beside it."""
    folder = tmp_path_factory.mktemp("own")
    images = np.random.default_rng(0).integers(0, 256, (120, 6, 5), np.uint8)
    np.savez(folder / "digits.npz", train=images[:96], test=images[96:])
    (folder / "mine.py").write_text(EXPERIMENT)
    (folder / "kinds.py").write_text(KINDS)
    (folder / "nets.py").write_text(NETS)
    return folder


def command(*flags, config="mine.py"):
    return [sys.executable, str(ROOT / "train.py"), "--config", config, *flags]


def environment(devices=4):
    count = f"--xla_force_host_platform_device_count={devices}"
    strict = ("JAX_DEBUG_KEY_REUSE", "JAX_NUMPY_RANK_PROMOTION", "JAX_NUMPY_DTYPE_PROMOTION", "PYTHONPATH")
    return {**{name: value for name, value in os.environ.items() if name not in strict}, "XLA_FLAGS": count}


def train(folder, *flags, code=0, config="mine.py"):
    done = subprocess.run(
        command(*flags, config=config),
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout if code == 0 else done.stderr


def lines(run):
    return [
        {name: value for name, value in json.loads(line).items() if name not in CLOCK}
        for line in (run / "metrics.jsonl").read_text().splitlines()
    ]


@pytest.fixture(scope="module")
def whole(folder):
    train(folder, "--workdir", "whole", "--train.devices", "1")
    return folder / "whole"


def test_it_learns_with_its_own_loss_and_reports_its_own_numbers(whole):
    found = lines(whole)
    for line in found:
        if line["split"] == "train":
            assert line["loss"] == pytest.approx(line["distortion"] + 0.5 * line["rate"], rel=1e-5)
    assert found[-2]["loss"] < found[0]["loss"]
    test = json.loads((whole / "summary.json").read_text())["test"]
    assert test["scale"] == pytest.approx(np.exp(-1.0), rel=0.2)
    assert test["gap"] >= 0
    assert len(list((whole / "images").iterdir())) == 4


@pytest.mark.slow
def test_losses_on_four_devices_are_those_on_one(folder, whole):
    train(folder, "--workdir", "four", "--train.devices", "4")
    ours, wanted = (
        [line["loss"] for line in lines(run) if "loss" in line] for run in (folder / "four", whole)
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)


def kill(folder, run, config="mine.py"):
    """Begins a run, and kills it once it has a checkpoint."""
    process = subprocess.Popen(
        command("--workdir", run.name, "--train.devices", "1", config=config),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 240
    while not list(run.glob("checkpoints/[0-9]*/digest.json")) and time.monotonic() < deadline:
        assert process.poll() is None or list(run.glob("checkpoints/[0-9]*"))
        time.sleep(0.002)
    process.kill()
    process.wait()


def test_killed_and_resumed_it_ends_with_the_same_bits(folder, whole):
    run = folder / "killed"
    kill(folder, run)
    train(folder, "--workdir", "killed", "--train.devices", "1")
    assert verify(run / "checkpoints/40", 40).state == verify(whole / "checkpoints/40", 40).state
    assert lines(run) == lines(whole)


LOAD = """
import sys
import jax
import numpy as np
import jaxvae

model = jaxvae.load_model(sys.argv[1])
x = np.full((6, 5, 1), 0.5)
print(float(model.reconstruct(x).mean()), model.sample(jax.random.key(0)).shape, model.encode(x).mean.shape)
draw = model.draw(model.encode(x), key=jax.random.key(1, impl="threefry2x32"))
print(float(draw.log_weight(draw.likelihood.log_prob(x))))
"""


def load(folder, run, code=0):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, run],
        cwd=folder.parent,
        env={**environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def test_a_fresh_process_in_another_folder_loads_it(folder, whole):
    assert "(6, 5, 1) (3,)" in load(folder, str(whole))


@pytest.mark.slow
def test_it_is_refused_once_its_source_changed_or_is_gone_and_a_flag_accepts_the_change(folder, whole):
    nets = folder / "nets.py"
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    flags = ("--workdir", "whole", "--train.devices", "1")
    try:
        nets.write_text(NETS + "\n# a remark\n")
        said = train(folder, *flags, code=2)
        assert "mine.py, or a module beside it, has changed since the run was begun" in said
        assert "--code.accept_changed True" in said
        assert "has changed since the run was begun" in load(folder, str(whole), code=1)
        assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before
        assert "is finished at step 40" in train(folder, *flags, "--code.accept_changed", "True")
        assert "(6, 5, 1)" in load(folder, str(whole))
    finally:
        nets.write_text(NETS)
    (folder / "mine.py").rename(folder / "elsewhere.py")
    try:
        gone = f"{folder / 'mine.py'}, whose code this run is made with, is gone"
        assert gone in load(folder, str(whole), code=1)
    finally:
        (folder / "elsewhere.py").rename(folder / "mine.py")


@pytest.fixture(scope="module")
def kinds(folder):
    """A run of an experiment that names kinds of its own for everything that there are kinds of."""
    train(folder, "--workdir", "kinds", "--train.devices", "1", config="kinds.py")
    return folder / "kinds"


def test_own_kinds_are_flags_like_ours_and_are_in_the_configuration(folder, kinds):
    written = json.loads((kinds / "config.json").read_text())
    assert written["model"]["likelihood"] == {"kind": "beta", "concentration": 8.0}
    assert written["model"]["architecture"] == {"kind": "stock", "width": 8}
    assert written["objective"] == {"kind": "weighted", "weight": 0.5}
    assert written["code"]["file"] == str(folder / "kinds.py")
    for line in lines(kinds):
        if line["split"] == "train":
            assert line["loss"] == pytest.approx(line["distortion"] + 0.5 * line["rate"], rel=1e-5)
    shown = " ".join(train(folder, "--help", config="kinds.py").split())
    for flag in ("--model.likelihood.concentration FLOAT", "--objective.weight FLOAT", "--optimizer.epsilon"):
        assert flag in shown
    assert "--model.prior {standard_normal," in shown
    assert "student_t: Heavy tails" in shown
    bad = train(folder, "--objective.weight", "-1", code=2, config="kinds.py")
    assert "--objective.weight -1.0 cannot work: it must be finite in float32 and not negative" in bad
    # Ours in the place of one of them, with its own field.
    flags = "--model.likelihood gaussian --model.likelihood.sigma 0.5 --train.steps 4 --train.devices 1"
    train(folder, *flags.split(), "--workdir", "ours", config="kinds.py")
    test = json.loads((folder / "ours" / "summary.json").read_text())["test"]
    assert test["sigma"] == pytest.approx(0.5)


@pytest.mark.slow
def test_own_kinds_are_trained_on_four_devices_alike_and_resumed_to_the_bit(folder, kinds):
    train(folder, "--workdir", "kinds4", "--train.devices", "4", config="kinds.py")
    ours, wanted = (
        [line["loss"] for line in lines(run) if "loss" in line] for run in (folder / "kinds4", kinds)
    )
    np.testing.assert_allclose(ours, wanted, rtol=1e-4)
    run = folder / "kinds_killed"
    kill(folder, run, "kinds.py")
    train(folder, "--workdir", run.name, "--train.devices", "1", config="kinds.py")
    assert verify(run / "checkpoints/40", 40).state == verify(kinds / "checkpoints/40", 40).state
    assert lines(run) == lines(kinds)


SCORE = """
import sys
import jax
import numpy as np
from scipy import stats
import jaxvae

run = jaxvae.Run(sys.argv[1])
model, x = run.model(), np.random.default_rng(0).uniform(0.01, 0.99, (6, 5, 1)).astype(np.float32)
draw = model.draw(model.encode(x), key=jax.random.key(1, impl="threefry2x32"))
z, scale = np.float64(draw.latents), np.exp(np.float64(model.prior.log_scale))
np.testing.assert_allclose(draw.log_prior, stats.t.logpdf(z, 5.0, scale=scale).sum(), rtol=1e-5)
mean = np.float64(model.decode(draw.latents).mean)
wanted = stats.beta.logpdf(np.float64(x), 8.0 * mean, 8.0 * (1 - mean)).sum()
np.testing.assert_allclose(draw.likelihood.log_prob(x), wanted, rtol=1e-4)
drawn = jax.vmap(model.prior(None).sample)(jax.random.split(jax.random.key(2), 4000))
assert stats.kstest(np.asarray(drawn)[:, 0] / scale[0], stats.t(5.0).cdf).pvalue > 0.01
test = run.summary()["test"]
assert test["concentration"] == 8.0 and test["gap"] >= 0 and np.isfinite(test["nll"])
"""


def test_the_densities_of_own_kinds_are_those_of_scipy(folder, kinds):
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(kinds)],
        env={**environment(), "PYTHONPATH": str(ROOT)},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_own_kinds_are_found_again_and_refused_once_changed_or_gone(folder, kinds):
    assert "(6, 5, 1) (3,)" in load(folder, str(kinds))
    flags = ("--workdir", "kinds", "--train.devices", "1")
    file = folder / "kinds.py"
    try:
        file.write_text(KINDS + "\n# a remark\n")
        assert "has changed since the run was begun" in load(folder, str(kinds), code=1)
        assert "has changed since the run was begun" in train(folder, *flags, code=2, config="kinds.py")
        accept = ("--code.accept_changed", "True")
        assert "is finished at step 40" in train(folder, *flags, *accept, config="kinds.py")
        file.unlink()
        assert f"{file}, whose code this run is made with, is gone" in load(folder, str(kinds), code=1)
    finally:
        file.write_text(KINDS)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        SLOW("builds = BetaLikelihood", "builds = 3", "Beta.builds must be a subclass of"),
        ('kind = "beta"', 'kind = "gaussian"', "kind 'gaussian' of Beta is taken by Gaussian of jaxvae"),
        SLOW('support = "unit"', 'support = "binary"', "takes pixels that are 0 or 1"),
        SLOW("optax.adabelief(1.0, eps=epsilon)", "1.0", "Belief.builds must return an optax.GradientTransf"),
        ("likelihood=Beta()", "likelihood=Beta(sigma=1)", "sigma is no field of Beta: It has concentration"),
    ],
)
def test_a_mistake_in_a_kind_is_one_message_before_anything_is_written(folder, old, new, said):
    (folder / "wrong.py").write_text(KINDS.replace(old, new))
    error = train(folder, "--workdir", "wrong", code=2, config="wrong.py")
    assert said in error
    assert "Traceback" not in error
    assert not (folder / "wrong").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "    return VAE(encoder",
            "    return (encoder",
            "must return a jaxvae.models.vae.AbstractVAE, not",
        ),
        (
            "    return HalfRate()",
            "    return 3",
            "jaxvae.models.objectives.AbstractObjective, not int",
        ),
        (
            "return optax.adabelief(1.0)",
            "return 1.0",
            "return an optax.GradientTransformation, not float",
        ),
        SLOW('support = "real"', 'support = "binary"', "takes pixels that are 0 or 1"),
        ("pixel_mean.shape, prior", "(6, 6, 1), prior", "gives a model for images of (6, 6, 1)"),
    ],
)
def test_a_mistake_in_it_is_one_message_before_anything_is_written(folder, old, new, said):
    (folder / "mine.py").write_text(EXPERIMENT.replace(old, new))
    try:
        error = train(folder, "--workdir", "wrong", code=2)
        assert said in error
        assert "Traceback" not in error
        assert not (folder / "wrong").exists()
    finally:
        (folder / "mine.py").write_text(EXPERIMENT)
