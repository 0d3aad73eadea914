"""Every number that is printed stands beside its own name."""

import re

import pytest

from jaxvae.runs.goodput import PARTS
from jaxvae.runs.progress import Watcher, pixels

TEST = {
    "elbo": -101.125,
    "elbo_stderr": 0.512,
    "rate": 25.25,
    "distortion": 75.875,
    "nll": 98.375,
    "nll_stderr": 0.487,
    "nll_bias": 0.0215,
    "nll_draw_stderr": 0.004,
    "effective_samples": 12.25,
    "gap": 2.75,
    "gap_stderr": 0.0625,
    "active_units": 17,
    "bits_per_dim": 0.18125,
    "importance_samples": 33,
    "examples": 1234,
    "sigma": 0.31415,
}
SUMMARY = {
    "step": 4321,
    "test": TEST,
    "data": {"dequantization": "none", "binarization": "static", "support": "binary"},
    "throughput": {
        "examples_per_second": 54321.4,
        "compile_seconds": 6.7,
        "train_seconds": 89.4,
        "data_wait": 0.0,
    },
    "device": {"count": 4, "kind": "abacus", "platform": "cpu"},
    "goodput": {
        "wall_seconds": 211.5,
        "goodput": 0.5,
        **{f"{part}_seconds": 10.5 + n for n, part in enumerate(PARTS)},
    },
}


def test_the_table_names_every_number(capsys):
    Watcher().table(SUMMARY)
    lines = capsys.readouterr().out.splitlines()
    found = [re.fullmatch(r"  ((?:  )?\S.*?) {3,}(.*)", line) for line in lines]
    rows = {match[1].strip(): match[2] for match in found if match}
    assert {name: re.split(r" {3}", said)[0].strip() for name, said in rows.items()} == {
        "ELBO": "-101.125 +- 0.512",
        "rate": "25.250",
        "distortion": "75.875",
        "NLL": "98.375 +- 0.487",
        "effective samples": "12.2",
        "gap": "2.750 +- 0.062",
        "bits per dimension": "0.1812",
        "active units": "17",
        "sigma": "0.31415",
    }
    assert "at most; 33 importance samples" in rows["NLL"]
    assert "of 33: the NLL is too high by about 0.021" in rows["effective samples"]
    said = " ".join(lines)
    assert "step 4321, 1234 images, statically binarised by this run's own draw, nats per image" in said
    assert "54,321 examples/s on 4 x abacus; 89 s, after 6.7 s of compiling" in said
    assert "Wall time 211.5 s: " in said
    for number, part in enumerate(PARTS):
        assert f"{part.replace('_', ' ')} {10.5 + number:.1f}" in said


def test_a_handful_of_draws_says_nothing_of_its_own_bias(capsys):
    Watcher().table({**SUMMARY, "test": {**TEST, "effective_samples": 9.9}})
    assert "9.9   of 33: too few to say how far the NLL is too high" in capsys.readouterr().out


def test_an_evaluation_is_one_line_of_its_own_numbers(capsys):
    Watcher().evaluation(70, TEST)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    for part in (
        "step      70",
        "test ELBO -101.1",
        "rate 25.25",
        "distortion 75.88",
        "NLL <= 98.38",
        "(33 samples)",
        "active units 17",
    ):
        assert re.search(re.escape(part), said), part


def test_who_is_silent_says_nothing(capsys):
    silent = Watcher(silent=True)
    silent.table(SUMMARY)
    silent.evaluation(70, TEST)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("binarization", "dequantization", "said"),
    [
        ("none", "uniform", "dequantised pixels / 256"),
        ("none", "none", "pixels / 255"),
        ("threshold", "none", "binarised by a threshold"),
        ("static", "none", "statically binarised by this run's own draw"),
        ("dynamic", "none", "dynamically binarised"),
    ],
)
def test_what_was_done_to_pixels_is_said(binarization, dequantization, said):
    assert pixels({"binarization": binarization, "dequantization": dequantization}) == said
