"""The posterior that is an inverse autoregressive flow."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.models import input_checks
from jaxvae.models.distributions import AbstractDistribution, Gaussian, bounded_log_scale
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.noise import fold_in
from jaxvae.models.posteriors.masked_mlp import MaskedMLP
from jaxvae.models.posteriors.posterior import AbstractPosterior

GATE_BIAS = 1.5
"""At first a step keeps sigmoid(1.5) = 0.82 of a latent."""


class AutoregressiveFlow(AbstractDistribution):
    """What becomes of a diagonal Gaussian's draw under steps ``z <- g z + (1 - g) m``: m and
    ``g = sigmoid(s + 1.5)`` of a latent are functions of the context and of the latents before it, and the
    latents' order is reversed between steps (Kingma et al. 2016, arXiv 1606.04934).

    ``s`` is bounded (``bounded_log_scale``), so that every step can be undone in float32. A draw with its
    log-density takes one pass of each network. The log-density of any other value takes ``latent`` passes.
    There is no closed form of the mean.
    """

    base: Gaussian
    context: Float[Array, " context"]
    networks: tuple[MaskedMLP, ...]

    def sample(self, key: Key[Array, ""]) -> Float[Array, " latent"]:
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Key[Array, ""]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """A draw and ``log q = log N(base draw) - sum of all log g``, in nats."""
        start, log_base = self.base.sample_and_log_prob(key)
        z, log_determinant = self.transform(start)
        return z, log_base - log_determinant

    def tempered_sample(self, key: Key[Array, ""], temperature: float) -> Float[Array, " latent"]:
        """The flow of a draw of the base with its scales times ``temperature``."""
        return self.transform(self.base.tempered_sample(key, temperature))[0]

    def log_prob(self, x: ArrayLike) -> Float[Array, ""]:
        """From the exact inverse, in ``latent`` passes of each network; in nats."""
        start, log_determinant = self.invert(input_checks.value(x, self.base.mean.shape, in_unit=False))
        return self.base.log_prob(start) - log_determinant

    @property
    def noiseless(self) -> Float[Array, " latent"]:
        """The flow of the base's mean: a value amid the others, not their mean."""
        return self.transform(self.base.mean)[0]

    def transform(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """What becomes of a base value, and the log-determinant of its derivative."""
        log_determinant = jnp.zeros((), jnp.float32)
        for i, network in enumerate(self.networks):
            z = z[::-1] if i > 0 else z
            shift, gate = self._shift_and_gate(network, z)
            z = jax.nn.sigmoid(gate) * z + jax.nn.sigmoid(-gate) * shift
            log_determinant = log_determinant + jnp.sum(jax.nn.log_sigmoid(gate))
        return z, log_determinant

    def invert(self, z: Float[Array, " latent"]) -> tuple[Float[Array, " latent"], Float[Array, ""]]:
        """The base value that becomes ``z``, and the log-determinant at it.

        Each pass undoes a step for one latent more: if those before it are right, so are its m and g.
        """
        log_determinant = jnp.zeros((), jnp.float32)
        for i, network in reversed(list(enumerate(self.networks))):

            def once(before, _, network=network, after=z):
                shift, gate = self._shift_and_gate(network, before)
                # 1 / g = 1 + exp(-gate), (1 - g) / g = exp(-gate).
                odds = jnp.exp(-gate)
                return after + odds * (after - shift), jnp.sum(jax.nn.log_sigmoid(gate))

            z, log_gates = jax.lax.scan(once, z, length=z.size)
            # Those of the last pass: it began with all latents right that they depend on.
            log_determinant = log_determinant + log_gates[-1]
            z = z[::-1] if i > 0 else z
        return z, log_determinant

    def _shift_and_gate(
        self, network: MaskedMLP, z: Float[Array, " latent"]
    ) -> tuple[Float[Array, " latent"], Float[Array, " latent"]]:
        """m and the logit of g."""
        shift, raw = network(self.context, z)
        return shift, bounded_log_scale(raw) + GATE_BIAS


class AutoregressivePosterior(AbstractPosterior):
    """q(z|x) = an inverse autoregressive flow. The encoder gives ``latent`` means and as many unbounded
    log-scales of its base, then the context. The networks of the steps are the posterior's own weights; at
    first they give 0, so that q is a diagonal Gaussian.

    The distribution carries the networks, so ``jax.vmap`` over images belongs around all that is done with
    it: ``jax.vmap(model.encode)(images)`` alone would give a copy of them for every image.
    """

    networks: tuple[MaskedMLP, ...]
    outputs: int = eqx.field(static=True)
    latent_dim: int = eqx.field(static=True)

    def __init__(
        self, latent_dim: int, steps: int, hidden: tuple[int, ...], context: int, *, key: Key[Array, ""]
    ):
        self.networks = tuple(
            MaskedMLP(latent_dim, context, hidden, key=fold_in(key, jnp.uint32(step)))
            for step in range(steps)
        )
        self.latent_dim, self.outputs = latent_dim, 2 * latent_dim + context

    @classmethod
    def build(cls, latent_dim: int, *, key: Key[Array, ""], **fields: Any) -> "AutoregressivePosterior":
        return cls(latent_dim, key=key, **fields)

    def __call__(self, outputs: Float[Array, " outputs"]) -> AutoregressiveFlow:
        mean, raw, context = jnp.split(outputs, (self.latent_dim, 2 * self.latent_dim))
        return AutoregressiveFlow(Gaussian(mean, bounded_log_scale(raw)), context, self.networks)
