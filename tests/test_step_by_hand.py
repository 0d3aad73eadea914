"""Training against a run written out in float64 NumPy (``by_hand``): order, inputs, gradient, update, report."""

import dataclasses

import by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.call import TrainCall
from jaxvae.config import Config, Data, Model, Objective, Optimizer, Train
from jaxvae.parallel import devices_for, replicate
from jaxvae.state import initial_state
from jaxvae.step import as_rows, example_inputs, train_keys
from jaxvae.streaming import TrainFeed

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 5, 4, 1), dtype=np.uint8)
MEAN = (IMAGES.mean(0) / 255).astype(np.float32)
# Epsilon is large: where a gradient is nearly zero, Adam's step would else be all rounding.
ADAM = Optimizer(learning_rate=0.02, epsilon=0.02, beta1=0.8, beta2=0.9, warmup_steps=3)
RUNS = {
    "bernoulli, dynamic, flips, cosine, clipped, averaged, beta warms up": Config(
        seed=11,
        data=Data(horizontal_flips=True),
        model=Model(latent_dim=2, hidden=(5, 3), activation="tanh"),
        objective=Objective(beta=1.5, beta_warmup_steps=5),
        optimizer=dataclasses.replace(ADAM, clip_norm=3.5, ema_decay=0.3),
        train=Train(steps=8, batch_size=8, log_every=4, devices=1),
    ),
    "gaussian with a learned sigma, dequantised, constant": Config(
        seed=2**32 - 1,
        data=Data(binarization="none", dequantization="uniform"),
        model=Model(
            latent_dim=3, hidden=(4,), activation="silu", likelihood="gaussian", sigma=0.5, learn_sigma=True
        ),
        optimizer=dataclasses.replace(ADAM, clip_norm=None, schedule="constant", warmup_steps=0),
        train=Train(steps=8, batch_size=6, log_every=8, devices=2),
    ),
    "gaussian with a fixed sigma, static, in a fixed order, linear, streamed": Config(
        data=Data(binarization="static", placement="stream"),
        model=Model(latent_dim=2, hidden=(), likelihood="gaussian", sigma=0.7),
        optimizer=dataclasses.replace(ADAM, clip_norm=1e-3, epsilon=1e-4),
        train=Train(steps=8, batch_size=8, log_every=2, devices=2, reduction="fixed"),
    ),
}


def close(ours, wanted):
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(np.asarray(one), other, rtol=2e-4, atol=3e-6)


@pytest.mark.parametrize("name", RUNS)
def test_eight_steps_are_those_written_out(name):
    config = RUNS[name]
    streamed = config.data.placement == "stream"
    devices, start = devices_for(config.train), initial_state(config, jnp.asarray(MEAN))
    run, state = by_hand.Run(config, start.model, IMAGES), replicate(start, devices)
    feed = TrainFeed(config, IMAGES, devices, 0, 8, 2) if streamed else None
    call = TrainCall(config, IMAGES, devices, state, 2, feed=feed)
    for step in range(0, 8, 2):
        state, report = call(state, step)
        run.step()
        run.step()
        close(state.model, run.model)
        close(state.evaluated, run.average)
        close((state.opt_state.mu, state.opt_state.nu), (run.mean, run.square))
        rate, distortion, loss, _, _ = np.sum(
            run.steps[step // config.train.log_every * config.train.log_every :], 0
        )
        close((report.totals.rate, report.totals.distortion, report.totals.loss), (rate, distortion, loss))
        assert int(report.totals.steps) == (step % config.train.log_every) + 2
        close(report.learning_rate, run.steps[-1][3])
        assert (int(report.failed), int(state.step), bool(report.stop)) == (-1, step + 2, False)
    if feed is not None:
        feed.close()
    norms = [step[4] for step in run.steps]
    if config.optimizer.clip_norm is not None and config.optimizer.clip_norm > 1:
        # Some gradients are clipped and some are not.
        assert min(norms) < config.optimizer.clip_norm < max(norms)
