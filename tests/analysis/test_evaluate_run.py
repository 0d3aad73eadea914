"""``python -m jaxvae evaluate``: the scores of a run again, those of each image, and what is refused."""

import json
import shutil
from typing import Any

import numpy as np
import pytest

import jaxvae
from jaxvae.commands.evaluate import main
from jaxvae.config import MLP, Config, Data, Eval, Model, Train
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit


def shown(capsys, *arguments):
    code = main(["evaluate", *map(str, arguments)])
    said = capsys.readouterr()
    return code, said.out, said.err


def files(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits):
    """A run of 24 steps on 60 digits."""
    folder = tmp_path_factory.mktemp("evaluated")
    with np.load(digits) as both:
        np.savez(folder / "digits.npz", train=both["train"][:100], test=both["test"][:60])
    config = Config(
        data=Data(name=str(folder / "digits.npz")),
        model=Model(latent_dim=3, architecture=MLP(hidden=(16,))),
        train=Train(steps=24, batch_size=16, eval_every=24, checkpoint_every=12, devices=1),
        eval=Eval(importance_samples=32, batch_size=25, grid=2),
    )
    fit(config, folder / "run")
    return folder / "run"


def test_the_scores_are_those_of_the_summary_and_the_folder_is_left_as_it_is(run, capsys):
    before = files(run)
    code, out, err = shown(capsys, run, "--json")
    assert (code, err) == (0, "")
    found, summary = json.loads(out), json.loads((run / "summary.json").read_text())
    assert found["test"] == summary["test"]
    assert (found["step"], found["data"]) == (24, summary["data"])
    assert files(run) == before


def test_the_table_is_trainings_own_and_says_whether_to_believe_it(run, capsys):
    code, out, _ = shown(capsys, run, "--step", 12, "--images", 7, "--importance_samples", 64)
    assert code == 0
    assert "Test, step 12, 7 images, dynamically binarised, nats per image:" in out
    assert "at most; 64 importance samples" in out
    assert "\nBelieve this NLL: " in out


def test_scores_of_each_image_average_to_the_table(run, tmp_path):
    found = jaxvae.evaluate(run, images=50, importance_samples=8, scores=tmp_path / "s.npz")["test"]
    each = np.load(tmp_path / "s.npz")
    assert each["importance_samples"] == 8
    np.testing.assert_array_equal(each["index"], np.arange(50))
    for name in ("elbo", "rate", "distortion", "effective_samples"):
        np.testing.assert_allclose(each[name].mean(), found[name], rtol=1e-6)
    np.testing.assert_allclose(-each["log_likelihood"].mean(), found["nll"], rtol=1e-12)
    assert each["posterior_mean"].shape == (50, 3)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--importance_samples 0", "--importance_samples 0 cannot work: it must be 1 or more"),
        (
            "--images few --step x",
            "--images few cannot work: it must be a whole number, or None\n--step x cannot",
        ),
        ("--images 0", "--images 0 cannot work: it must be 1 or more"),
        ("--images 61", "--images 61: there are 60 test images"),
        ("--step 13", "has no checkpoint of step 13; it has 12, 24"),
        ("--scores there/s.npz", "--scores there/s.npz cannot be written: there is no folder there"),
        ("--scores folder.npz", "--scores folder.npz is a folder: name a file"),
        ("--scores s.csv", "--scores s.csv: its name must end in .npz"),
        ("--scores other.npz", "--scores other.npz is there already"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_computed(
    run, tmp_path, monkeypatch, capsys, flags, says
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder.npz").mkdir()
    np.savez("other.npz", mine=np.zeros(3))
    before = files(tmp_path)
    monkeypatch.setattr("jaxvae.runs.evaluation.Evaluator.dispatch", None)
    code, out, err = shown(capsys, run, *flags.split())
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert says in err
    assert files(tmp_path) == before


def test_an_option_that_is_none_is_refused_with_the_one_that_was_meant(run):
    with pytest.raises(UserError, match=r"^image is no option of an evaluation: did you mean images\?$"):
        jaxvae.evaluate(run, image=50)


def test_a_single_image_has_no_standard_error_over_images(run, capsys):
    code, out, _ = shown(capsys, run, "--images", 1, "--importance_samples", 16)
    assert code == 0
    assert "nan" not in out
    assert ", 1 image, " in out


def test_no_run_and_other_images_are_refused(run, tmp_path, capsys):
    for folder in (tmp_path / "none", tmp_path):
        code, _, err = shown(capsys, folder)
        assert code == 2
        assert f"{folder} holds no run with a checkpoint" in err
    images = run.parent / "digits.npz"
    kept = images.read_bytes()
    try:
        with np.load(images) as both:
            np.savez(images, train=both["train"], test=255 - both["test"])
        code, _, err = shown(capsys, run)
        assert code == 2
        assert "are not those that the run in" in err
        images.unlink()
        code, _, err = shown(capsys, run)
        assert code == 2
        assert "there is no such file or folder" in err
    finally:
        images.write_bytes(kept)


def test_a_run_on_arrays_in_memory_is_evaluated_on_them(run, tmp_path):
    with np.load(run.parent / "digits.npz") as both:
        images = both["train"], both["test"]
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    config = json.loads((copy / "config.json").read_text())
    config["data"]["name"] = "(arrays in memory)"
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="give them again"):
        jaxvae.evaluate(copy)
    summary = jaxvae.Run(run).summary()
    assert summary is not None
    assert jaxvae.evaluate(copy, given=images)["test"] == summary["test"]


def test_options_of_analyses_that_are_not_asked_for_are_refused(run):
    for option, needs in (("ais_chains", "--ais or --sandwich"), ("gap_steps", "--gap or --regret")):
        options: Any = {option: 4}
        with pytest.raises(UserError, match=f"--{option} does nothing without {needs}"):
            jaxvae.evaluate(run, **options)


@pytest.mark.parametrize("own", [pytest.param(False, marks=pytest.mark.slow), True])
def test_images_in_memory_with_validation_images_are_given_again_as_they_were(tmp_path, own):
    images = np.random.default_rng(0).integers(0, 2, (60, 5, 4), np.uint8) * 255
    given = (images[:40], images[40:50], images[50:]) if own else images
    flags: Any = {"train.steps": 4, "train.batch_size": 8, "train.eval_every": 2, "train.devices": 1}
    flags |= {"eval.importance_samples": 2} | ({} if own else {"data.validation": 0.2})
    summary = jaxvae.train(given, tmp_path / "run", **flags).summary
    found = jaxvae.evaluate(tmp_path / "run", given=given)
    assert found["test"] == summary["test"]
    assert found["step"] == summary["test_step"]
    assert found["data"]["validation"] == summary["data"]["validation"]
