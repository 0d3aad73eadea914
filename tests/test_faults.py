"""A short draw of every fault that ``benchmarks.faults`` makes by the hundred."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks import fault_inside, fault_outside
from benchmarks.fault_harness import FLAGS, Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    made = Bench(tmp_path_factory.mktemp("faults"), [*FLAGS, "--train.steps", "400"])
    # First a process that nobody kills compiles what the others then take from the cache.
    assert made.half_done
    assert made.reference
    return made


@pytest.fixture(scope="module", autouse=True)
def two_processes(bench):
    """What comes of two processes, which take their time beside the other tests."""
    with ThreadPoolExecutor() as beside:
        yield beside.submit(fault_inside.several_stream, Bench(bench.folder, bench.flags), 2, steps=400)


def assert_none_lost(outcome, trials):
    assert outcome.losses == []
    assert (outcome.trials, outcome.survived) == (trials, trials)


def test_being_killed_and_being_asked_to_stop_at_random_moments(bench):
    assert_none_lost(fault_outside.interrupted(bench, "signals", 2, signal.SIGKILL, signal.SIGTERM), 2)


def test_the_same_while_images_are_streamed(bench):
    streamed = bench.with_flags("--data.placement", "stream")
    numbers = (signal.SIGKILL, signal.SIGHUP, signal.SIGINT)
    assert_none_lost(fault_outside.interrupted(streamed, "streamed", 3, *numbers), 3)


def test_a_damaged_checkpoint(bench):
    assert_none_lost(fault_outside.damaged(bench, "flip", fault_outside.flip, 16, 1), 16)
    assert_none_lost(fault_outside.damaged(bench, "truncate", fault_outside.truncate, 3, 0), 3)
    assert_none_lost(fault_outside.damaged(bench, "delete", fault_outside.delete, 3, 0), 3)
    assert_none_lost(fault_outside.all_damaged(bench), 1)


def test_a_disk_that_is_full(bench):
    outcome = fault_outside.full(bench, 1)
    if outcome.trials == 0:  # no file system may be mounted here
        outcome = fault_outside.file_size_limit(bench)
    assert_none_lost(outcome, 1)


def test_numbers_that_are_not_finite(bench):
    for outcome in (*fault_inside.bad_data(bench, 1), fault_inside.diverging(bench)):
        assert_none_lost(outcome, 1)


def test_other_devices_in_mid_run(bench):
    assert_none_lost(fault_inside.crossed(bench, (1, 4), precision="bfloat16"), 2)


def test_two_processes_that_stream_of_which_one_is_killed(two_processes):
    assert_none_lost(two_processes.result(), 1)


@pytest.mark.slow
@pytest.mark.parametrize(("several", "count"), [(fault_inside.several_stream, 4), (fault_inside.several, 2)])
def test_more_processes_of_which_one_is_killed(bench, several, count):
    assert_none_lost(several(bench, count, steps=400), 1)
