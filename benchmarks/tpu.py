"""What would the training step cost on a TPU, and how fast could it be at most? No TPU is needed.

    python -m benchmarks.tpu [--topology v5e:1x1] [--models mlp,conv] [--batch-sizes 128] [--json]

The trainer's own call of 100 steps is compiled by the TPU's own compiler (libtpu, which runs anywhere), and
the compiled program is read: the memory it takes, what its loop over steps reads and writes, what it
sums over chips. From these follow the seconds that a step takes at the very least, on the chip's stated
rates (``benchmarks/chips.py``); no program that is compiled like this one can be faster.

XLA's own count of bytes (``bytes_accessed``) is given too, but no bound follows from it: it holds what
never leaves the chip, and what is done once a call. Nor is the bound a forecast: work outside the matrix
units is not in it, and for models this small that is most. XLA's estimate in cycles is nearer, and
unverified.

On a machine with TPUs the same command, without --topology, does this for the chips that are there, and
measures the trainer's step beside the bound.
"""

import argparse
import dataclasses
import itertools
import statistics
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import costs, tables, tpu_compiler
from benchmarks.chips import CHIPS, Chip, bounds, on_whole_lanes, products, tile_fill
from benchmarks.experiments import MODELS, experiment, matrix_flops, weights
from benchmarks.tables import Column, Row, emit, one_or_more, positive_integers, provenance
from jaxvae.config import Config
from jaxvae.profiling.hlo import read_program

TOPOLOGIES = ("v5e:1x1", "v5e:2x2", "v5e:16x16", "v5p:2x2x1", "v6e:2x4")

COLUMNS = [
    Column("topology", lambda row: row["topology"]),
    Column("model", lambda row: row["model"]),
    Column("images/chip", lambda row: f"{row['batch_size']}"),
    Column("precision", lambda row: row["precision"]),
    Column("MB/chip", lambda row: f"{row['memory_per_chip'] / 1e6:.0f}"),
    Column("GFLOP (products)", lambda row: f"{row['flops'] / 1e9:.2f} ({row['matrix_flops'] / 1e9:.2f})"),
    Column("MB moved", lambda row: f"{row['memory_bytes'] / 1e6:.1f}"),
    Column("all-reduces, MB", lambda row: f"{row['all_reduces']}, {row['all_reduce_bytes'] / 1e6:.2f}"),
    Column("tiles filled (wide)", lambda row: f"{row['tile_fill']:.2f} ({row['tile_fill_padded']:.2f})"),
    Column("us/step at least", lambda row: f"{row['roofline_seconds'] * 1e6:.1f}"),
    Column("bound by", lambda row: row["bound_by"]),
    Column("examples/s at most", lambda row: rate(row)),
    Column("kcycles", lambda row: f"{row['compiler_cycles'] / 1e3:,.0f}"),
    Column("compile s", lambda row: f"{row['compile_seconds']:.1f}"),
]
"""Per step and chip, but for the examples, which are all chips' together. kcycles: XLA's own estimate."""


def rate(row: Row) -> str:
    """Images a second of all chips: the bound, after what was measured if there are chips to measure."""
    measured = f"{row['examples_per_second']:,.0f} of " if "examples_per_second" in row else ""
    return f"{measured}{row['examples_per_second_bound']:,.0f}"


def measure(config: Config, devices: Sequence[Any]) -> float:
    """Images a second of the trainer's own step on devices that are here: the median of several calls."""
    from benchmarks.throughput import Training
    from jaxvae.data.load import load

    training = Training(config, load(config.data), list(devices), seconds=0.5)
    seconds = statistics.median(training.time() for _ in range(7))
    return training.examples_per_second(seconds)


def row(topology: str, devices: Sequence[Any], name: str, batch_size: int, precision: Any) -> Row:
    """Compiles one model for these devices and reads what came out."""
    from jaxvae.data.load import load

    chip = CHIPS[topology.split(":")[0]]
    config = experiment(name, batch_size * len(devices), precision)
    images: Any = load(config.data).train.shape
    lowered = tpu_compiler.lower(config, images, devices, config.train.steps_per_call)
    started = time.perf_counter()
    call = lowered.compile()
    seconds = time.perf_counter() - started
    # A loop's body is counted once, whatever the number of turns: so one step is counted by itself.
    cost = tpu_compiler.lower(config, images, devices, 1).compile().cost_analysis()
    product_flops = matrix_flops(config, images[1:]) * batch_size
    check_flops(cost["flops"], product_flops, weights(config, images[1:]))
    return {
        "topology": topology,
        "chips": len(devices),
        "model": name,
        "batch_size": batch_size,
        "global_batch_size": config.train.batch_size,
        "precision": precision,
        "flops": cost["flops"],
        "matrix_flops": product_flops,
        "bytes_accessed": cost["bytes accessed"],
        "bytes_accessed_seconds": cost["bytes accessed"] / chip.bytes_per_second,
        **memory(call.memory_analysis()),
        **(read := read_step(call.as_text())),
        **tiles(config, images[1:], batch_size, chip.side),
        **roofline(chip, config.train.batch_size, len(devices), cost["flops"], read),
        "compile_seconds": seconds,
    }


def check_flops(counted: float, of_products: float, weights: int) -> None:
    """Raises ValueError if XLA's count of a step's FLOPs cannot be right, or ours of its products' cannot.

    Convolutions leave out taps beyond the border, a seventh of them in images of 14 x 14; beside the
    products there are Adam's operations for each weight, and those for each pixel.
    """
    least, most = 0.85 * of_products, 1.25 * of_products + 25 * weights
    if not least <= counted <= most:
        raise ValueError(
            f"XLA counts {counted:.4g} FLOPs in a step, and the model's products alone have "
            f"{of_products:.4g}: expected {least:.4g} to {most:.4g}"
        )


def memory(analysis: Any) -> Row:
    """Bytes of a chip's memory that the call needs, and how many of its results take its arguments' place."""
    aliased = analysis.alias_size_in_bytes
    parts = (analysis.argument_size_in_bytes, analysis.output_size_in_bytes, analysis.temp_size_in_bytes)
    code = analysis.generated_code_size_in_bytes
    return {
        "memory_per_chip": sum(parts) - aliased + code,
        "aliased_bytes": aliased,
        "argument_bytes": analysis.argument_size_in_bytes,
    }


def read_step(text: str) -> Row:
    """What one step of the compiled call does: its loop's body, without what is done once a call."""
    program = read_program(text)
    body = costs.loop(program)
    all_reduces = costs.step_all_reduces(program)
    convolutions = costs.convolutions(program)
    cycles = (i.attribute(r'"estimated_cycles":"(\d+)"') for _, i in costs.run_by(program, body))
    given = costs.arguments(program)
    unpadded = sum(map(costs.array_bytes, given))
    return {
        "donated_arrays": len(program.donated),
        "unpadded_argument_bytes": unpadded,
        "argument_padding": sum(map(costs.padded_bytes, given)) / unpadded,
        "memory_bytes": costs.memory_bytes(program, body),
        "all_reduces": len(all_reduces),
        "all_reduce_bytes": sum(one.bytes for one in all_reduces),
        "convolutions": len(convolutions),
        "grouped_convolutions": sum(bool(i.attribute("(feature_group_count)")) for i in convolutions),
        "compiler_cycles": sum(int(count) for count in cycles if count),
    }


def tiles(config: Config, image_shape: tuple[int, int, int], batch_size: int, side: int) -> Row:
    """How well the products fill the matrix units, and would with widths of whole lanes."""
    wide = dataclasses.replace(config, model=on_whole_lanes(config.model, side))
    made = products(config, image_shape, batch_size)
    return {
        "tile_fill": tile_fill(made, side),
        "tile_fill_padded": tile_fill(products(wide, image_shape, batch_size), side),
        "products": {product.name: round(product.fill(side), 3) for product in made},
    }


def roofline(chip: Chip, batch_size: int, chips: int, flops: float, read: Row) -> Row:
    """The least time of a step and what sets it."""
    seconds = bounds(chip, chips, flops, read["memory_bytes"], read["all_reduce_bytes"])
    bound_by, least = max(seconds.items(), key=lambda item: item[1])
    return {
        **{f"{name}_seconds": value for name, value in seconds.items()},
        "roofline_seconds": least,
        "bound_by": bound_by,
        "examples_per_second_bound": batch_size / least,
    }


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line. One topology alone means one model and one batch size, unless told otherwise."""
    parser = tables.parser(__doc__ or "")
    add, every = parser.add_argument, ",".join(MODELS)
    add("--topology", metavar="NAME", help=f"these chips only (default: {', '.join(TOPOLOGIES)})")
    add("--models", type=one_or_more(*MODELS), help=f"of {every} (default: mlp,conv; of one topology mlp)")
    sizes = "images per step and chip (default: 128)"
    add("--batch-sizes", type=positive_integers, default=(128,), help=sizes)
    told = "of the networks; a TPU multiplies float32 in bfloat16 too"
    add("--precision", choices=("float32", "bfloat16"), default="float32", help=told)
    chosen = parser.parse_args(arguments)
    chosen.models = chosen.models or (("mlp",) if chosen.topology else ("mlp", "conv"))
    return chosen


def places(topology: str | None, measured: bool) -> dict[str, Sequence[Any]]:
    """The chips to compile for, by topology: those that are here to be measured, one, or all that we name."""
    import jax

    if not measured:
        return {
            name: tpu_compiler.topology_devices(name) for name in ((topology,) if topology else TOPOLOGIES)
        }
    devices = jax.devices()
    names = [name for name, chip in CHIPS.items() if devices[0].device_kind in chip.kinds]
    if not names:
        raise SystemExit(f"No peak rates are known here for a {devices[0].device_kind}")
    return {f"{names[0]}:{len(devices)}": devices}


def rows(chosen: argparse.Namespace) -> list[Row]:
    """One for each topology, model and batch size; measured ones where there are TPUs."""
    here = tpu_compiler.tpu_is_here()
    measured = here and chosen.topology is None
    if not here:
        tpu_compiler.prepare()
    made = []
    for topology, devices in places(chosen.topology, measured).items():
        kind = devices[0].device_kind
        device = f"{len(devices)} x {kind}" if measured else f"compiled for {kind}, no TPU present"
        for model, batch_size in itertools.product(chosen.models, chosen.batch_sizes):
            tables.say(f"{topology}: {model}, {batch_size} images a chip")
            one = row(topology, devices, model, batch_size, chosen.precision)
            if measured:
                config = experiment(model, one["global_batch_size"], chosen.precision)
                one["examples_per_second"] = measure(config, devices)
            made.append(one | provenance(device, "libtpu"))
    return made


def main() -> None:
    """Compiles, or measures, and prints."""
    chosen = options()
    emit(rows(chosen), COLUMNS, chosen.json)


if __name__ == "__main__":
    main()
