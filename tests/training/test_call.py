"""How many steps become one call: whatever is due, is due at the end of a call."""

import numpy as np
import pytest

from jaxvae.config import Config, Train
from jaxvae.training.fused_steps import largest_divisor, steps_per_call


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_due_before_the_end_is_due_at_the_end_of_a_call(seed):
    rng = np.random.default_rng(seed)
    for _ in range(40):
        steps, log, evaluate, save, at_most = (int(n) * 6 for n in rng.integers(1, 20, 5))
        start = int(rng.choice([0, save, evaluate, log]))
        train = Train(
            steps=steps,
            log_every=log,
            eval_every=evaluate,
            checkpoint_every=save,
            steps_per_call=at_most,
        )
        per_call = steps_per_call(Config(train=train), start)
        limited = steps_per_call(Config(train=train), start, 4)
        # The largest number that does, found by trying all: none larger ends where everything is due.
        due = {start, steps, *(at for every in (log, evaluate, save) for at in range(0, steps, every))}
        fitting = [n for n in range(1, at_most + 1) if all(at % n == 0 for at in due)]
        assert per_call == max(fitting)
        assert limited == max(n for n in fitting if n <= 4)


def test_the_largest_divisor_is_the_one_that_trying_all_finds():
    for number in range(1, 150):
        for at_most in (1, 2, 3, 7, 12, 100, 149, 1000):
            found = max(n for n in range(1, min(number, at_most) + 1) if number % n == 0)
            assert largest_divisor(number, at_most) == found


def test_the_largest_counts_are_divided_at_once():
    # A prime, and the square of one: trying all numbers would take minutes.
    assert largest_divisor(2**31 - 1, 2**31 - 2) == 1
    assert largest_divisor(46_337**2, 10**9) == 46_337
    assert largest_divisor(2**31 - 1, 2**31 - 1) == 2**31 - 1
