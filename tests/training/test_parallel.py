import jax
import numpy as np
import pytest

from jaxvae.config import Train
from jaxvae.errors import UserError
from jaxvae.training.parallel import choose_devices, devices_for, map_over_devices, replicate, split_batch


def test_too_many_devices_are_refused_with_how_many_there_are():
    assert len(choose_devices(None)) == 8
    assert choose_devices(3) == jax.devices()[:3]
    with pytest.raises(UserError, match=r"devices 9 asks for more than the 8 cpu devices here: use 8"):
        choose_devices(9)


@pytest.mark.parametrize(("size", "wanted"), [(100, "use 96 or 104"), (5, "use 8, or fewer")])
def test_a_batch_that_the_devices_do_not_divide_is_refused(size, wanted):
    assert devices_for(Train(batch_size=96)) == jax.devices()
    with pytest.raises(UserError, match=f"--train.batch_size {size} cannot be shared .* 8 devices: {wanted}"):
        devices_for(Train(batch_size=size))


def test_a_fixed_order_needs_a_number_of_devices_that_divides_its_parts():
    assert len(devices_for(Train(batch_size=96, devices=4, reduction="fixed"))) == 4
    with pytest.raises(UserError, match=r"reduction fixed works on \[1, 2, 4, 8\] devices, not on 6"):
        devices_for(Train(batch_size=96, devices=6, reduction="fixed"))


def test_a_batch_is_split_into_consecutive_parts():
    rows = np.arange(24).reshape(2, 12)
    parts = split_batch(rows, 3)
    assert parts.shape == (3, 2, 4)
    np.testing.assert_array_equal(parts[1], rows[:, 4:8])


def test_replicated_values_stay_ordinary_arrays():
    devices = jax.devices()[:4]
    state = replicate({"w": np.ones(3, np.float32)}, devices)
    assert state["w"].shape == (3,)
    double = map_over_devices(
        lambda s, x: {"w": s["w"] + jax.lax.psum(x, "data")}, devices, mapped=(False, True)
    )
    after = double(state, np.arange(4, dtype=np.float32))
    np.testing.assert_array_equal(after["w"], [7, 7, 7])
