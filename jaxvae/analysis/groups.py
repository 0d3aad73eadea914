"""What does each group of a ladder carry? Its rate, now and over training, and pictures of what it does."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxvae.analysis.context import Analysis, Context
from jaxvae.analysis.options import Options
from jaxvae.analysis.writing import refuse_unwritable
from jaxvae.config import Config, Ladder
from jaxvae.data.image_grid import MARK, is_ours, write_grid
from jaxvae.errors import RunError, UserError, printable
from jaxvae.system.atomic_files import replace
from jaxvae.system.paths import meant_path

TEMPERATURES = (0.4, 0.6, 0.7, 0.8, 0.9, 1.0)
"""What the scales of all groups are times, in the rows of ``temperatures.png``."""
COLUMNS = 10
"""Images in a row of samples, and test images that are reconstructed."""
MOST_CUTS = 10
"""Up to so many groups, pictures show every number of uppermost groups; of more, those where maps change."""
PICTURES = {
    "rates.png": "the rate of each group, at each evaluation while it was trained",
    "temperatures.png": f"samples; row by row, all scales are times {', '.join(map(str, TEMPERATURES))}",
    "top_groups.png": "each row: a test image, then what its {cuts} uppermost groups say about it",
    "shared_groups.png": "samples; those of a row share the latents of the {cuts} uppermost groups",
}


def refuse(options: Options, config: Config) -> None:
    """Raises UserError if the model has no groups, or if the pictures cannot be written."""
    if not isinstance(config.model.architecture, Ladder):
        raise UserError(
            "--groups cannot work: only --model.architecture ladder has groups of latents, and this run's is "
            + config.model.architecture.kind
        )
    folder = meant_path(str(options.groups), "--groups")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--groups {printable(folder)} is a file: name a folder")
    if not folder.exists() and not folder.absolute().parent.is_dir():
        raise UserError(f"--groups {printable(folder)}: there is no folder {printable(folder.parent)}")
    for name in PICTURES if folder.is_dir() else ():
        refuse_unwritable(folder / name, "--groups", is_ours)


def analyse(context: Context) -> dict[str, Any]:
    """``groups``, the uppermost first: the height and width of its ``map``, ``latents``, ``rate`` in nats, as
    a mean over images, its standard error ``rate_stderr``, and ``bits_per_dim``, rate / (dimensions ln 2).

    ``maps``: latents, rate and bits of all groups on maps of one size together. ``distortion_bits_per_dim``:
    what is left for the image itself; with all groups' bits it is that of minus the ELBO, up to the constant
    between densities and levels. ``folder``: where the pictures of ``PICTURES`` were written.
    """
    model: Any = context.first_model
    unit = math.log(2) * math.prod(model.image_shape)
    each = context.bounds.terms.rates[:, ::-1]
    maps = model.map_sizes[::-1]
    groups = [
        {
            "map": size,
            "latents": latents,
            "rate": float(each[:, i].mean()),
            "rate_stderr": float(each[:, i].std(ddof=1) / math.sqrt(len(each)))
            if len(each) > 1
            else math.nan,
            "bits_per_dim": float(each[:, i].mean()) / unit,
        }
        for i, (size, latents) in enumerate(zip(maps, context.levels[::-1], strict=True))
    ]
    folder = meant_path(str(context.options.groups), "--groups")
    cuts = cuts_of(maps)
    try:
        folder.mkdir(exist_ok=True)
        _write_rates(folder / "rates.png", *over_training(context.history, len(maps)), maps)
        for name, (images, columns) in pictures(context, cuts).items():
            write_grid(folder / name, images, columns)
    except OSError as error:
        raise RunError(f"--groups {printable(folder)} cannot be written ({error.strerror})") from error
    return {
        "groups": groups,
        "maps": _of_maps(groups),
        "distortion_bits_per_dim": float(context.bounds.terms.distortion.mean()) / unit,
        "cuts": cuts,
        "folder": str(folder),
    }


def cuts_of(maps: Sequence[tuple[int, ...]]) -> list[int]:
    """Numbers of uppermost groups to show, from none to all; ``maps`` are the sizes of the groups', the
    uppermost's first."""
    count = len(maps)
    if count <= MOST_CUTS:
        return list(range(count + 1))
    return [0, *(i for i in range(1, count) if maps[i] != maps[i - 1]), count]


def over_training(
    history: Sequence[dict[str, Any]], count: int
) -> tuple[list[int], Float[np.ndarray, "evaluation group"]]:
    """The steps of the evaluations, and the rates of the ``count`` groups at each, the uppermost's first."""
    rows = [row for row in history if row["split"] != "train" and f"rate_level_{count}" in row]
    rates = [[row[f"rate_level_{count - i}"] for i in range(count)] for row in rows]
    return [row["step"] for row in rows], np.array(rates, float).reshape(len(rows), count)


def pictures(context: Context, cuts: Sequence[int]) -> dict[str, tuple[Float[np.ndarray, "..."], int]]:
    """Images, and how many a row, of each picture but ``rates.png``."""
    model: Any = context.first_model
    keys = jax.random.split(context.key("groups"), COLUMNS)

    def at_temperatures(model: Any, keys: Any) -> Array:
        rows = [
            jax.vmap(lambda key, t=t: model.generate(key=key, temperature=t).mean)(keys) for t in TEMPERATURES
        ]
        return jnp.concatenate(rows)

    def from_top(model: Any, x: Array) -> Array:
        said = [jax.vmap(lambda one, top=top: model.reconstruct(one, top=top))(x) for top in cuts]
        return jnp.stack([x, *said], 1).reshape(-1, *model.image_shape)

    def sharing(model: Any, keys: Any) -> Array:
        # All rows share the first draw's latents, so that the more are given, the more alike images become.
        given = model.prior_draw(key=keys[0])[0]
        rows = [
            jax.vmap(lambda key, top=top: model.generate(key=key, above=given[len(given) - top :]).mean)(keys)
            for top in cuts
        ]
        return jnp.concatenate(rows)

    shown = np.arange(min(COLUMNS, len(context.dataset.test)))
    with jax.default_matmul_precision("highest"):
        drawn = {
            "temperatures.png": (jax.jit(at_temperatures)(model, keys), COLUMNS),
            "top_groups.png": (jax.jit(from_top)(model, context.test_inputs(shown)), len(cuts) + 1),
            "shared_groups.png": (jax.jit(sharing)(model, jax.random.clone(keys)), COLUMNS),
        }
    return {name: (np.asarray(images), columns) for name, (images, columns) in drawn.items()}


def lines(found: dict[str, Any]) -> list[str]:
    """The table of the groups, the uppermost first."""
    said = ["Groups, the uppermost first (rate: KL in nats given those above, mean over images):"]
    said.append("  group  map    latents      rate  bits per dimension")
    count = len(found["groups"])
    for i, group in enumerate(found["groups"]):
        said.append(
            f"  {count - i:>5}  {_map(group['map']):<5}{group['latents']:>9}{group['rate']:>10.3f}"
            f"{group['bits_per_dim']:>20.4f}"
        )
    shares = [f"maps of {_map(one['map'])} {one['bits_per_dim']:.4f}" for one in found["maps"]]
    said.append(
        f"Bits per dimension: {', '.join(shares)}, and the image given the latents "
        f"{found['distortion_bits_per_dim']:.4f}."
    )
    said.append(f"In {printable(Path(found['folder']))}:")
    cuts = ", ".join(map(str, found["cuts"]))
    said += [f"  {name:<18} {what.format(cuts=cuts)}" for name, what in PICTURES.items()]
    return said


def _map(size: Sequence[int]) -> str:
    return "x".join(map(str, size))


def _of_maps(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = {}
    for group in groups:
        one = found.setdefault(group["map"], dict.fromkeys(("latents", "rate", "bits_per_dim"), 0))
        for name in one:
            one[name] += group[name]
    return [{"map": size, **one} for size, one in found.items()]


def _write_rates(
    path: Path,
    steps: list[int],
    rates: Float[np.ndarray, "evaluation group"],
    maps: Sequence[tuple[int, ...]],
) -> None:
    """A line for each group."""
    # Not pyplot, which would choose a window system.
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    colours = colormaps["viridis"](np.linspace(0, 0.92, len(maps)))
    for i, (size, colour) in enumerate(zip(maps, colours, strict=True)):
        label = f"group {len(maps) - i}, {_map(size)}"
        axes.plot(steps, rates[:, i], marker="o", ms=3, color=colour, label=label)
    axes.set(xlabel="step", ylabel="rate, nats per image", ylim=(0, None))
    if len(maps) <= 2 * MOST_CUTS:
        axes.legend(fontsize="small")
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, metadata=dict([MARK]))
    replace(path, content.getvalue())


ANALYSIS = Analysis(analyse, lines, refuse)
