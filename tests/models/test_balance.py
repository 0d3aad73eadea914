"""The warm-up's weight, shared out among levels of latents by their rates, against NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import ELBO, Config, Train
from jaxvae.errors import UserError
from jaxvae.models.build import build_objective
from jaxvae.models.objectives import ELBOObjective, Terms

OBJECTIVE = ELBOObjective(0.9, 10, beta_balance=True)
RATES = np.array([[[3.0, 0.0, 0.5], [5.0, 0.0, 1.5]], [[9.0, 0.2, 0.0], [1.0, 0.2, 2.0]]])
"""Device x image x level."""
DISTORTION = np.array([[50.0, 60.0], [70.0, 90.0]])


def loss_and_slopes(step):
    def loss(rates, distortion):
        return OBJECTIVE.batch(Terms(rates, distortion), jnp.int32(step), "device")

    both = jax.vmap(jax.value_and_grad(loss), axis_name="device")
    return both(jnp.float32(RATES), jnp.float32(DISTORTION))


@pytest.mark.parametrize("step", [0, 3, 9, 10, 500])
def test_a_levels_weight_is_its_share_of_all_devices_rates(step):
    means = RATES.mean((0, 1)) + 0.01
    shares = means / means.mean() if step < 10 else np.ones(3)
    weight = 0.9 * min(1.0, (step + 1) / 10)
    loss, slopes = loss_and_slopes(step)
    np.testing.assert_allclose(loss, DISTORTION.mean(1) + weight * RATES.mean(1) @ shares, rtol=1e-6)
    # The shares are constants: each rate's slope is its weight over the device's images.
    np.testing.assert_allclose(slopes, np.broadcast_to(weight * shares / 2, RATES.shape), rtol=1e-6)


def test_it_is_refused_where_the_batch_is_cut():
    config = Config(
        objective=ELBO(beta_warmup_steps=9, beta_balance=True), train=Train(batch_size=8, reduction="fixed")
    )
    with pytest.raises(UserError, match=r"--train.reduction fixed cannot work: .*beta_balance"):
        build_objective(config)
    build_objective(dataclasses.replace(config, train=Train(batch_size=8)))
