"""Which pixels a likelihood takes: what it does not is refused before training, with the flags that fit."""

import dataclasses
import json

import numpy as np
import pytest

from jaxvae.config import Config, Data, Gaussian, Likelihood, Model
from jaxvae.config.pixels import TAKES, is_discrete
from jaxvae.config.validation import validate
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit
from jaxvae.runs.progress import bits_of
from tests.models.made_likelihoods import KINDS

DATA = {
    "binary": [Data(binarization=how) for how in ("threshold", "static", "dynamic")],
    "levels": [Data(binarization="none")],
    "unit": [Data(binarization="none", dequantization="uniform")],
}
TAKEN = {
    "bernoulli": {"binary"},
    "gaussian": {"binary", "levels", "unit"},
    "continuous_bernoulli": {"binary", "levels", "unit"},
    "discretized_logistic": {"levels"},
    "logistic_mixture": {"levels"},
    "categorical": {"levels"},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pixels", DATA)
def test_each_kind_takes_its_pixels_and_says_what_would_fit_others(kind, pixels):
    for data in DATA[pixels]:
        assert data.pixels == pixels
        config = Config(data=data, model=Model(likelihood=KINDS[kind]()))
        if pixels in TAKEN[kind]:
            assert validate(config) == config
            continue
        with pytest.raises(UserError) as raised:
            validate(config)
        said = str(raised.value)
        assert said.startswith(f"--model.likelihood {kind} needs pixels that are ")
        found, choices = said.split(": choose ")
        assert {
            "binary": f"is {data.binarization}, which makes them 0 or 1",
            "levels": "--data.binarization is none, which leaves them at 256 levels",
            "unit": "--data.dequantization is uniform, which makes them from 0 to 1",
        }[pixels] in found
        # Both choices do fit: the flags for the likelihood, and the likelihoods for the pixels.
        flags, others = choices.split(", or --model.likelihood ")
        named = dict(zip(*[iter(flags.partition(", static")[0].split())] * 2, strict=True))
        changes = {name.removeprefix("--data."): value for name, value in named.items()}
        validate(dataclasses.replace(config, data=dataclasses.replace(data, **changes)))
        for other in others.replace(" or ", ", ").split(", "):
            validate(Config(data=data, model=Model(likelihood=KINDS[other]())))


def test_a_model_says_itself_what_it_takes(tmp_path, small_config):
    """A user's kind does not say that it is of levels, but what it builds does."""

    class Mine(Likelihood):
        """Of levels."""

        kind = "mine"
        builds = KINDS["discretized_logistic"].builds

    try:
        data = dataclasses.replace(small_config.data, binarization="none", dequantization="uniform")
        model = dataclasses.replace(small_config.model, likelihood=Mine())
        with pytest.raises(
            UserError, match=r"takes pixels that are 256 levels.*uniform they are from 0 to 1"
        ):
            fit(dataclasses.replace(small_config, data=data, model=model), tmp_path / "run")
        assert not (tmp_path / "run").exists()
    finally:
        del Likelihood.kinds()["mine"]  # type: ignore


@pytest.mark.slow
def test_a_short_run_of_levels_is_scored_in_bits_of_the_image(tmp_path, small_config, capsys):
    data = dataclasses.replace(small_config.data, binarization="none")
    model = dataclasses.replace(
        small_config.model, likelihood=KINDS["discretized_logistic"](scale_per="image")
    )
    summary = fit(dataclasses.replace(small_config, data=data, model=model), tmp_path)
    test, said = summary["test"], capsys.readouterr().out
    assert test["bits_per_dim"] == pytest.approx(test["nll"] / (784 * np.log(2)))
    assert 0 < test["bits_per_dim"] < 8
    assert summary["data"]["support"] == "levels"
    assert "of the 8-bit image" in said
    assert f"{test['sigma']:.5f}" in said
    assert json.loads((tmp_path / "summary.json").read_text())["data"]["support"] == "levels"


@pytest.mark.parametrize("support", TAKES)
@pytest.mark.parametrize("pixels", DATA)
def test_the_table_says_what_bits_are_of(support, pixels):
    data = DATA[pixels][0]
    said = bits_of(
        {"binarization": data.binarization, "dequantization": data.dequantization, "support": support}
    )
    if pixels not in TAKES[support]:
        return
    is_density = not is_discrete(support) and pixels != "unit"
    assert is_density == ("of a density" in said)
    assert ("8-bit" in said) == (not is_density and pixels != "binary")


def test_an_older_runs_gaussian_goes_on():
    old = {"data": {"binarization": "none"}, "model": {"likelihood": {"kind": "gaussian", "sigma": 0.2}}}
    assert validate(old).model.likelihood == Gaussian(sigma=0.2)
    old["model"]["likelihood"]["learn_sigma"] = True
    assert validate(old).model.likelihood == Gaussian(sigma=0.2, learn_sigma=True, sigma_per="image")
