"""Has the posterior collapsed onto the prior, and what may help with this configuration?"""

from typing import Any

from jaxvae.config import Config, Gaussian

LEAST_RATE = 0.01
"""Nats a latent below which the latents say nothing about images."""


def collapsed(config: Config, test: dict[str, Any]) -> str | None:
    """How an evaluation shows that no latent is used; None if some are."""
    latents = config.model.architecture.latents(config.model.latent_dim)
    if test["active_units"] == 0:
        return f"none of the {latents} latents is active"
    if test["rate"] < LEAST_RATE * latents:
        return f"the rate is {test['rate']:.3g} nats, less than {LEAST_RATE:g} for each of {latents} latents"
    return None


def remedies(config: Config) -> list[str]:
    """What may help, as flags that this configuration takes."""
    objective, likelihood, found = config.objective, config.model.likelihood, []
    own = config.code.file is not None
    if isinstance(likelihood, Gaussian) and not likelihood.learn_sigma and not own:
        # How small a fixed sigma must be is a matter of the images: what is said before training knows them.
        found.append("--model.likelihood.learn_sigma True")
    if objective.kind == "elbo" and not own:
        values = objective.arguments()
        if values["beta"] > 1:
            found.append("--objective.beta 1")
        # Of a warm-up that is there already, twice as long.
        longer = max(2 * values["beta_warmup_steps"], config.train.steps // 4)
        if values["beta_warmup_steps"] < config.train.steps // 2 and longer > 0:
            found.append(f"--objective.beta_warmup_steps {min(longer, config.train.steps)}")
        if values["free_bits"] == 0 and config.train.reduction != "fixed":
            found.append("--objective.free_bits 0.1")
    found.append(f"--optimizer.learning_rate {config.optimizer.learning_rate / 3:.2g}")
    return found


def warning(config: Config, step: int, test: dict[str, Any]) -> str | None:
    """The sentence to print after an evaluation at ``step`` that shows a collapse; else None, and None while
    the learning rate still rises: what is not learned yet has not collapsed."""
    how = collapsed(config, test)
    if how is None or step < config.optimizer.warmup_steps:
        return None
    return (
        f"the posterior has collapsed onto the prior: {how}, so that the model ignores its latents. What may "
        f"help, each in a new run: {'; '.join(remedies(config))}"
    )


class CollapseWatch:
    """Says it once when the posterior collapses during training, and once when it recovers."""

    def __init__(self, config: Config):
        self._config = config
        self._is_collapsed = False

    def line(self, step: int, test: dict[str, Any]) -> str | None:
        """What there is to say after the evaluation at ``step``; None if nothing has changed."""
        said = warning(self._config, step, test)
        before, self._is_collapsed = self._is_collapsed, said is not None
        if said is not None and not before:
            return f"Warning: at step {step} {said}."
        if said is None and before:
            return f"At step {step} latents are used again: the posterior is no longer collapsed."
        return None
