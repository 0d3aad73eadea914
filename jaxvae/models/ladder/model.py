"""What is a model with many groups of latents, from coarse to fine?

With z_1 the lowest of L groups, ``p(x, z) = p(z_L) prod_l p(z_l|z_{>l}) p(x|z)`` and ``q(z|x) = q(z_L|x)
prod_l q(z_l|z_{>l}, x)``: both go down one path, which q joins with an encoder's feature maps (the ladder of
Sønderby et al. 2016, arXiv 1602.02282; Kingma et al. 2016, arXiv 1606.04934). Blocks are those of VDVAE
(Child 2021, arXiv 2011.10650); q is relative to p, as in NVAE (Vahdat and Kautz 2020, arXiv 2007.03898).
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxvae.config.kinds.networks import Activation, GroupsOfSize, Ladder
from jaxvae.config.pixels import Pixels
from jaxvae.errors import UserError
from jaxvae.models import input_checks
from jaxvae.models.distributions import Gaussian
from jaxvae.models.draws import Draw, LatentRates, Posterior
from jaxvae.models.input_checks import ArrayLike
from jaxvae.models.ladder.group import Group
from jaxvae.models.ladder.maps import Map, MapDecoder, MapEncoder, Size, enlarged, sizes_of
from jaxvae.models.likelihoods import AbstractLikelihood
from jaxvae.models.rates import gaussian_to_gaussian_of_each
from jaxvae.models.vae import AbstractVAE, GradientRoutes, cast

Latents = tuple[Map, ...]
"""Those of each group, height x width x latent, the lowest group first."""


class Level(NamedTuple):
    """One group, given the latents above it."""

    prior: Gaussian
    posterior: Gaussian | None
    """None where no image is known."""
    latents: Map


Choice = Callable[[int, Gaussian, Gaussian | None], Map]
"""What a group's latents shall be, given its number, 0 the lowest, its prior and its posterior."""


class LadderVAE(AbstractVAE):
    """Groups of latents on maps of several sizes. Latents and rates are those of each group, the lowest
    first; a rate is in closed form, given the draw of the groups above."""

    encoder: MapEncoder
    groups: tuple[Group, ...]
    """The uppermost first."""
    decoder: MapDecoder
    """From the state below the last group to what the likelihood takes."""
    likelihood: AbstractLikelihood
    latent_dim: int = eqx.field(static=True)
    """Latents of a group at each position."""
    scales: tuple[int, ...] = eqx.field(static=True)
    """Of each group, which of the encoder's maps it takes."""
    aggregate: bool = eqx.field(static=True)
    image_shape: tuple[int, int, int] = eqx.field(static=True)

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        posterior_of: Callable[[int, Key[Array, ""]], Any],
        likelihood: AbstractLikelihood,
        prior: Any,
        output_bias: Float[Array, "height width output"],
        *,
        groups: str,
        channels: int,
        blocks: int,
        bottleneck: float,
        activation: Activation,
        aggregate: bool,
        rematerialise: bool,
        key: Key[Array, ""],
    ):
        """``posterior_of`` and ``prior`` are not used: groups have their own.

        Raises UserError if ``groups`` name a side that no map of such an image has.
        """
        key_encoder, key_groups, key_decoder = jax.random.split(key, 3)
        sizes, middle = sizes_of(image_shape), max(1, round(bottleneck * channels))
        # Of each group, the uppermost first, how often the image is halved for it.
        halvings: list[int] = []
        for wanted in Ladder(groups=groups).sizes():
            halvings.extend([_halvings(wanted, sizes, groups)] * wanted.groups)
        finest, count = halvings[-1], len(halvings)
        maps = sizes[finest : halvings[0] + 1]
        self.encoder = MapEncoder(
            image_shape[-1],
            finest,
            maps,
            channels,
            middle,
            blocks,
            activation,
            rematerialise=rematerialise,
            key=key_encoder,
        )
        self.groups = tuple(
            Group(
                sizes[own],
                None if above is None else sizes[own:above][::-1],
                (latent_dim, channels, middle),
                1 / math.sqrt(count),
                activation,
                begins=own != above,
                is_last=aggregate and i == count - 1,
                rematerialise=rematerialise,
                key=jax.random.fold_in(key_groups, i),
            )
            for i, (own, above) in enumerate(zip(halvings, [None, *halvings], strict=False))
        )
        self.scales = tuple(own - finest for own in halvings)
        self.decoder = MapDecoder(sizes[:finest][::-1], channels, output_bias, activation, key=key_decoder)
        self.likelihood, self.latent_dim = likelihood, latent_dim
        self.aggregate, self.image_shape = aggregate, image_shape

    @property
    def support(self) -> Pixels:
        return self.likelihood.support

    def encode(self, x: ArrayLike) -> tuple[Map, ...]:
        """Feature maps of an image, the largest first: what q(z|x) takes of it."""
        return self.encoder(input_checks.image(x, self.image_shape, "encode", self.likelihood.beyond))

    def draw(self, encoded: tuple[Map, ...], *, key: Key[Array, ""]) -> Draw:
        return self.routed_draw(encoded, key=key, routes=GradientRoutes())

    def routed_draw(self, encoded: tuple[Map, ...], *, key: Key[Array, ""], routes: GradientRoutes) -> Draw:
        with jax.named_scope("noise"):
            levels, state = self._descend(encoded, _from_posterior(key))
        if routes == GradientRoutes():
            return self._drawn(levels, state)
        # q and p share weights: each density has a path of its own, on which they stand still or not.
        latents = routes.latents(tuple(level.latents for level in levels))
        of_q, _ = routes.posterior(self)._descend(routes.posterior(encoded), _given(latents))
        model = routes.generative(self)
        of_p, state = model._descend(None, _given(latents))
        both = [p._replace(posterior=q.posterior) for p, q in zip(of_p, of_q, strict=True)]
        return model._drawn(both, state)

    def at(self, encoded: tuple[Map, ...], latents: Latents) -> Draw:
        return self._drawn(*self._descend(encoded, _given(latents)))

    def _drawn(self, levels: list[Level], state: Map) -> Draw:
        """What latents say about the image, given each group's densities and the state below the last."""
        with jax.named_scope("decoder"):
            likelihood = self.likelihood(self.decoder(state))
        with jax.named_scope("rate"):
            each = [gaussian_to_gaussian_of_each(q, p).reshape(-1) for p, q, _ in levels if q is not None]
            log_prior = _summed([level.prior.log_prob(level.latents) for level in levels])
            log_posterior = _log_posterior(levels)
        mean, log_scale = (
            jnp.concatenate([getattr(level.posterior, name).reshape(-1) for level in levels])
            for name in ("mean", "log_scale")
        )
        return Draw(
            tuple(level.latents for level in levels),
            log_prior,
            log_posterior,
            jnp.stack([jnp.sum(rates) for rates in each]),
            likelihood,
            Posterior(mean, log_scale),
            jnp.concatenate(each),
        )

    def latent_rates(self, encoded: tuple[Map, ...], *, key: Key[Array, ""]) -> LatentRates:
        """In closed form given the draw of the groups above."""
        each = self.draw(encoded, key=key).latent_rates
        return LatentRates(each, "closed" if len(self.groups) == 1 else "draw")

    def log_posterior(self, encoded: tuple[Map, ...], latents: Latents) -> Float[Array, ""]:
        """log q(z|x) of all groups: each depends on the image."""
        levels, _ = self._descend(encoded, _given(latents))
        return _log_posterior(levels)

    def prior_draw(
        self, *, key: Key[Array, ""], temperature: float = 1.0, above: Latents = ()
    ) -> tuple[Latents, Any]:
        """``above``: latents of the uppermost groups that are given, as the last of ``Draw.latents``, so that
        only those below them are drawn. Raises ValueError if their shapes are others."""
        count = len(self.groups)
        own = [(*size, self.latent_dim) for size in self.map_sizes][count - len(above) :]
        if (found := [z.shape for z in above]) != own or len(above) > count:
            raise ValueError(
                f"latents of the {len(above)} uppermost groups have the shapes {own}, not {found}"
            )

        def choose(number: int, prior: Gaussian, posterior: Gaussian | None) -> Map:
            if number >= count - len(above):
                return above[number - count]
            return prior.tempered_sample(jax.random.fold_in(key, number), temperature)

        levels, state = self._descend(None, choose)
        return tuple(level.latents for level in levels), self.likelihood(self.decoder(state))

    def generate(self, *, key: Key[Array, ""], temperature: float = 1.0, above: Latents = ()) -> Any:
        """p(x|z) of a new image, with the latents of ``prior_draw``."""
        return self.prior_draw(key=key, temperature=temperature, above=above)[1]

    def reconstruct(self, x: ArrayLike, top: int | None = None) -> Float[Array, "height width channel"]:
        """The mean of p(x|z) where z is the mean of q of each group given those above, or, below the ``top``
        uppermost groups, that of p: what these groups say about the image. Without ``top``, all are q's."""
        count = len(self.groups)
        top = count if top is None else top
        if not 0 <= top <= count:
            raise ValueError(f"reconstruct takes the top 0 to {count} groups, not {top}")

        def choose(number: int, prior: Gaussian, posterior: Any) -> Map:
            return posterior.mean if number >= count - top else prior.mean

        _, state = self._descend(
            self.encoder(input_checks.image(x, self.image_shape, "reconstruct", self.likelihood.beyond)),
            choose,
        )
        image: Any = self.likelihood(self.decoder(state))
        return image.mean

    def in_precision(self, precision: str) -> "LadderVAE":
        """With all convolutions in ``precision``; what they say of densities is float32."""
        if precision == "float32":
            return self
        return cast(self, lambda m: (m.encoder, m.groups, m.decoder), precision)

    def summary(self) -> dict[str, float]:
        return self.likelihood.summary()

    def _descend(self, features: tuple[Map, ...] | None, choose: Choice) -> tuple[list[Level], Map]:
        """Every group, the lowest first, and the state below the last, which is made of the groups' latents
        alone where they are aggregated."""
        levels: list[Level] = []
        state = total = None
        for i, (group, scale) in enumerate(zip(self.groups, self.scales, strict=True)):
            with jax.named_scope(f"group{len(self.groups) - 1 - i}"):
                if state is not None and total is not None:
                    state, total = enlarged(state, group.passed), enlarged(total, group.passed)
                if group.start is not None:
                    state = group.start if state is None else state + group.start
                assert state is not None
                prior, posterior, more = group.densities(state, None if features is None else features[scale])
                z = choose(len(self.groups) - 1 - i, prior, posterior)
                levels.append(Level(prior, posterior, z))
                added = group.projected(z)
                total = added if total is None else total + added
                if self.aggregate and i == len(self.groups) - 1:
                    state = total
                else:
                    state = state + added if more is None else state + added + more
                state = state + group.after(state)
        assert state is not None
        return levels[::-1], state

    @property
    def map_sizes(self) -> list[Size]:
        """Of each group's maps, the lowest group first."""
        sizes = sizes_of(self.image_shape)
        return [sizes[len(self.decoder.sizes) + scale] for scale in self.scales[::-1]]


def _halvings(wanted: GroupsOfSize, sizes: tuple[Size, ...], groups: str) -> int:
    """How often the image is halved for maps of the side that is wanted."""
    sides = [max(size) for size in sizes]
    if wanted.side not in sides:
        height, width = sizes[0]
        raise UserError(
            f"--model.architecture.groups {groups!r} cannot work: no map of an image of {height} x {width} "
            f"pixels has a side of {wanted.side}; the sides are {', '.join(map(str, sides))}"
        )
    return sides.index(wanted.side)


def _from_posterior(key: Key[Array, ""]) -> Choice:
    def choose(number: int, prior: Gaussian, posterior: Any) -> Map:
        return posterior.sample(jax.random.fold_in(key, number))

    return choose


def _given(latents: Latents) -> Choice:
    return lambda number, prior, posterior: latents[number]


def _log_posterior(levels: list[Level]) -> Float[Array, ""]:
    """log q(z|x) of all groups."""
    return _summed([q.log_prob(level.latents) for level in levels if (q := level.posterior) is not None])


def _summed(each: list[Float[Array, ""]]) -> Float[Array, ""]:
    return jnp.sum(jnp.stack(each))
