import numpy as np
import pytest

from jaxvae import order
from jaxvae.source import Pictures, split, subset


@pytest.mark.parametrize(("count", "fraction", "tests"), [(100, 0.1, 10), (2, 0.01, 1), (3, 0.99, 2)])
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
    pictures = Pictures(5, lambda i: np.full((1, 1, 1), i, np.uint8), lambda i: f"image {i}")
    some = subset(pictures, np.array([1, 4]))
    assert [some.name(i) for i in range(some.size)] == ["image 1", "image 4"]
    assert some.read(1)[0, 0, 0] == 4
