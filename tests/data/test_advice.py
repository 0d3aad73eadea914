"""What a run says at its start: only where it is surely worth saying."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from jaxvae.config import (
    ELBO,
    IWAE,
    MLP,
    Adam,
    Config,
    ContinuousBernoulli,
    Data,
    Gaussian,
    LogisticMixture,
    Model,
    Train,
)
from jaxvae.config.experiment_file import load_experiment
from jaxvae.data.advice import extreme_share, histogram, sample, warnings
from jaxvae.data.load import load
from jaxvae.runs.fit import fit

CONFIGS = Path(__file__).parents[2] / "configs"
RANDOM = np.random.default_rng(0)
PHOTOS = RANDOM.integers(0, 256, (50, 8, 8, 3), np.uint8)
BINARY = np.where(RANDOM.random((50, 8, 8, 1)) < 0.9, 0, 255).astype(np.uint8)
DRAWINGS = np.where(RANDOM.random(BINARY.shape) < 0.05, 100, BINARY).astype(np.uint8)
DIM = RANDOM.integers(0, 100, (50, 8, 8, 1), np.uint8)
GAUSSIAN = Model(likelihood=Gaussian(learn_sigma=True))
LEVELS = Data(binarization="none", dequantization="uniform")


@pytest.mark.parametrize("name", ["mnist", "mnist_conv", "mnist_speedrun", "linear", "images"])
def test_the_shipped_experiments_have_nothing_to_be_told(name):
    images = PHOTOS if name == "images" else load(Data()).train
    assert warnings(load_experiment(CONFIGS / f"{name}.py"), images) == []


@pytest.mark.parametrize(
    ("config", "images", "says", "flags"),
    [
        (
            Config(),
            PHOTOS,
            "dynamic makes noise of these images, because only 13%",
            "--data.binarization none",
        ),
        (Config(data=Data(binarization="static")), DIM, "static makes noise of these images", "gaussian"),
        (Config(data=Data(binarization="threshold")), DIM, "all pixels are from 0 to 99", "gaussian"),
        (Config(model=GAUSSIAN), DRAWINGS, "dynamic makes pixels 0 or 1", "--model.likelihood bernoulli"),
        (Config(model=GAUSSIAN), PHOTOS, "dynamic makes pixels 0 or 1", "--data.binarization none"),
        (
            Config(data=Data(binarization="none"), model=GAUSSIAN),
            BINARY,
            "these pixels are 0 or 1, and",
            "--model.likelihood bernoulli",
        ),
        (
            Config(data=LEVELS, model=Model(likelihood=Gaussian())),
            PHOTOS,
            "--model.likelihood.sigma 1 stands for noise of variance 1, and in no direction",
            "--model.likelihood.learn_sigma True",
        ),
        (
            Config(model=Model(likelihood=ContinuousBernoulli())),
            PHOTOS,
            "--model.likelihood continuous_bernoulli is a density there",
            "--data.binarization none --data.dequantization uniform",
        ),
        (
            Config(
                data=Data(binarization="none"),
                model=Model(likelihood=Gaussian(learn_sigma=True, sigma_per="pixel")),
            ),
            PHOTOS,
            "--model.likelihood.sigma_per pixel of pixels that are 256 levels",
            "--data.dequantization uniform",
        ),
        (Config(), BINARY, "every pixel is 0 or 255 already", "--data.binarization threshold"),
        (Config(data=Data(binarization="static")), BINARY, "--data.binarization static has nothing to", ""),
        (Config(), DRAWINGS * 0, "all pixels are 0: there is nothing to learn", ""),
        (Config(), DRAWINGS // 255, "no pixel is above 1, where white is 255", "by 255"),
        (Config(), DRAWINGS // 16, "no pixel is above 15, where white is 255: if 15", "by 255 / 15"),
        (
            Config(objective=ELBO(beta=2.0, beta_warmup_steps=400), train=Train(steps=300)),
            DRAWINGS,
            "--objective.beta_warmup_steps 400 is longer than the run of --train.steps 300: the weight "
            "of the rate ends at 1.5, not at 2",
            "",
        ),
        (
            Config(
                objective=ELBO(beta_warmup_steps=400, beta_warmup="cyclical", beta_cycles=5),
                train=Train(steps=300),
            ),
            DRAWINGS,
            "--objective.beta_warmup_steps 400 is longer than the run of --train.steps 300: of the 5 cycles "
            "of the rate's weight it has 3.75",
            "",
        ),
        (
            Config(optimizer=Adam(warmup_steps=301), train=Train(steps=300)),
            DRAWINGS,
            "--optimizer.warmup_steps 301 is longer than the run of --train.steps 300",
            "",
        ),
        (
            Config(optimizer=Adam(ema_decay=0.999), train=Train(steps=700)),
            DRAWINGS,
            "--optimizer.ema_decay 0.999 is slow for the run of --train.steps 700: 50% of the average",
            "",
        ),
    ],
)
def test_what_does_not_suit_is_said_with_the_flags_that_would(config, images, says, flags):
    (one,) = warnings(config, images)
    assert says in one
    assert flags in one


@pytest.mark.parametrize(
    ("config", "images"),
    [
        (Config(), DRAWINGS),
        (Config(data=Data(binarization="threshold")), PHOTOS),
        (Config(data=LEVELS, model=GAUSSIAN), PHOTOS),
        (Config(data=LEVELS, model=GAUSSIAN), DRAWINGS),
        (Config(data=Data(binarization="threshold")), BINARY),
        (Config(data=LEVELS, model=Model(likelihood=Gaussian(sigma=0.1))), PHOTOS),
        (Config(data=Data(binarization="none"), model=Model(likelihood=LogisticMixture())), PHOTOS),
        (Config(data=Data(binarization="none"), model=Model(likelihood=LogisticMixture())), DRAWINGS),
        (Config(data=LEVELS, model=Model(likelihood=ContinuousBernoulli())), PHOTOS),
        (Config(objective=ELBO(beta_warmup_steps=300), train=Train(steps=300)), DRAWINGS),
        (
            Config(objective=ELBO(beta_warmup_steps=300, beta_warmup="cyclical"), train=Train(steps=300)),
            DRAWINGS,
        ),
        (Config(objective=IWAE(), train=Train(steps=300), optimizer=Adam(warmup_steps=300)), DRAWINGS),
        (Config(optimizer=Adam(warmup_steps=300), train=Train(steps=300)), DRAWINGS),
        (Config(optimizer=Adam(ema_decay=0.999)), DRAWINGS),
    ],
)
def test_what_suits_is_not_spoken_of(config, images):
    assert warnings(config, images) == []


def test_what_is_looked_at_is_spread_over_all_images_and_small():
    images = load(Data()).train
    seen = sample(images)
    assert 2**17 < seen.size <= 2**18
    np.testing.assert_array_equal(seen[[0, -1]], images[[0, -1]])
    assert abs(extreme_share(histogram(seen)) - extreme_share(histogram(images))) < 0.005
    large = sample(np.arange(3 * 1024**2 * 3, dtype=np.uint8).reshape(3, 1024, 1024, 3))
    assert len(large) == 1
    assert 2**17 < large.size <= 2**18
    assert len(sample(DRAWINGS)) == 50
    np.testing.assert_array_equal(histogram(DIM), np.bincount(DIM.reshape(-1), minlength=256))


def test_a_run_is_told_at_its_start_and_not_when_it_is_finished(tmp_path, small_config, capsys):
    np.savez(tmp_path / "a.npz", train=PHOTOS, test=PHOTOS[:5])
    config = dataclasses.replace(
        small_config,
        data=Data(name=str(tmp_path / "a.npz")),
        model=Model(latent_dim=2, architecture=MLP(hidden=())),
        train=dataclasses.replace(small_config.train, steps=4),
    )
    for steps, is_told in ((4, True), (4, False)):
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, steps=steps))
        fit(config, tmp_path / "run")
        said = capsys.readouterr().out
        assert ("Warning: --data.binarization dynamic makes noise" in said) == is_told
        assert ("Warning: --optimizer.warmup_steps 200 is longer than the run" in said) == is_told
