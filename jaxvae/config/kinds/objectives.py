"""Which objectives are there, and what can be set of each?"""

from jaxvae.config.kinds.kind import Kind, Needs
from jaxvae.config.ranges import NotNegative, Whole

__all__ = ["ELBO", "Objective"]


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

    def unused(self) -> dict[str, Needs]:
        return {} if self.beta > 0 else {"beta_warmup_steps": Needs(("beta",), "beta above 0")}
