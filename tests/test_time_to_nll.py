"""The speed-run's clock and its verdict, on a run of a few steps."""

import pytest

from benchmarks import time_to_nll

SHORT = tuple(
    "--eval.importance_samples 2 --train.log_every 40 --model.hidden 32 --model.latent_dim 4".split()
)


def test_a_speed_run_ends_its_clock_with_the_last_step_and_says_whether_the_nll_was_reached():
    whole = time_to_nll.speed_run(250.0, 40, 3, SHORT)
    assert whole["reached"]
    assert whole["steps"] == 40
    assert whole["seed"] == 3
    assert 100 < whole["nll"] < 250
    # The start of a process and the compilation of its programs are in the one, not in the other.
    assert 0 < whole["seconds_from_first_step"] < whole["seconds_from_start"] - 1
    again = time_to_nll.speed_run(100.0, 40, 3, SHORT)
    assert again["nll"] == whole["nll"]
    assert not again["reached"]


def test_what_a_failing_run_said_is_told():
    with pytest.raises(RuntimeError, match=r"--model.hidden \[0\] cannot work"):
        time_to_nll.speed_run(90.0, 40, 0, ("--model.hidden", "0"))


def test_an_unknown_target_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        time_to_nll.parser().parse_args(["--targets", "91"])
    assert "'91' is not one of 95, 90, 88, 86.8" in capsys.readouterr().err
