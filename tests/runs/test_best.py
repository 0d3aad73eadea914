"""The best checkpoint by the bound on validation images: chosen, kept, found again, and tested once."""

import dataclasses
import functools
import json
import random
import shutil
import time

import by_hand
import jax
import numpy as np
import pytest

import jaxvae
from jaxvae.config import MLP, Adam, Config, Data, Eval, Model, Train
from jaxvae.data.dataset import Dataset
from jaxvae.errors import RunError, UserError
from jaxvae.runs.checkpoint import Checkpoints
from jaxvae.runs.checkpoint_manifest import Best, verify
from jaxvae.runs.ending.best import Selection
from jaxvae.runs.fit import fit
from jaxvae.runs.folder import Workdir
from jaxvae.runs.loggers import Logger
from jaxvae.runs.run import untrained_state
from tests.faults.harness import FLAGS, Bench, fingerprint, saved

IMAGES = np.random.default_rng(5).integers(0, 256, (41, 5, 4, 1), dtype=np.uint8)
TRAIN, VALIDATION, TEST = IMAGES[:21], IMAGES[21:34], IMAGES[34:]
CONFIG = Config(
    seed=4,
    data=Data(validation="own"),
    model=Model(latent_dim=2, architecture=MLP(hidden=(6, 4), activation="tanh")),
    # So large that the bound falls and rises again.
    optimizer=Adam(
        learning_rate=0.05, epsilon=0.02, warmup_steps=3, schedule="constant", clip_norm=None, ema_decay=0.5
    ),
    train=Train(
        steps=20, batch_size=8, log_every=4, eval_every=2, checkpoint_every=8, checkpoints_kept=1, devices=1
    ),
    eval=Eval(importance_samples=5, interim_importance_samples=2, batch_size=4, grid=3),
)
GIVEN = Dataset(TRAIN, TEST, validation=VALIDATION)


class Trained:
    """The run that the package made, and the states of the same one by hand."""

    def __init__(self, folder):
        self.folder = folder / "run"
        self.summary = fit(CONFIG, self.folder, dataset=GIVEN)
        self.lines = jaxvae.Run(self.folder).metrics()
        self.scores = {line["step"]: line for line in self.lines if line["split"] == "validation"}
        run = by_hand.Run(CONFIG, untrained_state(CONFIG, TRAIN).model, TRAIN)
        self.averages = [run.average]
        for _ in range(CONFIG.train.steps):
            run.step()
            self.averages.append(run.average)
        self.wanted = {
            step: by_hand.evaluate(CONFIG, self.averages[step], VALIDATION, 2, "validation")
            for step in (4, 6, 20)
        }
        self.best = min(self.scores, key=lambda step: self.scores[step]["nll"])


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return functools.cache(lambda: Trained(tmp_path_factory.mktemp("best")))


def close(ours, wanted):
    for name, value in wanted.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-4, err_msg=name)


def test_validation_images_are_scored_while_training_as_by_hand_and_the_test_images_once(made):
    run = made()
    assert list(run.scores) == list(range(2, 21, 2))
    for step, wanted in run.wanted.items():
        assert set(run.scores[step]) == {"step", "split", *wanted}
        close(run.scores[step], wanted)
    assert [line["step"] for line in run.lines if line["split"] == "test"] == [20]
    assert run.best == 6, "where it is the last, or the first, the case says too little"


def test_the_best_is_tested_with_all_samples(made):
    run = made()
    assert run.summary["test_step"] == run.best
    assert run.summary["step"] == 20
    average = run.averages[run.best]
    close(run.summary["test"], by_hand.evaluate(CONFIG, average, TEST, 5))
    close(run.summary["validation"], by_hand.evaluate(CONFIG, average, VALIDATION, 5, "validation"))
    last = run.lines[-1]
    assert last == {"step": 20, "split": "test", **run.summary["test"], "test_step": run.best}
    assert run.summary["data"]["validation"] == 13
    assert run.summary["data"]["chosen"] == "a set of their own"
    assert json.loads((run.folder / "summary.json").read_text()) == run.summary


def test_the_best_is_kept_beside_the_newest_and_found_again(made):
    run, there = made(), jaxvae.Run(made().folder)
    assert there.steps() == [run.best, 20]
    assert there.best_step() == run.best
    for model, step in (
        (there.model("best"), run.best),
        (there.model(), 20),
        (jaxvae.load_model(run.folder), 20),
        (jaxvae.load_model(run.folder, step="best"), run.best),
    ):
        for ours, wanted in zip(jax.tree.leaves(model), jax.tree.leaves(run.averages[step]), strict=True):
            np.testing.assert_allclose(np.asarray(ours), wanted, rtol=5e-4, atol=1e-5)
    manifest = verify(run.folder / "checkpoints" / "20", 20)
    assert manifest.best == Best(run.best, run.scores[run.best]["nll"])


def test_pictures_are_of_validation_images(made):
    for name in ("samples", "reconstructions"):
        steps = {int(path.stem.rpartition("-")[2]) for path in (made().folder / "images").glob(f"{name}-*")}
        assert steps == set(made().scores)


def test_the_finished_run_says_the_same_again(made, tmp_path, capsys):
    run = made()
    shutil.copytree(run.folder, tmp_path / "run")
    again = fit(CONFIG, tmp_path / "run", dataset=GIVEN)
    assert [again[name] for name in ("test", "validation", "test_step", "data")] == [
        run.summary[name] for name in ("test", "validation", "test_step", "data")
    ]
    assert jaxvae.Run(tmp_path / "run").metrics() == run.lines
    said = capsys.readouterr().out
    assert "21 to train, 13 to validate (a set of their own) and 7 to test" in said
    assert f"Testing the checkpoint of step {run.best}, the best by its bound" in said
    assert f"Test, step {run.best}, 7 images" in said
    assert "Validation, 13 images: ELBO " in said


class Crash(Logger):
    """Ends the run as a kill would, for what is on the disk, at a step."""

    def __init__(self, step, at):
        self.step, self.at = step, at

    def scalars(self, step, split, values):
        if step == self.step and split == self.at:
            raise ZeroDivisionError

    def images(self, step, name, grid, columns):
        if step == self.step and name == self.at:
            raise ZeroDivisionError

    def close(self):
        pass


ANYWHERE = [
    pytest.param(at, step, marks=pytest.mark.slow) for at in ("validation", "samples") for step in (2, 8, 20)
]
"""Before the best, after it, and at the last step."""


@pytest.mark.parametrize(("at", "step"), [("samples", 6), *ANYWHERE])
def test_a_run_that_breaks_off_anywhere_ends_with_the_same_best(made, tmp_path, at, step):
    for crash in (Crash(step, at), Crash(20, "test")):
        with pytest.raises(ZeroDivisionError):
            fit(CONFIG, tmp_path / "run", dataset=GIVEN, loggers=[crash])
    same(fit(CONFIG, tmp_path / "run", dataset=GIVEN), tmp_path / "run", made())


def same(summary, folder, run):
    """Asserts that the run ended as the undisturbed one."""
    for name in ("test", "validation", "test_step"):
        assert summary[name] == run.summary[name], name
    assert jaxvae.Run(folder).steps() == [run.best, 20]
    for step in (run.best, 20):
        states = [verify(path / "checkpoints" / str(step), step) for path in (folder, run.folder)]
        assert states[0].state == states[1].state
        assert states[0].best == states[1].best
    assert fingerprint(folder) == fingerprint(run.folder)


# --- which is the best ------------------------------------------------------------------------------------


def test_only_what_is_better_and_on_the_disk_is_the_best():
    selection = Selection(None)
    assert not selection.offer(1, float("nan"), [])
    assert not selection.offer(1, float("inf"), [])
    assert selection.record([1]) == {}
    assert selection.offer(2, 9.0, [])
    assert selection.record([1, 2]) == {"best": {"step": 2, "nll": 9.0}}
    assert not selection.offer(3, 9.0, [2])
    assert not selection.offer(4, float("nan"), [2])
    assert selection.offer(5, 8.0, [2])
    # Step 5 could not be written: step 2 is still the best, and what is better than that becomes it.
    assert selection.best([2, 4]) == Best(2, 9.0)
    assert selection.offer(6, 8.5, [2, 4])
    assert selection.best([2, 6]) == Best(6, 8.5)
    assert not Selection(Best(6, 8.5)).offer(7, 8.6, [6])
    assert Selection(Best(6, 8.5)).offer(7, 8.6, [])


def state(value):
    return {"weights": np.full(3, value, np.float32)}


def test_the_best_stays_until_a_better_one_is_there(tmp_path):
    checkpoints = Checkpoints(tmp_path, 2)
    found = []
    for step, best in ((1, None), (2, 2), (3, 2), (4, 2), (5, 2), (6, 6), (7, 6), (8, 6), (9, 6)):
        record = {} if best is None else {"best": {"step": best, "nll": 1.0}}
        checkpoints.save(step, state(step), record)
        checkpoints.wait()
        found.append(checkpoints.steps())
    checkpoints.close()
    assert found == [[1], [1, 2], [2, 3], [2, 3, 4], [2, 4, 5], [5, 6], [6, 7], [6, 7, 8], [6, 8, 9]]


@pytest.fixture
def stopped(made, tmp_path):
    """A copy of the run, stopped after its best step, at a checkpoint that is not the best."""
    with pytest.raises(ZeroDivisionError):
        fit(CONFIG, tmp_path / "run", dataset=GIVEN, loggers=[Crash(20, "validation")])
    assert saved(tmp_path / "run") == [made().best, 16]
    return tmp_path / "run"


@pytest.mark.slow
def test_a_best_checkpoint_that_is_damaged_is_set_aside_while_the_run_goes_on(made, stopped, capsys):
    best = made().best
    (stopped / "checkpoints" / str(best) / "digest.json").write_text("{}")
    summary = fit(CONFIG, stopped, dataset=GIVEN)
    assert f"Warning: the checkpoint of step {best} is damaged" in capsys.readouterr().out
    assert (stopped / "checkpoints" / f"{best}.damaged").is_dir()
    assert summary["test_step"] == min((18, 20), key=lambda step: made().scores[step]["nll"])


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_finished_run_is_not_tested_by_another_than_its_best(made, tmp_path, damage):
    shutil.copytree(made().folder, tmp_path / "run")
    best = tmp_path / "run" / "checkpoints" / str(made().best)
    if damage == "missing":
        shutil.rmtree(best)
    else:
        file = max((path for path in best.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)
        file.write_bytes(file.read_bytes()[:-1])
    summary = (tmp_path / "run" / "summary.json").read_bytes()
    with pytest.raises(
        RunError, match=rf"step {made().best} in .*, the best of this run.* damaged: .*Nothing"
    ):
        fit(CONFIG, tmp_path / "run", dataset=GIVEN)
    assert (tmp_path / "run" / "summary.json").read_bytes() == summary
    with pytest.raises((UserError, RunError), match=r"no checkpoint of step|is damaged"):
        jaxvae.Run(tmp_path / "run").model("best")


@pytest.mark.slow
def test_a_best_that_cannot_be_written_is_not_the_best(made, tmp_path, monkeypatch, capsys):
    config = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, write_errors="warn"))
    full = made().best
    write = Checkpoints._write

    def fails(self, step, *others):
        if step == full:
            raise self._write_error(step, 1, OSError(28, "No space left on device"))
        write(self, step, *others)

    monkeypatch.setattr(Checkpoints, "_write", fails)
    summary = fit(config, tmp_path / "run", dataset=GIVEN)
    assert f"Warning: step {full} could not be saved" in capsys.readouterr().out
    others = {step: line["nll"] for step, line in made().scores.items() if step != full}
    assert summary["test_step"] == min(others, key=lambda step: others[step])


def test_the_samples_of_a_bound_that_chooses_stay_what_they_are(made):
    changed = dataclasses.replace(CONFIG, eval=dataclasses.replace(CONFIG.eval, interim_importance_samples=3))
    with pytest.raises(UserError, match=r"eval\.interim_importance_samples: 2 there, 3 here"):
        Workdir(made().folder).check(changed)


@pytest.mark.slow
def test_a_run_without_validation_images_has_no_best(tmp_path):
    config = dataclasses.replace(CONFIG, data=Data())
    summary = fit(config, tmp_path / "run", dataset=GIVEN._replace(validation=None))
    assert not {"validation", "test_step"} & (summary.keys() | summary["data"].keys())
    run = jaxvae.Run(tmp_path / "run")
    assert [line["step"] for line in run.metrics() if line["split"] == "test"] == list(range(2, 21, 2))
    assert run.steps() == [20]
    assert run.best_step() is None
    assert "best" not in verify(tmp_path / "run" / "checkpoints" / "20", 20).record
    with pytest.raises(UserError, match="has no best checkpoint: it has no validation images"):
        run.model("best")


# --- long proofs ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_from_python_with_a_part_of_the_images_or_three_arrays(tmp_path):
    fields = {"train": dataclasses.replace(CONFIG.train, steps=4), "eval": CONFIG.eval, "model": CONFIG.model}
    part = jaxvae.train((TRAIN, TEST), tmp_path / "part", data={"validation": 0.4}, **fields)
    assert (part.summary["data"]["train"], part.summary["data"]["validation"]) == (13, 8)
    three = jaxvae.train((TRAIN, VALIDATION, TEST), tmp_path / "three", **fields)
    assert three.run.config.data.validation == "own"
    assert [three.summary["data"][name] for name in ("train", "validation", "test")] == [21, 13, 7]
    again = jaxvae.train((TRAIN, VALIDATION, TEST), tmp_path / "three", **fields)
    assert again.summary["test"] == three.summary["test"]
    with pytest.raises(UserError, match="which give validation images: choose own"):
        jaxvae.train((TRAIN, VALIDATION, TEST), tmp_path / "x", data={"validation": 0.4}, **fields)
    best = three.run.model("best")
    for one, other in zip(jax.tree.leaves(three.model), jax.tree.leaves(best), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("other", [{"devices": 2}, {"devices": 8}, {"placement": "stream"}])
def test_the_same_best_and_scores_on_any_devices_and_from_anywhere(made, tmp_path, other):
    data = dataclasses.replace(CONFIG.data, placement=other.get("placement", "auto"))
    train = dataclasses.replace(CONFIG.train, devices=other.get("devices", 1))
    summary = fit(dataclasses.replace(CONFIG, data=data, train=train), tmp_path / "run", dataset=GIVEN)
    if "placement" in other:
        same(summary, tmp_path / "run", made())
    assert summary["test_step"] == made().best
    for split in ("test", "validation"):
        close(summary[split], made().summary[split])
    for line in jaxvae.Run(tmp_path / "run").metrics():
        if line["split"] == "validation":
            close(line, {k: v for k, v in made().scores[line["step"]].items() if k != "split"})


@pytest.mark.slow
@pytest.mark.parametrize("wanted", ["0.3", "5000"])
def test_a_part_is_the_same_resident_streamed_and_on_several_devices(tmp_path, wanted, digits):
    several = {}
    flags = [*FLAGS, "--train.steps", "100", "--train.eval_every", "50", "--train.log_every", "50"]
    for name, more in (
        ("one", []),
        ("stream", ["--data.placement", "stream"]),
        ("eight", ["--train.devices", "8"]),
    ):
        bench = Bench(tmp_path, [*flags, "--data.validation", wanted, *more])
        process = bench.start(tmp_path / name)
        assert process.wait(600) == 0, process.communicate()[0]
        several[name] = json.loads((tmp_path / name / "summary.json").read_text())
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "stream")
    for split in ("test", "validation"):
        assert several["one"][split] == several["stream"][split]
        for key, value in several["one"][split].items():
            np.testing.assert_allclose(several["eight"][split][key], value, rtol=1e-4, atol=1e-3)


@pytest.mark.slow
def test_killed_at_random_moments_a_run_ends_with_the_same_best_and_summary(tmp_path):
    flags = [
        *FLAGS,
        "--data.validation",
        "2000",
        "--train.eval_every",
        "60",
        "--train.checkpoint_every",
        "100",
    ]
    flags += [
        "--optimizer.learning_rate",
        "0.02",
        "--train.log_every",
        "20",
        "--optimizer.schedule",
        "constant",
    ]
    bench, moments = Bench(tmp_path, flags), random.Random(3)
    wanted = bench.reference
    reference = json.loads((tmp_path / "reference" / "summary.json").read_text())
    best = reference["test_step"]
    assert best < 1200, "the case says too little"
    for trial in range(4):
        run, kills = tmp_path / f"run-{trial}", 0
        while True:
            process = bench.start(run)
            deadline = time.monotonic() + moments.uniform(2.0, 1.2 * bench.seconds)
            while process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            if process.poll() is not None:
                break
            process.kill()
            process.communicate()
            kills += 1
        assert process.returncode == 0, process.communicate()[0]
        assert kills > 0 or trial > 0
        assert fingerprint(run) == wanted
        summary = json.loads((run / "summary.json").read_text())
        for name in ("test", "validation", "test_step", "data"):
            assert summary[name] == reference[name]
        states = [
            verify(path / "checkpoints" / str(best), best).state for path in (run, tmp_path / "reference")
        ]
        assert states[0] == states[1]
