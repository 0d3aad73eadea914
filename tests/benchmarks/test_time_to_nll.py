"""The speed-run's clock and its verdict, on a run of a few steps."""

import pytest

from benchmarks import time_to_nll

SHORT = tuple(
    "--eval.importance_samples 2 --train.log_every 40 --model.architecture.hidden 32 "
    "--model.latent_dim 4".split()
)


@pytest.mark.slow
def test_a_speed_run_ends_its_clock_with_the_last_step_and_says_whether_the_nll_was_reached():
    whole = time_to_nll.speed_run(250.0, 40, 3, SHORT)
    assert whole["reached"]
    assert whole["steps"] == 40
    assert whole["seed"] == 3
    assert 100 < whole["nll"] < 250
    # The start of a process and the compilation of its programs are in the one, not in the other.
    assert 0 < whole["seconds_from_first_step"] < whole["seconds_from_start"] - 1


@pytest.mark.parametrize(("target", "reached"), [(86.79, False), (86.8, True), (87.0, True)])
def test_a_target_is_reached_by_an_nll_that_is_no_higher(target, reached):
    test = dict.fromkeys(("nll_stderr", "elbo", "importance_samples", "active_units"), 1)
    throughput = {"train_seconds": 3.0, "examples_per_second": 10.0}
    summary = {"step": 40, "test": {"nll": 86.8, **test}, "throughput": throughput, "device": {"count": 1}}
    assert time_to_nll.verdict(target, summary)["reached"] is reached


def test_what_a_failing_run_said_is_told():
    with pytest.raises(RuntimeError, match=r"--model.architecture.hidden \[0\] cannot work"):
        time_to_nll.speed_run(90.0, 40, 0, ("--model.architecture.hidden", "0"))


def test_an_unknown_target_is_refused_with_the_known_ones(capsys):
    with pytest.raises(SystemExit):
        time_to_nll.parser().parse_args(["--targets", "91"])
    assert "'91' is not one of 95, 90, 88, 86.8" in capsys.readouterr().err
