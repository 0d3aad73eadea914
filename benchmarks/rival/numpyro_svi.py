"""How fast is NumPyro's stochastic variational inference?"""

# pyright: reportMissingImports=false

import jax
import jax.numpy as jnp
import numpyro
from numpyro import distributions, handlers
from numpyro.infer import SVI, TraceMeanField_ELBO

from benchmarks.rival.jax_networks import Networks
from benchmarks.rival.setting import BETA1, BETA2, EPSILON, LEARNING_RATE, Order, Setting


class NumPyro:
    """As NumPyro's own example of a VAE: ``svi.update`` in a ``fori_loop`` inside one compiled call, here
    with the analytic KL of ``TraceMeanField_ELBO``.

    Convolutions on a CPU, which are several times slower in such a loop, are called from Python instead.
    """

    def __init__(self, setting: Setting):
        self.longest_call = setting.epoch
        self._setting, self._networks, self._order = setting, Networks(setting), Order(setting)
        self._images = jnp.asarray(setting.images.reshape(len(setting.images), -1))
        # NumPyro's loss is the batch's sum: so must epsilon be, for the same step.
        adam = numpyro.optim.Adam(LEARNING_RATE, BETA1, BETA2, EPSILON * setting.batch_size)
        self._svi = SVI(self._model, self._guide, adam, TraceMeanField_ELBO())
        blank = jnp.zeros((setting.batch_size, self._images.shape[1]))
        self._state = self._svi.init(jax.random.key(0), blank)
        self._key, self._calls = jax.random.key(1), 0
        self._train = jax.jit(self._steps, donate_argnums=0)
        self._given = jax.jit(self._given_steps)
        self._from_python = setting.platform == "cpu" and bool(setting.encoder.convolutions)

    def train(self, steps: int) -> None:
        """In one call."""
        rows = self._order.take(steps)
        for part in rows[:, None] if self._from_python else [rows]:
            key = jax.random.fold_in(self._key, self._calls)
            self._state = self._train(self._state, key, self._images, part)
            self._calls += 1

    def wait(self) -> None:
        """Returns when the device is done."""
        jax.block_until_ready(self._state)

    def losses(self, x, noise) -> list[float]:
        """Of given batches and noise."""
        self._state, losses = self._given(self._state, x, noise)
        return [float(loss) / self._setting.batch_size for loss in losses]

    def _model(self, x):
        init = (lambda key, shape: (None, self._setting.decoder), self._networks.decode)
        latent = self._setting.model.latent_dim
        decode = numpyro.module("decoder", init, (len(x), latent))
        with numpyro.plate("batch", len(x)):
            prior = distributions.Normal(jnp.zeros(latent), jnp.ones(latent)).to_event(1)
            z = numpyro.sample("z", prior)
            numpyro.sample("x", distributions.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def _guide(self, x):
        init = (lambda key, shape: (None, self._setting.encoder), self._networks.encode)
        encode = numpyro.module("encoder", init, x.shape)
        mean, log_scale = encode(x)
        with numpyro.plate("batch", len(x)):
            numpyro.sample("z", distributions.Normal(mean, jnp.exp(log_scale)).to_event(1))

    def _steps(self, state, key, images, rows):
        def take(i, state):
            probabilities = images[rows[i]].astype(jnp.float32) / 255
            x = jax.random.bernoulli(jax.random.fold_in(key, i), probabilities).astype(jnp.float32)
            return self._svi.update(state, x)[0]

        if len(rows) == 1:
            return take(0, state)
        return jax.lax.fori_loop(0, len(rows), take, state)

    def _given_steps(self, state, x, noise):
        def take(state, given):
            x, noise = given

            def substitute(site):
                # The guide's draw; the model's is then its replay.
                if site["name"] == "z" and site["value"] is None:
                    return site["fn"].base_dist.loc + site["fn"].base_dist.scale * noise
                return None

            with handlers.substitute(substitute_fn=substitute):
                return self._svi.update(state, x)

        return jax.lax.scan(take, state, (x, noise))
