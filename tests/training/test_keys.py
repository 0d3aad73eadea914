import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.training.keys import Stream, fold_in_each, stream


def bits(key):
    return np.asarray(jax.random.key_data(key))


def test_streams_differ_from_each_other_and_by_seed():
    data = [tuple(bits(stream(seed, name))) for seed in (0, 1) for name in Stream]
    assert len(set(data)) == len(data)


def test_an_example_has_its_key_whatever_the_others_are():
    key = stream(0, Stream.POSTERIOR)
    whole = bits(fold_in_each(key, jnp.arange(8)))
    np.testing.assert_array_equal(bits(fold_in_each(key, jnp.array([5, 2]))), whole[[5, 2]])
    np.testing.assert_array_equal(bits(jax.random.fold_in(key, 5)), whole[5])


def test_the_numbers_of_a_run_never_change():
    # Written down once: a run begun with one version must continue with the next.
    assert [name.value for name in Stream] == list(range(9))
    assert bits(stream(0, Stream.POSTERIOR)).tolist() == [928981903, 3453687069]
