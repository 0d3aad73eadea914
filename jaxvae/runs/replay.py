"""Why did a step go wrong? Takes the run back to it, exactly, and says what it sees."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.config import Config
from jaxvae.config.validation import validate
from jaxvae.data.load import Dataset, load
from jaxvae.data.memory_map import gather
from jaxvae.data.placement import choose_places
from jaxvae.errors import RunError
from jaxvae.runs.checkpoint_manifest import named_leaves
from jaxvae.runs.folder import Workdir
from jaxvae.runs.run import state_before
from jaxvae.training import order
from jaxvae.training.diagnosis import diagnose
from jaxvae.training.fused_steps import TrainCall, largest_divisor
from jaxvae.training.parallel import Device, devices_for, replicate
from jaxvae.training.state import TrainState


class NonFiniteError(RunError):
    """Training met a loss or a gradient that is not finite."""

    def __init__(self, step: int, explanation: str):
        super().__init__(explanation)
        self.step = step


def replay(config: Config, path: str | Path, step: int) -> str:
    """What happens at ``step`` of the run in the folder ``path``; changes nothing there.

    Starts from the newest good checkpoint before it, or from the initial state. Raises UserError if the
    folder holds no run of this configuration.
    """
    config = validate(config)
    devices = devices_for(config.train)
    folder = Workdir(path)
    folder.check_replay(config, step)
    dataset = load(config.data)
    return explain(config, dataset, devices, *state_before(config, folder, dataset, step), step)


def explain(
    config: Config, dataset: Dataset, devices: Sequence[Device], state: TrainState, start: int, step: int
) -> str:
    """Takes the steps from ``start`` to ``step``, and tells what happens at that one."""
    with jax.transfer_guard("allow"):
        return _explain(config, dataset, devices, state, start, step)


def _explain(config, dataset, devices, state, start, step) -> str:
    state = replicate(jax.device_get(state), devices)
    if step > start:
        places = choose_places(config.data.placement, dataset, devices)
        places.check(config.data)
        steps = largest_divisor(step - start, places.steps_at_most(config, dataset))
        with places.feed(config, dataset, devices, start, step, steps) as feed:
            call = TrainCall(config, dataset.train, devices, state, steps, feed=feed)
            for first in range(start, step, steps):
                state, report = call(state, first)
                failed = int(jax.device_get(report.failed))
                if failed >= 0 and config.train.non_finite == "stop":
                    return f"step {failed}, before step {step}, is not finite: replay that one"
    local = jax.device_get(state)
    batch = config.train.batch_size
    indices = order.indices(config.seed, step * batch, batch, len(dataset.train))
    images = jnp.asarray(gather(dataset.train, indices))
    seen = jax.device_get(diagnose(config, local, jnp.asarray(indices), images))
    return describe(config, step, seen, indices)


def describe(config: Config, step: int, seen: Any, indices: np.ndarray) -> str:
    """A ``Diagnosis`` in lines: which terms are not finite, of which images, levels and weights."""
    terms = {"rate": seen.rate, "distortion": seen.distortion, "gradient": seen.gradient_norm}
    culprits = [name for name, value in terms.items() if not np.isfinite(value).all()]
    verdict = f"not finite: {', '.join(culprits)}" if culprits else "every term is finite"
    optimizer = config.optimizer
    return "\n".join(
        [
            f"step {step}: {verdict}",
            f"  loss {seen.loss:.6g}; norm of the gradient {seen.gradient_norm:.6g} "
            f"(optimizer.clip_norm {optimizer.clip_norm}, learning_rate {optimizer.learning_rate:g})",
            f"  rate        {_terms(seen.rate, indices)}",
            *_levels(seen.rates, indices),
            f"  distortion  {_terms(seen.distortion, indices)}",
            *_scales(seen.log_scale_ranges),
            f"  weights: {_extreme(seen.weights)}",
            f"  gradients: {_extreme(seen.gradients)}",
        ]
    )


def _levels(rates: np.ndarray, indices: np.ndarray) -> list[str]:
    """Where there are several, of each level of latents, the uppermost first, from which errors come down."""
    count = rates.shape[1]
    if count == 1:
        return []
    return [f"    level {i + 1:<4}{_terms(rates[:, i], indices)}" for i in reversed(range(count))]


def _scales(log_scale_ranges: np.ndarray | None) -> list[str]:
    if log_scale_ranges is None:
        return []
    lows, highs = np.asarray(log_scale_ranges).T
    said = f"  log-scale of q(z|x): from {np.min(lows):.4g} to {np.max(highs):.4g}"
    if len(lows) > 1:
        where = [int(np.argmax(np.abs(np.where(np.isnan(ends), np.inf, ends)))) for ends in (lows, highs)]
        said += f" (of levels {where[0] + 1} and {where[1] + 1})"
    return [said]


def _terms(values: np.ndarray, indices: np.ndarray) -> str:
    finite = np.isfinite(values)
    worst = int(np.argmax(np.where(np.isnan(values), np.inf, values)))
    return (
        f"mean {values.mean():.6g}, largest {values[worst]:.6g} (training image {indices[worst]}), "
        f"finite for {finite.sum()} of {len(values)} images"
    )


def _extreme(tree) -> str:
    named = {name: float(leaf) for name, leaf in named_leaves(tree).items()}
    bad = [name for name, value in named.items() if not np.isfinite(value)]
    if bad:
        return f"not finite in {', '.join(bad)}"
    largest = max(named, key=lambda name: named[name])
    return f"all finite, largest {named[largest]:.4g} in {largest}"
