"""Whether an NLL can be believed, beside importance weights whose bias is known."""

import math

import numpy as np
import pytest

from jaxvae.analysis.belief import belief, lines

RANDOM = np.random.default_rng(0)


def scored(spread, samples, images=300):
    """The scores of images whose log-weights are N(-spread^2 / 2, spread^2): log p(x) is 0."""
    logs = RANDOM.normal(-(spread**2) / 2, spread, (images, samples))
    weights = np.exp(logs)
    bound = np.log(weights.mean(1))
    effective = weights.sum(1) ** 2 / (weights**2).sum(1)
    variation = samples / effective - 1
    test = {
        "nll": -bound.mean() + 90,
        "nll_stderr": 0.2,
        "nll_bias": variation.mean() / (2 * samples),
        "nll_draw_stderr": math.sqrt((variation / samples).sum()) / images,
        "effective_samples": effective.mean(),
        "importance_samples": samples,
    }
    return test, effective


def test_an_nll_of_many_effective_samples_is_believed():
    test, effective = scored(0.5, 256)
    found = belief(test, effective, scored(0.5, 32)[0])
    assert found["verdict"] == "yes"
    assert found["samples_needed"] == 256
    assert found["bias"] < 0.02
    assert lines(test, found)[0] == "Believe this NLL: yes."


def test_an_nll_of_few_is_not_and_how_many_are_needed_is_not_far_off():
    test, effective = scored(2.5, 64)
    found = belief(test, effective, scored(2.5, 8)[0])
    assert found["verdict"] == "no"
    assert 0.7 < found["few"] <= 1
    # The true bias is more than what is told, which says "at least".
    assert 0.05 < found["bias"] < test["nll"] - 90
    needed = found["samples_needed"]
    assert 64 < needed < 10_000
    reached = scored(2.5, needed)[0]["effective_samples"]
    assert 5 < reached < 60
    said = "\n".join(lines(test, found))
    assert "Believe this NLL: no" in said
    assert f"Probably needed: --importance_samples {needed} or more." in said


def test_between_them_it_is_a_bound():
    test, effective = scored(2.1, 512)
    found = belief(test, effective, scored(2.1, 64)[0])
    assert found["verdict"] == "bound"
    # Enough count, but the bias is more than the images' error.
    test, effective = scored(0.5, 256)
    assert belief({**test, "nll_stderr": 1e-4}, effective, None)["verdict"] == "bound"
    assert belief({**test, "nll_stderr": math.nan}, effective, None)["verdict"] == "bound"


def test_what_cannot_be_told_is_not():
    test, effective = scored(2.5, 64)
    assert belief(test, effective, None)["samples_needed"] is None
    same = {**test, "importance_samples": 8}
    assert belief(test, effective, same)["samples_needed"] is None
    assert "cannot be told" in lines(test, belief(test, effective, same))[-1]
    assert belief(test, effective, {**same, "nll": test["nll"] + 7})["bias"] == pytest.approx(1.0)
