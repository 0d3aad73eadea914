"""Training steps against those written out in float64 NumPy (``by_hand``), and what a step sees."""

import dataclasses

import by_hand
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.config import ELBO, MLP, Adam, Config, Data, Gaussian, Model, Train
from jaxvae.data.streaming import TrainFeed
from jaxvae.models.noise import normal
from jaxvae.models.preprocessing import preprocess
from jaxvae.training.fused_steps import TrainCall, call_indices
from jaxvae.training.parallel import devices_for, replicate
from jaxvae.training.state import initial_state
from jaxvae.training.step import as_rows, example_inputs, train_keys

IMAGES = np.random.default_rng(0).integers(0, 256, (21, 5, 4, 1), dtype=np.uint8)
MEAN = (IMAGES.mean(0) / 255).astype(np.float32)
# Epsilon is large: where a gradient is nearly zero, Adam's step would else be all rounding.
ADAM = Adam(learning_rate=0.02, epsilon=0.02, beta1=0.8, beta2=0.9, warmup_steps=3)
RUNS = {
    "bernoulli, dynamic, flips, cosine, clipped, averaged, beta warms up": Config(
        seed=11,
        data=Data(horizontal_flips=True),
        model=Model(latent_dim=2, architecture=MLP(hidden=(5, 3), activation="tanh")),
        objective=ELBO(beta=1.5, beta_warmup_steps=5),
        optimizer=dataclasses.replace(ADAM, clip_norm=3.5, ema_decay=0.3),
        train=Train(steps=8, batch_size=8, log_every=4, devices=1),
    ),
    "gaussian with a learned sigma, dequantised, constant": Config(
        seed=2**32 - 1,
        data=Data(binarization="none", dequantization="uniform"),
        model=Model(
            latent_dim=3,
            architecture=MLP(hidden=(4,), activation="silu"),
            likelihood=Gaussian(sigma=0.5, learn_sigma=True),
        ),
        optimizer=dataclasses.replace(ADAM, clip_norm=None, schedule="constant", warmup_steps=0),
        train=Train(steps=8, batch_size=6, log_every=8, devices=2),
    ),
    "gaussian with a fixed sigma, static, in a fixed order, linear, streamed": Config(
        data=Data(binarization="static", placement="stream"),
        model=Model(latent_dim=2, architecture=MLP(hidden=()), likelihood=Gaussian(sigma=0.7)),
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
        close(state.evaluation_model, run.average)
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


@pytest.mark.parametrize(
    "data",
    [
        Data(binarization="dynamic"),
        Data(binarization="threshold"),
        Data(binarization="none"),
        Data(binarization="none", dequantization="uniform"),
    ],
    ids=lambda data: f"{data.binarization}-{data.dequantization}",
)
@pytest.mark.parametrize("shape", [(16, 16, 3), (5, 5, 1)])
def test_every_pixel_is_drawn_to_the_bit_as_by_hand(data, shape):
    rng = np.random.default_rng(2)
    images = rng.integers(0, 256, (24, *shape), dtype=np.uint8)
    words = rng.integers(0, 2**32, (24, 2), dtype=np.uint32)
    keys = by_hand.as_jax(words)
    ours = jax.jit(jax.vmap(preprocess, (0, 0, None)), static_argnums=2)(jnp.asarray(images), keys, data)
    wanted = [
        by_hand.as_seen(image, tuple(map(int, key)), data) for image, key in zip(images, words, strict=True)
    ]
    np.testing.assert_allclose(
        ours, np.array(wanted), rtol=0, atol=0 if data.binarization != "none" else 1e-7
    )


def test_normal_draws_are_the_quantiles_of_threefrys_words():
    words = np.random.default_rng(3).integers(0, 2**32, (8, 2), dtype=np.uint32)
    keys = by_hand.as_jax(words)
    ours = jax.jit(jax.vmap(lambda key: normal(key, (3, 67))))(keys)
    wanted = [by_hand.normal(tuple(map(int, key)), 3 * 67).reshape(3, 67) for key in words]
    np.testing.assert_allclose(ours, np.array(wanted), rtol=2e-5, atol=1e-6)


def seen(data, steps, indices, images=IMAGES, seed=3, **model):
    """What training sees at some steps if every batch had these images, and every image's noise."""
    config = Config(seed=seed, data=data, **model)
    keys, rows = train_keys(config), as_rows(jnp.asarray(images))[np.asarray(indices)]
    positions = jnp.arange(len(indices))

    @jax.jit
    def see(step):
        x, noise = example_inputs(data, keys, step, positions, jnp.asarray(indices), rows, images.shape[1:])
        return x, jax.vmap(lambda key: normal(key, (3,)))(noise)

    x, z = jax.lax.map(see, jnp.arange(steps))
    return np.asarray(x, np.float64), np.asarray(z, np.float64)


def correlations(a, b):
    """Between every column of ``a`` and every one of ``b``."""
    a, b = ((v - v.mean(0)) / v.std(0) for v in (a.reshape(len(a), -1), b.reshape(len(b), -1)))
    return a.T @ b / len(a)


def test_half_of_the_visits_are_mirrored_whatever_image_position_step_and_noise():
    steps, data = 3_000, Data(binarization="threshold", horizontal_flips=True)
    # Twice the same image in a batch of three.
    x, z = seen(data, steps, [4, 4, 7])
    plain = IMAGES[[4, 4, 7]] > 127
    mirrored = np.all(x == plain[:, :, ::-1], axis=(2, 3, 4))
    assert np.all(mirrored ^ np.all(x == plain, axis=(2, 3, 4)))
    spread = 4.5 / np.sqrt(steps)
    assert np.abs(mirrored.mean(0) - 0.5).max() < spread / 2
    others = np.abs(correlations(mirrored, mirrored) - np.eye(3))
    assert others.max() < spread
    # From one visit to the next, and with the noise of the same visit.
    assert np.abs(correlations(mirrored[1:], mirrored[:-1])).max() < spread
    assert np.abs(correlations(mirrored, z)).max() < spread


def test_dequantisation_is_drawn_anew_at_every_visit():
    steps, data = 2_000, Data(binarization="none", dequantization="uniform")
    x, z = seen(data, steps, [4, 4, 7])
    u = x * 256 - IMAGES[[4, 4, 7]]
    assert 0 <= u.min() < 0.001
    assert 0.999 < u.max() < 1
    spread = 4.5 / np.sqrt(steps)
    # Mean and spread of every pixel over its visits, not over the pixels of one visit.
    assert np.abs(u.mean(0) - 0.5).max() < spread * np.sqrt(1 / 12)
    assert np.abs(u.var(0) - 1 / 12).max() < spread * np.sqrt(1 / 180)
    assert np.abs(correlations(u[:, 0], u[:, 1:])).max() < spread
    assert np.abs(correlations(u[1:], u[:-1])).max() < spread
    assert np.abs(correlations(u, z)).max() < spread


def test_binarisation_is_drawn_anew_at_every_visit_and_apart_from_the_posteriors_noise():
    steps, images = 2_000, np.full((3, 5, 4, 1), 128, np.uint8)
    x, z = seen(Data(binarization="dynamic"), steps, [0, 0, 2], images)
    spread = 4.5 / np.sqrt(steps)
    assert np.abs(x.mean(0) - 128 / 255).max() < spread / 2
    assert np.abs(correlations(x[:, 0], x[:, 1:])).max() < spread
    assert np.abs(correlations(x[1:], x[:-1])).max() < spread
    assert np.abs(correlations(x, z)).max() < spread
    # Statically: one draw for each image, wherever and whenever it comes.
    x, z = seen(Data(binarization="static"), 40, [0, 1, 0, 2], images)
    assert np.all(x == x[0])
    assert np.all(x[0, 0] == x[0, 2])
    assert np.any(x[0, 0] != x[0, 1])
    assert z.std(0).min() > 0.5


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("dynamic", Data()),
        ("static", Data(binarization="static")),
        ("dequantised", Data(binarization="none", dequantization="uniform")),
    ],
)
def test_noise_is_standard_normal_of_its_own_for_every_image_and_step(name, data):
    steps = 2_000
    _, z = seen(data, steps, [5, 5, 6])
    z = z.reshape(steps, 9)
    spread = 4.5 / np.sqrt(steps)
    assert np.abs(z.mean(0)).max() < spread
    assert np.abs(z.var(0) - 1).max() < spread * np.sqrt(2)
    assert np.abs(correlations(z, z) - np.eye(9)).max() < spread
    assert np.abs(correlations(z[1:], z[:-1])).max() < spread
    # The streams of one step never share a key, and another seed has others.
    keys = [
        tuple(np.asarray(jax.random.key_data(key)))
        for s in (3, 4)
        for key in train_keys(Config(seed=s, data=data))
    ]
    assert len(set(keys)) == 6


@pytest.mark.parametrize("streamed", [False, True])
def test_an_epoch_consumes_every_image_once_as_the_gradient_tells(streamed):
    """Every image has one white pixel of its own, and the decoder draws nothing but its bias, which is 0: the
    gradient of that bias counts the images of the batch. Nothing is learned."""
    count, batch = 10, 4
    images = 255 * np.eye(count, dtype=np.uint8).reshape(count, 2, 5, 1)
    config = Config(
        seed=5,
        data=Data(binarization="none", placement="stream" if streamed else "resident"),
        model=Model(latent_dim=1, architecture=MLP(hidden=()), likelihood=Gaussian()),
        optimizer=Adam(learning_rate=0.0, beta1=0.0, clip_norm=None),
        train=Train(steps=10, batch_size=batch, devices=2),
    )
    devices = devices_for(config.train)
    start = initial_state(config, jnp.zeros((2, 5, 1)))
    state = replicate(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), start), devices)
    feed = TrainFeed(config, images, devices, 0, 10, 1) if streamed else None
    call = TrainCall(config, images, devices, state, 1, feed=feed)
    visits = []
    for step in range(10):
        state, _ = call(state, step)
        visits.append(-batch * np.asarray(state.opt_state.mu.decoder.mlp.layers[0].bias))
    if feed is not None:
        feed.close()
    visits = np.array(visits)
    np.testing.assert_allclose(visits, np.round(visits), atol=1e-5)
    np.testing.assert_allclose(visits.sum(1), batch, atol=1e-5)
    # Forty visits in four epochs of ten, whose ends are within batches.
    np.testing.assert_allclose(visits.sum(0), 4, atol=1e-5)
    for epoch in range(1, 4):
        whole = visits[: epoch * count // batch].sum(0)
        assert epoch - 1 <= round(whole.min()) <= round(whole.max()) <= epoch
    np.testing.assert_allclose(visits[:5].sum(0), 2, atol=1e-5)


def test_the_seed_decides_weights_order_and_every_draw():
    first, second = (dataclasses.replace(RUNS[next(iter(RUNS))], seed=seed) for seed in (0, 1))
    weights = [initial_state(config, jnp.asarray(MEAN)).model for config in (first, second)]
    for ours, others in zip(*map(jax.tree.leaves, weights), strict=True):
        assert ours.ndim < 2 or np.abs(ours - others).min() > 0
    for config, model in zip((first, second), weights, strict=True):
        encoder, decoder = by_hand.initial_weights(config, (5, 4, 1))
        for network, wanted in ((model.encoder.mlp, encoder), (model.decoder.mlp, decoder)):
            for layer, matrix in zip(network.layers, wanted, strict=True):
                np.testing.assert_array_equal(layer.matrix, matrix)
            assert not any(np.any(layer.bias) for layer in network.layers[:-1])
        assert not np.any(model.encoder.mlp.layers[-1].bias)
        log_odds = np.log(MEAN.ravel() / (1 - MEAN.ravel()))
        np.testing.assert_allclose(model.decoder.mlp.layers[-1].bias, log_odds, rtol=1e-4, atol=1e-6)
    orders = [call_indices(config, 50, 0, 6, 1).ravel() for config in (first, second)]
    assert np.mean(orders[0] == orders[1]) < 0.2
    for data in (
        first.data,
        Data(binarization="static"),
        Data(binarization="none", dequantization="uniform"),
    ):
        (x, z), (other_x, other_z) = (seen(data, 1, list(range(21)), seed=seed) for seed in (0, 1))
        assert np.abs(z - other_z).min() > 0
        assert np.mean(np.any(x != other_x, axis=(2, 3, 4))) > 0.9


def test_a_gradient_that_is_not_finite_under_a_finite_loss_is_noticed():
    """A weight of 1e25 behind a hidden unit of 1e-30: the loss is finite, the gradient's square is not."""
    config = dataclasses.replace(
        RUNS[next(iter(RUNS))],
        data=Data(binarization="threshold"),
        model=Model(latent_dim=2, architecture=MLP(hidden=(3,), activation="relu")),
    )
    devices = devices_for(config.train)
    start = jax.device_get(initial_state(config, jnp.asarray(MEAN)))
    first, last = start.model.decoder.mlp.layers
    bad = eqx.tree_at(
        # The hidden layer says the same whatever the latents, and so little that the output is the bias.
        lambda s: [
            s.model.decoder.mlp.layers[0].weight,
            s.model.decoder.mlp.layers[0].bias,
            s.model.decoder.mlp.layers[1].weight,
        ],
        start,
        [np.zeros_like(first.weight), np.full_like(first.bias, 1e-30), np.full_like(last.weight, 1e25)],
    )
    state = replicate(bad, devices)
    after, report = TrainCall(config, IMAGES, devices, state, 1)(state, 0)
    assert int(report.failed) == 0
    for ours, before in zip(jax.tree.leaves(after), jax.tree.leaves(bad), strict=True):
        np.testing.assert_array_equal(ours, before)


def test_a_call_that_is_not_the_next_of_its_state_passes_it_on_unchanged():
    """What follows a call that was undone, which left the state at its own beginning."""
    config = RUNS[next(iter(RUNS))]
    devices = devices_for(config.train)
    state = replicate(initial_state(config, jnp.asarray(MEAN)), devices)
    before = jax.device_get(state)
    after, _ = TrainCall(config, IMAGES, devices, state, 2)(state, 4)
    for ours, old in zip(jax.tree.leaves(after), jax.tree.leaves(before), strict=True):
        np.testing.assert_array_equal(ours, old)
