import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.errors import RunError
from jaxvae.training.device_errors import explained


@pytest.mark.parametrize("take", [np.ones, lambda size: jax.block_until_ready(jnp.ones(size))])
def test_want_of_memory_is_said_with_what_takes_less(take):
    with (
        pytest.raises(
            RunError, match=r"not enough memory \(.*\)\. Less is taken by a smaller --train\.batch_size"
        ),
        explained(),
    ):
        take(2**50)


def test_another_error_stays_what_it_is():
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError
    with pytest.raises(jax.errors.JaxRuntimeError, match="connection"), explained():
        raise jax.errors.JaxRuntimeError("the connection to a peer: but this is the only process")
