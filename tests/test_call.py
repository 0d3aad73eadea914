from jaxvae.call import largest_divisor


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
