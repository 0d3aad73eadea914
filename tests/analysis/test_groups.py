"""What each group of a ladder carries, and the pictures of it."""

import dataclasses
import math
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxvae.analysis import groups
from jaxvae.analysis.context import Context
from jaxvae.analysis.evaluate import evaluate
from jaxvae.analysis.options import Options
from jaxvae.config import Config, Data, Eval, Ladder, Model, Train
from jaxvae.data.dataset import Dataset
from jaxvae.data.image_grid import is_ours
from jaxvae.errors import UserError
from jaxvae.models.build import build_vae
from jaxvae.models.objectives import Terms
from jaxvae.runs.evaluation import Evaluator
from jaxvae.runs.fit import fit

PIXELS = np.random.default_rng(0).integers(0, 256, (12, 5, 6, 1), dtype=np.uint8)
LADDER = Ladder(groups="2x1 3x2", channels=4, blocks=1)
CONFIG = Config(data=Data(), model=Model(latent_dim=2, architecture=LADDER), eval=Eval(batch_size=5, grid=2))
HISTORY = [
    {"step": 1, "split": "train", "elbo": -9.0},
    {"step": 5, "split": "test", "rate_level_1": 1.0, "rate_level_2": 2.0, "rate_level_3": 3.0},
    {"step": 9, "split": "test", "rate_level_1": 1.5, "rate_level_2": 2.5, "rate_level_3": 4.0},
]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    shapes = jax.eval_shape(lambda: build_vae(CONFIG.model, jnp.full((5, 6, 1), 0.5), key=jax.random.key(0)))
    rng = np.random.default_rng(1)
    model = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), leaf.dtype), shapes)
    device = jax.devices()[:1]
    # As if evaluated: 12 images, whose rates are of the lowest group first.
    made: Any = rng.gamma(2.0, size=(12, 3)), rng.gamma(9.0, size=12)
    each = SimpleNamespace(terms=Terms(*made))
    options = Options(groups=str(tmp_path_factory.mktemp("pictures") / "of groups"))
    dataset = Dataset(PIXELS, PIXELS)
    evaluator = Evaluator(CONFIG, PIXELS, device)
    return Context(CONFIG, options, model, dataset, device, evaluator, each, {}, None, 1, HISTORY)


@pytest.fixture(scope="module")
def found(context):
    return groups.analyse(context)


def test_rates_and_bits_of_groups_and_maps(context, found):
    rates = context.bounds.terms.rates.mean(0)
    assert [group["map"] for group in found["groups"]] == [(2, 2), (3, 3), (3, 3)]
    assert [group["latents"] for group in found["groups"]] == [8, 18, 18]
    np.testing.assert_allclose([group["rate"] for group in found["groups"]], rates[::-1], rtol=1e-12)
    bits = rates / (30 * math.log(2))
    assert [one["map"] for one in found["maps"]] == [(2, 2), (3, 3)]
    assert [one["latents"] for one in found["maps"]] == [8, 36]
    np.testing.assert_allclose(
        [one["bits_per_dim"] for one in found["maps"]], [bits[2], bits[0] + bits[1]], rtol=1e-9
    )
    # All together they are minus the ELBO.
    total = sum(one["bits_per_dim"] for one in found["maps"]) + found["distortion_bits_per_dim"]
    elbo = -(context.bounds.terms.rates.sum(-1) + context.bounds.terms.distortion).mean()
    assert total == pytest.approx(-elbo / (30 * math.log(2)), rel=1e-9)
    said = "\n".join(groups.lines(found))
    assert f"      3  2x2          8{rates[2]:>10.3f}{bits[2]:>20.4f}" in said
    assert f"maps of 2x2 {bits[2]:.4f}, maps of 3x3 {bits[0] + bits[1]:.4f}, and the image" in said


def test_a_picture_shows_what_its_name_says(context):
    cuts = [0, 1, 2, 3]
    shown = {name: images for name, (images, _) in groups.pictures(context, cuts).items()}
    assert set(shown) | {"rates.png"} == set(groups.PICTURES)
    model, x = context.model, np.asarray(context.test_inputs(np.arange(10)))
    key = jax.random.split(context.key("groups"), groups.COLUMNS)[3]
    rows = shown["temperatures.png"].reshape(len(groups.TEMPERATURES), groups.COLUMNS, 5, 6, 1)
    for row, temperature in zip(rows, groups.TEMPERATURES, strict=True):
        expected = model.generate(key=jax.random.clone(key), temperature=temperature).mean
        np.testing.assert_allclose(row[3], expected, rtol=1e-4, atol=1e-5)
    top = shown["top_groups.png"].reshape(10, 5, 5, 6, 1)
    np.testing.assert_array_equal(top[:, 0], x)
    np.testing.assert_allclose(top[4, 4], model.reconstruct(x[4]), rtol=1e-4, atol=1e-5)
    # No group: nothing of the image. Fewer groups than all: some of it.
    np.testing.assert_allclose(top[:, 1], np.broadcast_to(top[:1, 1], top[:, 1].shape), rtol=1e-5)
    assert np.abs(top[4, 3] - top[4, 4]).max() > 1e-3
    assert np.abs(top[4, 2] - top[5, 2]).max() > 1e-3
    shared = shown["shared_groups.png"].reshape(4, groups.COLUMNS, 5, 6, 1)
    # The first image is one draw, all of whose groups it shares with itself.
    np.testing.assert_allclose(shared[:, 0], np.broadcast_to(shared[:1, 0], shared[:, 0].shape), rtol=1e-5)
    spread = shared.std(1).mean((1, 2, 3))
    assert (np.diff(spread) < 0).all()
    assert spread[-1] < 1e-6 < spread[-2]


def test_rates_over_training_are_those_of_evaluations_the_uppermost_first():
    steps, rates = groups.over_training(HISTORY, 3)
    assert steps == [5, 9]
    np.testing.assert_array_equal(rates, [[3.0, 2.0, 1.0], [4.0, 2.5, 1.5]])
    assert groups.over_training([], 3)[1].shape == (0, 3)


def test_pictures_are_written_and_replaced(context, found):
    folder = groups.meant_path(context.options.groups, "--groups")
    assert sorted(path.name for path in folder.iterdir()) == sorted(groups.PICTURES)
    for path in folder.iterdir():
        assert is_ours(path)
        with Image.open(path) as picture:
            picture.load()
            assert min(picture.size) > 100
    groups.refuse(context.options, CONFIG)
    assert len(groups.analyse(dataclasses.replace(context, history=[]))["groups"]) == 3


def test_of_many_groups_those_are_shown_where_maps_change():
    assert groups.cuts_of([(1, 1), (2, 2)]) == [0, 1, 2]
    assert groups.cuts_of([(4, 4)] * 4 + [(8, 8)] * 6 + [(16, 16)] * 2) == [0, 4, 10, 12]


def test_what_cannot_be_is_refused_before_it_is_computed(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "rates.png").write_text("mine")
    for name, message in {
        "file": "is a file: name a folder",
        "no/where": "there is no folder",
        "folder": r"rates.png is there already, and nothing that jaxvae wrote",
    }.items():
        with pytest.raises(UserError, match=message):
            groups.refuse(Options(groups=str(tmp_path / name)), CONFIG)
    assert (tmp_path / "folder" / "rates.png").read_text() == "mine"
    with pytest.raises(UserError, match=r"only --model.architecture ladder has groups of latents, .* is mlp"):
        groups.refuse(Options(groups=str(tmp_path / "new")), Config())
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_of_a_run(tmp_path):
    train = Train(steps=8, batch_size=4, log_every=4, eval_every=4, checkpoint_every=8, devices=1)
    images = tmp_path / "images.npz"
    np.savez(images, train=PIXELS, test=PIXELS[:7])
    config = dataclasses.replace(CONFIG, data=Data(name=str(images)), train=train)
    fit(config, tmp_path / "run")
    said = []
    found = evaluate(tmp_path / "run", groups=tmp_path / "groups", say=said.append)
    rates = [group["rate"] for group in found["groups"]["groups"]]
    assert sum(rates) == pytest.approx(found["test"]["rate"], rel=1e-6)
    assert rates[0] == pytest.approx(found["test"]["rate_level_3"], rel=1e-6)
    assert {path.name for path in (tmp_path / "groups").iterdir()} == set(groups.PICTURES)
    assert any("Groups, the uppermost first" in line for line in said)
