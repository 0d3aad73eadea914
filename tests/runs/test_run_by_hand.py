"""A whole run that was stopped in the middle of a log's interval and continued, against one written out in
float64 NumPy (``by_hand``): its log, evaluations, pictures, checkpoints and what is made of them later."""

import dataclasses
import functools
import json
import math
import re

import by_hand
import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
from PIL import Image

import jaxvae
from jaxvae.config import MLP, Adam, Config, Conv, Data, Eval, Gaussian, LogisticMixture, Model, Train
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit
from jaxvae.runs.replay import replay
from jaxvae.runs.run import untrained_state
from jaxvae.training.parallel import replicate
from jaxvae.training.state import state_shapes

IMAGES = np.random.default_rng(5).integers(0, 256, (32, 5, 4, 1), dtype=np.uint8)
TRAIN, TEST = IMAGES[:21], IMAGES[21:]
CONFIG = Config(
    seed=4,
    data=Data(horizontal_flips=True),
    model=Model(latent_dim=2, architecture=MLP(hidden=(6, 4), activation="tanh")),
    optimizer=Adam(
        learning_rate=0.2, epsilon=0.02, warmup_steps=3, schedule="constant", clip_norm=None, ema_decay=0.9
    ),
    train=Train(
        steps=10, batch_size=8, log_every=4, eval_every=2, checkpoint_every=4, checkpoints_kept=9, devices=1
    ),
    # Neither number of images is a multiple of its batch; the grid's side is odd.
    eval=Eval(importance_samples=5, interim_importance_samples=2, batch_size=4, grid=3),
)


class Both:
    """The run that the package made, and the same one by hand: the state after each step."""

    def __init__(self, folder):
        np.savez(folder / "images.npz", train=TRAIN, test=TEST)
        data = dataclasses.replace(CONFIG.data, name=str(folder / "images.npz"))
        self.config, self.folder = dataclasses.replace(CONFIG, data=data), folder / "run"
        fit(dataclasses.replace(self.config, train=dataclasses.replace(CONFIG.train, steps=6)), self.folder)
        self.summary = fit(self.config, self.folder)
        lines = [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]
        self.train, self.test = (
            {line["step"]: line for line in lines if line["split"] == split} for split in ("train", "test")
        )
        self.start = untrained_state(CONFIG, TRAIN)
        self.run = by_hand.Run(CONFIG, self.start.model, TRAIN)
        self.weights, self.averages = [self.run.model], [self.run.average]
        for _ in range(10):
            self.run.step()
            self.weights.append(self.run.model)
            self.averages.append(self.run.average)


def close(ours, wanted):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=5e-4, atol=1e-5)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Made by the first test that calls this, not before it: where a run breaks off, a test has failed."""
    return functools.cache(lambda: Both(tmp_path_factory.mktemp("by_hand")))


def test_a_line_is_the_mean_over_the_steps_since_the_last_multiple_of_log_every(made):
    both = made()
    assert list(both.train) == [4, 6, 8, 10]
    # Step 6 was the first process's last; its line and that of step 8 begin with the same step.
    for end, first in ((4, 0), (6, 4), (8, 4), (10, 8)):
        line = both.train[end]
        rate, distortion, loss, _, _ = np.mean(both.run.steps[first:end], axis=0)
        ours = [line[name] for name in ("rate", "distortion", "loss", "elbo")]
        np.testing.assert_allclose(ours, [rate, distortion, loss, -(rate + distortion)], rtol=1e-4)
        np.testing.assert_allclose(line["learning_rate"], both.run.steps[end - 1][3], rtol=1e-6)


def test_speeds_are_of_this_processs_steps(made):
    both = made()
    speed, seconds = both.summary["throughput"]["examples_per_second"], both.train[6]["seconds"]
    trained = speed * (both.summary["throughput"]["train_seconds"] - seconds)
    np.testing.assert_allclose(trained, 4 * 8, rtol=1e-6)
    # A line's speed times its seconds: to what passes between two readings of the clock.
    times = [0.0, *(line["seconds"] for line in both.train.values())]
    examples = [
        line["examples_per_second"] * s for line, s in zip(both.train.values(), np.diff(times), strict=True)
    ]
    assert 0.9 < np.median(np.array(examples) / [32, 16, 16, 16]) < 1.3


@pytest.mark.parametrize("step", [2, 4, 6, 8, 10])
def test_evaluations_are_of_the_averaged_weights_and_of_every_test_image(made, step):
    both = made()
    assert list(both.test) == [2, 4, 6, 8, 10]
    samples = 5 if step in (6, 10) else 2
    wanted = by_hand.evaluate(CONFIG, both.averages[step], TEST, samples)
    ours = {name: value for name, value in both.test[step].items() if name not in ("step", "split")}
    assert list(ours) == list(wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-4, err_msg=name)
    other = by_hand.evaluate(CONFIG, both.weights[step], TEST, samples)
    assert max(abs(other[name] - wanted[name]) for name in ("rate", "distortion")) > 0.02
    assert both.summary["test"] == {k: v for k, v in both.test[10].items() if k not in ("step", "split")}


def tiles(path, columns, height, width, count):
    """The images of a sheet in the order in which they are read, without their enlargement."""
    sheet, factor = np.asarray(Image.open(path)), 56 // max(height, width)
    cell = height * factor + 2, width * factor + 2
    assert sheet.shape == (-(-count // columns) * cell[0] + 2, columns * cell[1] + 2)
    places = [(2 + n // columns * cell[0], 2 + n % columns * cell[1]) for n in range(count)]
    shown = [sheet[top : top + cell[0] - 2, left : left + cell[1] - 2] for top, left in places]
    assert all((tile == tile[::factor, ::factor].repeat(factor, 0).repeat(factor, 1)).all() for tile in shown)
    return np.array(shown)[:, ::factor, ::factor, None] / 255


@pytest.mark.parametrize("step", [4, 10])
def test_pictures_are_of_the_averaged_weights_with_pairs_side_by_side(made, step):
    both = made()
    average = both.averages[step]
    roots = [by_hand.fold_in(by_hand.stream(4, "pictures"), n) for n in range(9)]
    keys = by_hand.as_jax(roots)
    z = np.asarray(jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys), float)
    samples = tiles(both.folder / "images" / f"samples-{step}.png", 3, 5, 4, 9)
    np.testing.assert_allclose(samples, by_hand.shown(CONFIG, average, z, (5, 4, 1)), atol=0.51 / 255)
    # Three pairs in rows of two: an image is never parted from its reconstruction.
    pairs = tiles(both.folder / "images" / f"reconstructions-{step}.png", 2, 5, 4, 6)
    x = by_hand.scored_images(CONFIG, TEST)[:3]
    np.testing.assert_array_equal(pairs[::2], x)
    z, _ = by_hand.posterior(CONFIG, average, x)
    np.testing.assert_allclose(pairs[1::2], by_hand.shown(CONFIG, average, z, (5, 4, 1)), atol=0.51 / 255)


def test_checkpoints_hold_the_state_after_their_step(made):
    both = made()
    assert sorted(int(path.name) for path in (both.folder / "checkpoints").iterdir()) == [4, 6, 8, 10]
    for step in (6, 8):
        path = (both.folder / "checkpoints" / str(step) / "default").resolve()
        saved = ocp.StandardCheckpointer().restore(path, jax.device_get(both.start))
        assert int(saved.step) == step
        for ours, wanted in ((saved.model, both.weights[step]), (saved.average, both.averages[step])):
            close(ours, wanted)


def test_the_loaded_model_is_the_average_at_the_last_step(made):
    both = made()
    model = jaxvae.load_model(both.folder)
    close(model, both.averages[10])


def test_a_replayed_step_shows_its_loss_its_gradient_and_its_images(made):
    both = made()
    said = replay(both.config, both.folder, 8)
    shown = re.search(r"loss (\S+); norm of the gradient (\S+) ", said)
    assert shown
    np.testing.assert_allclose(
        [float(n) for n in shown.groups()], [both.run.steps[8][i] for i in (2, 4)], rtol=1e-4
    )
    x, noise, which = by_hand.seen_in_step(CONFIG, TRAIN, 8)
    terms = by_hand.rate_and_distortion(CONFIG, both.weights[8], x, noise)
    for name, values in zip(("rate", "distortion"), terms, strict=True):
        found = re.search(
            rf"{name} +mean (\S+), largest (\S+) \(training image (\d+)\), finite for 8 of 8", said
        )
        assert found
        np.testing.assert_allclose(
            [float(found[1]), float(found[2])], [values.mean(), values.max()], rtol=1e-4
        )
        assert int(found[3]) == which[np.argmax(values)]
    # The largest gradient is that of a whole array, the largest weight a single number.
    for name, tree, size in (
        ("weights", both.weights[8], lambda leaf: np.abs(leaf).max()),
        ("gradients", both.run.gradients[8], np.linalg.norm),
    ):
        sizes = {jax.tree_util.keystr(path): size(leaf) for path, leaf in jax.tree.leaves_with_path(tree)}
        largest = max(sizes, key=lambda path: sizes[path])
        found = re.search(rf"{name}: all finite, largest (\S+) in (\S+)", said)
        assert found
        np.testing.assert_allclose(float(found[1]), sizes[largest], rtol=1e-3)
        assert found[2] == largest.lstrip(".")
    _, log_scale = by_hand.posterior(CONFIG, both.weights[8], x)
    low, high = re.search(r"log-scale of q\(z\|x\): from (\S+) to (\S+)", said).groups()  # type: ignore[union-attr]
    np.testing.assert_allclose([float(low), float(high)], [log_scale.min(), log_scale.max()], rtol=1e-3)


def test_a_convolutional_model_is_scored_as_by_hand_and_test_images_never_mirrored():
    config = Config(
        seed=9,
        data=Data(binarization="none", dequantization="uniform", horizontal_flips=True),
        model=Model(
            latent_dim=3,
            architecture=Conv(channels=(2, 3), hidden=(7, 5), activation="gelu"),
            likelihood=Gaussian(learn_sigma=True),
        ),
        eval=Eval(batch_size=6, grid=5),
    )
    rng = np.random.default_rng(6)
    # In two rows of 6, of which one is filled up.
    images = rng.integers(0, 256, (11, 7, 9, 2), dtype=np.uint8)
    shapes = state_shapes(config, images.shape[1:]).model
    vae = jax.tree.map(lambda w: rng.normal(0, 0.3, w.shape).astype(w.dtype), shapes)
    vae = replicate(vae, jax.devices()[:1])
    evaluator = Evaluator(config, images, jax.devices()[:1])
    ours = evaluator.summarise(evaluator.dispatch(vae, 3), 3)
    for name, value in by_hand.evaluate(config, vae, images, 3).items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-3, err_msg=name)
    _, both = evaluator.pictures(vae)
    np.testing.assert_allclose(both[::2], by_hand.scored_images(config, images)[:10], atol=1e-6)
    exact = by_hand.in_float64(vae)
    z, _ = by_hand.posterior(config, exact, np.asarray(both[::2], float))
    np.testing.assert_allclose(both[1::2], by_hand.shown(config, exact, z, (7, 9, 2)), atol=1e-4)


def test_a_mixture_in_colour_is_scored_as_by_hand_in_bits_of_the_8_bit_image():
    config = Config(
        seed=4,
        data=Data(binarization="none"),
        model=Model(
            latent_dim=2,
            architecture=Conv(channels=(2,), hidden=(5,), activation="tanh"),
            likelihood=LogisticMixture(components=3),
        ),
        eval=Eval(batch_size=4),
    )
    rng = np.random.default_rng(8)
    images = rng.integers(0, 256, (6, 5, 4, 3), dtype=np.uint8)
    images[:, 0, :2], images[:, 1, :2] = 0, 255
    shapes = state_shapes(config, images.shape[1:]).model
    vae = jax.tree.map(lambda w: rng.normal(0, 0.3, w.shape).astype(w.dtype), shapes)
    vae = replicate(vae, jax.devices()[:1])
    evaluator = Evaluator(config, images, jax.devices()[:1])
    ours = evaluator.summarise(evaluator.dispatch(vae, 3), 3)
    for name, value in by_hand.evaluate(config, vae, images, 3).items():
        np.testing.assert_allclose(ours[name], value, rtol=2e-4, atol=2e-3, err_msg=name)
    # Bits of the image itself: nothing is added for its 256 levels.
    np.testing.assert_allclose(ours["bits_per_dim"], ours["nll"] / (60 * math.log(2)), rtol=1e-6)


def test_scoring_a_finished_run_again_loses_nothing_and_adds_its_own_time(made):
    both = made()
    before = both.summary["goodput"]
    again = fit(both.config, both.folder)
    after = again["goodput"]
    assert after["lost_to_restarts_seconds"] == before["lost_to_restarts_seconds"]
    for name in ("train_seconds", "checkpoint_stall_seconds", "data_wait_seconds"):
        assert after[name] == before[name]
    assert after["evaluate_seconds"] > before["evaluate_seconds"]
    assert after["wall_seconds"] > before["wall_seconds"]
    assert (again["test"], again["throughput"]) == (both.summary["test"], both.summary["throughput"])


def test_scores_are_computed_in_full_precision_whatever_is_set():
    images = np.zeros((4, 3, 3, 1), np.uint8)
    config, device = Config(model=Model(latent_dim=2, architecture=MLP(hidden=(3,)))), jax.devices()[:1]
    evaluator = Evaluator(config, images, device)
    shapes = state_shapes(config, (3, 3, 1)).model
    with jax.default_matmul_precision("bfloat16"):
        score = evaluator.map_scores(device)
        indices = np.zeros((1, 1, 4), np.int32)
        program = score.lower(shapes, indices, np.int32(1), evaluator._keys, images).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert len(products) >= 4
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)
