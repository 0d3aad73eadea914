import os

import numpy as np
import pytest

from jaxvae.data.dataset import (
    Dataset,
    Picture,
    Pictures,
    identity,
    one_line,
    refuse_no_images,
    split,
    subset,
)
from jaxvae.errors import UserError
from jaxvae.runs.fit import fit
from jaxvae.training import order


@pytest.mark.parametrize(
    ("count", "fraction", "tests"), [(100, 0.1, 10), (24, 0.1, 2), (26, 0.1, 3), (2, 0.01, 1), (3, 0.99, 2)]
)
def test_a_split_is_a_partition_with_some_of_each(count, fraction, tests):
    train, test = split(count, fraction)
    assert len(test) == tests
    assert sorted([*train, *test]) == list(range(count))
    assert list(train) == sorted(train)
    assert list(test) == sorted(test)


def test_a_split_is_spread_over_the_set_and_shared_by_all_runs():
    _, test = split(10_000, 0.1)
    tenths = np.bincount(test // 1000, minlength=10)
    assert ((tenths - 100) ** 2 / 100).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001
    np.testing.assert_array_equal(test, split(10_000, 0.1)[1])
    for seed in range(20):
        assert set(order.permutation(seed, 0, 10_000)[:1000]) != set(test)


def test_a_subset_keeps_names():
    pictures = Pictures(
        5, lambda i: Picture(np.full((1, 1, 1), i, np.uint8)), lambda i: f"image {i}", "all alike"
    )
    some = subset(pictures, np.array([1, 4]))
    assert [some.name(i) for i in range(some.size)] == ["image 1", "image 4"]
    assert some.read(1).pixels[0, 0, 0] == 4
    assert some.remark == "all alike"


def test_remarks_are_one_sentence_that_begins_with_what_was_read():
    assert one_line(["skipped 1 .txt", "", "read 3 PNG", "its split test"]) == (
        "Read 3 PNG; skipped 1 .txt; its split test."
    )
    assert one_line(["", ""]) == ""


def test_what_identifies_a_file_changes_with_it_whatever_its_times_say(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"1")
    before, status = identity(path), path.stat()
    path.write_bytes(b"2")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert identity(path) != before
    with pytest.raises(OSError, match="not a regular file"):
        identity(tmp_path)


IMAGES = np.zeros((3, 4, 5, 1), np.uint8)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((IMAGES, IMAGES), r"must be a Dataset\(train, test\), not of type tuple"),
        (IMAGES, "not of type ndarray"),
        (
            Dataset(IMAGES / 255, IMAGES),
            r"dataset\.train must be .* uint8, .* not float64 of shape",
        ),
        (Dataset(IMAGES, IMAGES.astype(int)), r"dataset\.test must be .* not int64"),
        (Dataset(IMAGES, IMAGES[..., 0]), r"dataset\.test must be .* not uint8 of shape \(3, 4, 5\)"),
        (Dataset(IMAGES[:0], IMAGES), r"dataset\.train must be .* not uint8 of shape \(0, 4, 5, 1\)"),
        (Dataset(IMAGES, IMAGES[:0]), r"dataset\.test must be"),
        (Dataset(IMAGES.tolist(), IMAGES), r"dataset\.train must be .* not list"),
        (
            Dataset(IMAGES, IMAGES.swapaxes(1, 2)),
            r"\(4, 5, 1\) and .*test \(5, 4, 1\): they must be",
        ),
    ],
)
def test_what_a_caller_gives_must_be_images(given, says):
    with pytest.raises(UserError, match=says):
        refuse_no_images(given)


def test_a_run_asks_it_before_anything_is_written(tmp_path, small_config):
    with pytest.raises(UserError, match=r"dataset\.test must be"):
        fit(small_config, tmp_path / "run", dataset=Dataset(IMAGES, IMAGES[:0]))
    assert list(tmp_path.iterdir()) == []
    refuse_no_images(Dataset(IMAGES, IMAGES[:1]))
