import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxvae.models import noise


def data(key):
    return np.asarray(jax.random.key_data(key))


@pytest.mark.parametrize("number", [0, 1, 77_777, 2**32 - 1])
def test_fold_in_is_that_of_jax(number):
    key = jax.random.key(3)
    np.testing.assert_array_equal(
        data(noise.fold_in(jax.random.clone(key), jnp.uint32(number))),
        data(jax.random.fold_in(key, np.uint32(number))),
    )


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        # The known answers that come with the generator's own reference implementation, Random123.
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((2**32 - 1, 2**32 - 1), (2**32 - 1, 2**32 - 1), (0x1CB996FC, 0xBB002BE7)),
        ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_threefry_gives_the_known_answers(counter, key, words):
    as_words = [
        (jnp.asarray(first, jnp.uint32), jnp.asarray(second, jnp.uint32)) for first, second in (key, counter)
    ]
    assert tuple(int(word) for word in noise._threefry(as_words[0], as_words[1])) == words


def test_bits_are_the_blocks_of_the_counter_and_keys_do_not_share_them():
    keys = jax.random.split(jax.random.key(1), 5_000)
    words = np.asarray(jax.vmap(lambda key: noise.bits(key, 7))(jax.random.clone(keys)))
    assert len(np.unique(words)) > words.size - 5  # of 2^32, 35,000 draws repeat 0.14 times
    ones = np.unpackbits(words.view(np.uint8), axis=-1).reshape(-1, 7 * 32)
    z = (ones.mean(0) - 0.5) * 2 * np.sqrt(len(keys))
    assert np.abs(z).max() < 4.5
    assert abs((z**2).mean() - 1) < 0.4
    first, second = data(keys[0])
    for block in range(4):
        pair = noise._threefry((jnp.asarray(first), jnp.asarray(second)), (jnp.uint32(block), jnp.uint32(0)))
        assert int(pair[0]) == words[0, block]
        if block < 3:
            assert int(pair[1]) == words[0, 4 + block]


def test_normal_draws_are_standard_normal_and_independent():
    keys = jax.random.split(jax.random.key(2), 30_000)
    draws = np.asarray(jax.vmap(lambda key: noise.normal(key, (5, 3)))(keys), np.float64)
    assert draws.shape == (30_000, 5, 3)
    flat = draws.reshape(len(keys), 15)
    assert float(stats.kstest(flat.ravel(), "norm").pvalue) > 1e-4
    assert abs(stats.kurtosis(flat.ravel())) < 5 * np.sqrt(24 / flat.size)
    correlations = np.asarray(np.corrcoef(flat.T))[np.triu_indices(15, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(len(keys))


def test_the_largest_and_smallest_draws_are_finite_and_opposite(monkeypatch):
    for words in ([0], [2**32 - 1]):
        monkeypatch.setattr(noise, "bits", lambda key, count, words=words: jnp.asarray(words, jnp.uint32))
        assert abs(abs(float(noise.normal(jax.random.key(0), (1,))[0])) - 5.2947) < 1e-3


def for_many(function):
    return lambda key: jax.vmap(function)(key[None])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit, for_many, lambda f: jax.jit(for_many(f))])
@pytest.mark.parametrize("first", [lambda key: noise.bits(key, 3), lambda key: noise.normal(key, (3,))])
@pytest.mark.parametrize(
    "second",
    [
        lambda key: noise.bits(key, 1),
        lambda key: noise.normal(key, (2, 2)),
        lambda key: jax.random.normal(key),
        lambda key: jax.random.key_data(jax.random.split(key)),
    ],
)
def test_a_key_that_draws_twice_is_noticed(wrap, first, second):
    with pytest.raises(jax.errors.KeyReuseError):
        wrap(lambda key: (first(key), second(key)))(jax.random.key(0))


def test_keys_may_be_folded_before_and_after_a_draw():
    """As ``jax.random.fold_in`` allows; what comes of it are keys of their own."""

    @jax.jit
    def draws(key):
        folded = [noise.fold_in(key, jnp.uint32(number)) for number in (1, 2)]
        return [noise.bits(one, 2) for one in (*folded, key, noise.fold_in(key, jnp.uint32(3)))]

    assert len(np.unique(np.concatenate(draws(jax.random.key(0))))) == 8


def test_marking_a_key_leaves_nothing_in_the_program():
    text = jax.jit(lambda key: noise.bits(key, 4)).lower(jax.random.key(0)).compile().as_text()
    assert "u32[0]" not in (text or "u32[0]")


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_keys_of_another_generator_draw_as_well_and_each_its_own(impl):
    keys = jax.random.split(jax.random.key(5, impl=impl), 4_000)
    words = jax.vmap(lambda key: noise.bits(key, 3))(jax.random.clone(keys))
    assert len(np.unique(words)) > 11_995
    draws = np.asarray(jax.vmap(lambda key: noise.normal(key, (5,)))(jax.random.clone(keys)), np.float64)
    assert float(stats.kstest(draws.ravel(), "norm").pvalue) > 1e-4
    # A key's draw does not depend on which others there are, as that of ``rbg`` itself does.
    np.testing.assert_array_equal(draws[7], noise.normal(jax.random.clone(keys)[7], (5,)))
    # All four words count.
    base = np.arange(4, dtype=np.uint32)
    others = [base, *(base ^ (np.arange(4) == word).astype(np.uint32) for word in range(4))]
    drawn = [noise.bits(jax.random.wrap_key_data(jnp.asarray(words), impl=impl), 1)[0] for words in others]
    assert len({int(one) for one in drawn}) == 5
    folded = [noise.fold_in(jax.random.clone(keys)[0], jnp.uint32(number)) for number in range(3)]
    assert len({tuple(data(one)) for one in folded}) == 3
