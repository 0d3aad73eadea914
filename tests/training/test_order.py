import numpy as np

from jaxvae.training.order import indices, permutation


def test_every_epoch_visits_every_example_once():
    size, seed = 103, 7
    visited = indices(seed, 0, 5 * size, size).reshape(5, size)
    for epoch in visited:
        assert sorted(epoch) == list(range(size))
    assert len({tuple(epoch) for epoch in visited}) == 5


def test_batches_cross_epochs_and_start_anywhere():
    size, whole = 103, indices(7, 0, 1000, 103)
    assert size % 16
    batches = [indices(7, start, 16, size) for start in range(0, 992, 16)]
    np.testing.assert_array_equal(np.concatenate(batches), whole[:992])
    np.testing.assert_array_equal(indices(7, 90, 500, size), whole[90:590])


def test_the_order_depends_on_the_seed_and_never_changes():
    assert list(permutation(0, 0, 8)) != list(permutation(1, 0, 8))
    # Written down once: a run begun with one version must continue with the next.
    assert list(permutation(0, 0, 8)) == [0, 2, 1, 5, 4, 3, 6, 7]


def test_positions_are_uniform():
    firsts = np.array([permutation(seed, 0, 10)[0] for seed in range(2000)])
    counts = np.bincount(firsts, minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-squared, 9 degrees of freedom, p = 0.001
