"""How fast is a 3x3 convolution trained on this device, in each of its forms?

    python -m benchmarks.convolutions [--images 4,50] [--sides 14,7] [--channels 16,32] [--json]

Four layers with ReLU between, forwards and backwards, one step after the other. ``primitive`` is what models
use (``jaxvae.models.same_convolution``), ``patches`` is a matrix product over patches, ``native`` is XLA's
convolution with JAX's own derivatives; each inside a loop, as training is, and ``native`` outside of one too.
All take turns; times are medians of the rounds.
"""

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from benchmarks.tables import Column, Row, device_name, emit, parser, positive_integers, provenance, say
from jaxvae.models.same_convolution import convolve, convolve_by_xla

LAYERS, STEPS = 4, 10


def patches(x: Array, kernel: Array) -> Array:
    """Every pixel's 3x3 patch times the kernel as a matrix."""
    _, height, width, inner = x.shape
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [padded[:, a : a + height, b : b + width] for a in range(3) for b in range(3)]
    return jnp.concatenate(parts, axis=-1) @ kernel.reshape(9 * inner, -1)


FORMS: dict[str, tuple[Callable[[Array, Array], Array], bool]] = {
    "primitive": (convolve, True),
    "patches": (patches, True),
    "native": (convolve_by_xla, True),
    "native, no loop": (convolve_by_xla, False),
}
"""Each form, and whether its steps are in a loop."""
COLUMNS = (
    Column("images", lambda row: str(row["images"])),
    Column("side", lambda row: str(row["side"])),
    Column("channels", lambda row: str(row["channels"])),
    *(Column(form, lambda row, form=form: f"{row['flops_per_second'][form] / 1e9:,.0f}") for form in FORMS),
)


def made(form: str, images: int, side: int, channels: int) -> tuple[Callable[[Any], Any], Any]:
    """Runs ``STEPS`` training steps; and the kernels that it takes and gives."""
    convolution, loops = FORMS[form]
    x, *kernels = (
        scale * jax.random.normal(jax.random.key(i), shape)
        for i, (scale, shape) in enumerate(
            [(1.0, (images, side, side, channels)), *[(0.05, (3, 3, channels, channels))] * LAYERS]
        )
    )

    def loss(kernels):
        y = x
        for kernel in kernels:
            y = convolution(jax.nn.relu(y), kernel)
        return jnp.mean(y**2)

    def step(kernels, _):
        slopes = jax.grad(loss)(kernels)
        return jax.tree.map(lambda k, slope: k - 1e-3 * slope, kernels, slopes), None

    if loops:
        return jax.jit(lambda kernels: jax.lax.scan(step, kernels, None, length=STEPS)[0]), tuple(kernels)
    one = jax.jit(lambda kernels: step(kernels, None)[0])

    def in_turn(kernels):
        for _ in range(STEPS):
            kernels = one(kernels)
        return kernels

    return in_turn, tuple(kernels)


def measure(images: int, side: int, channels: int, rounds: int) -> Row:
    """FLOP/s of each form: 2 for each multiplication forwards, and 4 backwards."""
    forms = {form: made(form, images, side, channels) for form in FORMS}
    for run, kernels in forms.values():
        jax.block_until_ready(run(kernels))
    seconds: dict[str, list[float]] = {form: [] for form in FORMS}
    for _ in range(rounds):
        for form, (run, kernels) in forms.items():
            started = time.perf_counter()
            jax.block_until_ready(run(kernels))
            seconds[form].append(time.perf_counter() - started)
    flops = 6 * LAYERS * STEPS * images * side**2 * 9 * channels**2
    speeds = {form: flops / statistics.median(each) for form, each in seconds.items()}
    return {"images": images, "side": side, "channels": channels, "flops_per_second": speeds}


def main() -> None:
    """Measures and prints."""
    added = parser(__doc__ or "")
    added.add_argument("--images", type=positive_integers, default=(4, 50), help="a step")
    added.add_argument("--sides", type=positive_integers, default=(14, 7))
    added.add_argument("--channels", type=positive_integers, default=(16, 32))
    added.add_argument("--rounds", type=int, default=7)
    options = added.parse_args()
    origin, rows = provenance(device_name(jax.devices()[0])), list[Row]()
    for images, side, channels in itertools.product(options.images, options.sides, options.channels):
        say(f"{images} images of {side}x{side}x{channels}")
        rows.append(measure(images, side, channels, options.rounds) | origin)
    emit(rows, COLUMNS, options.json)


if __name__ == "__main__":
    main()
