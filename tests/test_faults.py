"""A short draw of every fault that ``benchmarks.faults`` makes by the hundred."""

import signal

import pytest

from benchmarks import faults


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return faults.Bench(tmp_path_factory.mktemp("faults"), [*faults.FLAGS, "--train.steps", "600"])


def assert_none_lost(row, trials):
    assert row.losses == []
    assert (row.trials, row.survived) == (trials, trials)


def test_being_killed_and_being_asked_to_stop_at_random_moments(bench):
    numbers = (signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGINT)
    assert_none_lost(faults.interrupted(bench, "signals", 4, *numbers), 4)


def test_a_damaged_checkpoint(bench):
    assert_none_lost(faults.damaged(bench, "flip", faults.flip, 16, 1), 16)
    assert_none_lost(faults.damaged(bench, "truncate", faults.truncate, 3, 0), 3)
    assert_none_lost(faults.damaged(bench, "delete", faults.delete, 3, 0), 3)
    assert_none_lost(faults.all_damaged(bench), 1)


def test_a_disk_that_is_full(bench):
    row = next(faults.rows(bench, "disk", 0.1))
    if row.trials == 0:  # no file system may be mounted here
        row = faults.file_size_limit(bench)
    assert_none_lost(row, 1)


def test_numbers_that_are_not_finite(bench):
    for row in faults.not_finite(bench, 1):
        assert_none_lost(row, 1)


def test_other_devices_in_mid_run(bench):
    assert_none_lost(faults.crossed(bench, (1, 4), precision="bfloat16"), 2)


def test_two_processes_of_which_one_is_killed(bench):
    assert_none_lost(faults.several(bench, 2, steps=300), 1)
