"""A short draw of every fault that ``benchmarks.faults`` makes by the hundred."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.faults import inside, outside
from tests.faults.harness import FLAGS, LADDER_FLAGS, Bench


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
        yield beside.submit(inside.several_stream, Bench(bench.folder, bench.flags), 2, steps=400)


def assert_none_lost(outcome, trials):
    assert outcome.losses == []
    assert (outcome.trials, outcome.survived) == (trials, trials)


def test_being_killed_and_being_asked_to_stop_at_random_moments(bench):
    assert_none_lost(outside.interrupted(bench, "signals", 2, signal.SIGKILL, signal.SIGTERM), 2)


@pytest.mark.slow
def test_the_same_while_images_are_streamed(bench):
    streamed = bench.with_flags("--data.placement", "stream")
    numbers = (signal.SIGKILL, signal.SIGHUP, signal.SIGINT)
    assert_none_lost(outside.interrupted(streamed, "streamed", 3, *numbers), 3)


def test_a_damaged_checkpoint(bench):
    assert_none_lost(outside.damaged(bench, "flip", outside.flip, 16, 1), 16)
    assert_none_lost(outside.damaged(bench, "truncate", outside.truncate, 3, 0), 3)
    assert_none_lost(outside.damaged(bench, "delete", outside.delete, 3, 0), 3)
    assert_none_lost(outside.all_damaged(bench), 1)


@pytest.mark.slow
def test_a_disk_that_is_full(bench):
    outcome = outside.full(bench, 1)
    if outcome.trials == 0:  # no file system may be mounted here
        outcome = outside.file_size_limit(bench)
    assert_none_lost(outcome, 1)


@pytest.mark.slow
def test_numbers_that_are_not_finite(bench):
    for outcome in (*inside.bad_data(bench, 1), inside.diverging(bench)):
        assert_none_lost(outcome, 1)


@pytest.mark.slow
def test_other_devices_in_mid_run(bench):
    assert_none_lost(inside.crossed(bench, (1, 4), precision="bfloat16"), 2)


def test_two_processes_that_stream_of_which_one_is_killed(two_processes):
    assert_none_lost(two_processes.result(), 1)


@pytest.mark.slow
@pytest.mark.parametrize(("several", "count"), [(inside.several_stream, 4), (inside.several, 2)])
def test_more_processes_of_which_one_is_killed(bench, several, count):
    assert_none_lost(several(bench, count, steps=400), 1)


@pytest.mark.slow
def test_a_hierarchy_comes_through_what_a_dense_model_does(tmp_path):
    ladder = Bench(tmp_path, LADDER_FLAGS)
    assert_none_lost(outside.interrupted(ladder, "signals", 2, signal.SIGKILL, signal.SIGTERM), 2)
    streamed = ladder.with_flags("--data.placement", "stream")
    assert_none_lost(outside.interrupted(streamed, "streamed", 2, signal.SIGKILL), 2)
    assert_none_lost(outside.damaged(ladder, "flip", outside.flip, 4, 1), 4)
    assert_none_lost(inside.crossed(ladder, (1, 4), inside.LADDER, precision="float32"), 2)
    assert_none_lost(inside.several_stream(ladder, 2, steps=400), 1)
