"""Which objectives are there, and what can be set of each?"""

from typing import Literal

from jaxvae.config.kinds.kind import Kind, Needs
from jaxvae.config.ranges import Count, Decay, NotNegative, Portion, Rise, Whole

__all__ = ["CIWAE", "ELBO", "IWAE", "MIWAE", "PIWAE", "Objective"]


class Objective(Kind):
    """What is minimised, in nats per image."""


class ELBO(Objective):
    """distortion + beta * rate: minus the ELBO where beta is 1."""

    kind = "elbo"
    builds = "jaxvae.models.objectives:ELBOObjective"
    beta: NotNegative = 1.0
    """Weight of the rate KL[q(z|x) || p(z)]; at 1 the loss is minus the ELBO."""
    beta_warmup_steps: Whole = 0
    """Steps over which the weight rises linearly from 0 to beta, so that few latents collapse."""
    beta_warmup: Literal["linear", "cyclical"] = "linear"
    """How the weight rises during these steps: once, or again and again in cycles of equal length."""
    beta_cycles: Count = 4
    """cyclical: how many cycles there are in beta_warmup_steps."""
    beta_rise: Rise = 0.5
    """cyclical: the share of each cycle in which the weight rises; it stays at beta for the rest."""
    beta_balance: bool = False
    """During the warm-up, a level of latents costs the more, the more it says, so that no group of a ladder
    is left unused."""
    free_bits: NotNegative = 0.0
    """A rate below so many nats, of each latent or level in the mean over the batch, costs as much as this
    does, so that nothing presses it down."""
    free_bits_per: Literal["latent", "level"] = "latent"
    """What has free bits of its own: every latent, for which the rate must have a closed form, or every level
    of latents."""
    gradient: Literal["standard", "stl"] = "standard"
    """stl: the rate is that of the draw, and its gradient leaves out a part whose mean is 0, which takes the
    noise from it where q(z|x) is nearly exact (sticking the landing)."""

    def unused(self) -> dict[str, Needs]:
        if self.beta == 0:
            others = [name for name in self.field_names() if name != "beta"]
            return dict.fromkeys(others, Needs(("beta",), "beta above 0"))
        cycles, found = ["beta_cycles", "beta_rise"], {}
        if self.beta_warmup_steps == 0:
            needs = Needs(("beta_warmup_steps",), "beta_warmup_steps N")
            found |= dict.fromkeys(["beta_warmup", "beta_balance", *cycles], needs)
        elif self.beta_warmup == "linear":
            found |= dict.fromkeys(cycles, Needs(("beta_warmup",), "beta_warmup cyclical"))
        if self.free_bits == 0:
            found["free_bits_per"] = Needs(("free_bits",), "free_bits NATS")
        return found

    def refused(self) -> dict[str, str]:
        found = {}
        if self.beta_warmup == "cyclical" and self.beta_cycles > self.beta_warmup_steps > 0:
            found["beta_cycles"] = (
                f"there are only {self.beta_warmup_steps} steps of --objective.beta_warmup_steps"
            )
        asking = "free_bits" if self.free_bits > 0 else "beta_balance" if self.beta_balance else None
        if self.gradient == "stl" and asking:
            found["gradient"] = (
                f"stl has one rate for all latents, and --objective.{asking} asks for each one's: choose "
                f"standard, or leave {asking} out"
            )
        if self.free_bits > 0 and self.beta_balance:
            found["beta_balance"] = "--objective.free_bits weighs the rates too: choose one of the two"
        return found


class ManyDraws(Objective):
    """Bounds of several draws from q(z|x)."""

    samples: Count = 5
    """Draws from q(z|x) for each image that a bound is made of."""
    at_once: Count | None = None
    """At most so many draws are computed at once, where memory is short; each is then computed again for its
    gradient. None: all at once."""


class IWAE(ManyDraws):
    """The importance-weighted bound, log of the mean of K weights p(x, z) / q(z|x)."""

    kind = "iwae"
    builds = "jaxvae.models.objectives:IWAEObjective"
    gradient: Literal["standard", "dreg", "stl"] = "standard"
    """dreg: the doubly reparameterised gradient: the same mean, less noise. stl: the same for one draw."""
    alpha: Decay = 0.0
    """Between 0 and 1 the bound lies between the importance-weighted one and the ELBO (VR-IWAE)."""

    def unused(self) -> dict[str, Needs]:
        return {} if self.samples > 1 else {"alpha": Needs(("samples",), "samples above 1")}

    def refused(self) -> dict[str, str]:
        if self.gradient != "stl" or self.samples == 1:
            return {}
        return {
            "gradient": f"with --objective.samples {self.samples} it has another mean than the bound's "
            "gradient, up to twice its size: choose dreg"
        }


class Grouped(ManyDraws):
    """Bounds of several groups of draws."""

    groups: Count = 8
    """How many groups of draws there are."""
    samples: Count = 8
    """Draws from q(z|x) in each group."""


class MIWAE(Grouped):
    """The mean of the importance-weighted bounds of several groups of draws."""

    kind = "miwae"
    builds = "jaxvae.models.objectives:MIWAEObjective"
    gradient: Literal["standard", "dreg"] = "standard"
    """dreg: the doubly reparameterised gradient: the same mean, less noise."""


class PIWAE(Grouped):
    """The model by iwae with the draws of all groups together, q(z|x) by miwae."""

    kind = "piwae"
    builds = "jaxvae.models.objectives:PIWAEObjective"


class CIWAE(ManyDraws):
    """beta times the ELBO, and 1 - beta times the importance-weighted bound."""

    kind = "ciwae"
    builds = "jaxvae.models.objectives:CIWAEObjective"
    beta: Portion = 0.5
    """The ELBO's part."""
