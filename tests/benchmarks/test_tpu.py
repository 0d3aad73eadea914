import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import costs, tpu, tpu_compiler
from benchmarks.chips import CHIPS, Product, bounds, on_whole_lanes, products, tile_fill
from benchmarks.experiments import MODELS, experiment, hidden, matrix_flops, weights
from jaxvae.config import MLP, Config, Data, Model, Train
from jaxvae.profiling.hlo import arrays, read_program
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import replicate
from jaxvae.training.state import initial_state

ROOT = Path(__file__).parents[2]
IMAGE = (28, 28, 1)
SCALARS = 3
"""Loss, rate and distortion are averaged over the chips with the gradient."""


def test_the_tiles_of_a_784_by_400_product():
    # 8 rows through a held block of 7 x 4 tiles of 128 x 128: 784 of 896 and 400 of 512 are of use.
    eight = Product("", rows=8, contracted=784, columns=400)
    assert eight.tile_work(128) == 8 * 896 * 512
    assert eight.fill(128) == 784 * 400 / (896 * 512)
    assert eight.tile_work(256) == 8 * 1024 * 512
    # With 128 examples it is better to hold those: no other side than 784 is then padded.
    assert Product("", rows=128, contracted=784, columns=400).fill(128) == 784 / 896
    assert Product("", rows=1, contracted=1, columns=1).fill(128) == 1 / (8 * 128 * 128)


def test_widths_of_whole_lanes_fill_the_tiles_but_for_the_images():
    wide = on_whole_lanes(Model(latent_dim=20, architecture=MLP(hidden=(400, 300))), 128)
    assert (wide.latent_dim, hidden(wide)) == (128, (512, 384))
    inner = Product("", rows=128, contracted=512, columns=384)
    assert inner.fill(128) == 1
    config = Config(model=wide)
    for product in products(config, IMAGE, 128):
        assert product.fill(128) == (784 / 896 if product.contracted == 784 else 1), product
    assert {p.contracted for p in products(config, IMAGE, 128)} == {128, 256, 384, 512, 784}


@pytest.mark.parametrize("name", MODELS)
def test_the_products_are_those_that_the_flops_count(name):
    config = experiment(name, 128)
    made = products(config, IMAGE, 128)
    assert sum(2 * product.work for product in made) == 128 * matrix_flops(config, IMAGE)
    wide = dataclasses.replace(config, model=on_whole_lanes(config.model, 128))
    assert 0.5 < tile_fill(made, 128) < tile_fill(products(wide, IMAGE, 128), 128) < 1
    assert tile_fill(made, 256) < tile_fill(made, 128)


def test_the_bounds_of_a_step():
    chip = CHIPS["v5e"]
    alone = bounds(chip, 1, 197e12, 819e9 / 2, 1e9)
    assert alone == {"compute": 1, "memory": 0.5, "interconnect": 0}
    # Two chips exchange halves twice: each sends all its bytes once, at half of 400 GB/s.
    assert bounds(chip, 2, 0, 0, 200e9)["interconnect"] == 1


def test_flops_that_cannot_be_right_are_refused():
    tpu.check_flops(445_411_456, 419_840_000, 652_824)
    with pytest.raises(ValueError, match=r"XLA counts 8.397e\+08 FLOPs .* alone have 4.198e\+08"):
        tpu.check_flops(2 * 419_840_000, 419_840_000, 652_824)
    with pytest.raises(ValueError, match="XLA counts"):
        tpu.check_flops(0.8 * 419_840_000, 419_840_000, 652_824)


@pytest.mark.parametrize(
    ("shape", "numbers", "padded", "space"),
    [
        ("f32[400,784]{1,0:T(8,128)S(1)}", 4 * 400 * 784, 4 * 400 * 896, 1),
        ("f32[400,784]{0,1:T(8,128)}", 4 * 400 * 784, 4 * 784 * 512, 0),
        ("bf16[128,400]{0,1:T(8,128)(2,1)}", 2 * 128 * 400, 2 * 400 * 128, 0),
        ("u8[60000,28,28,1]{0,2,3,1:T(8,128)(4,1)}", 60000 * 784, 28 * 32 * 60032, 0),
        ("f32[20]{0:T(128)}", 80, 512, 0),
        ("f32[]{:T(128)S(6)}", 4, 512, 6),
        ("pred[3,5]", 15, 15, 0),
    ],
)
def test_the_memory_of_an_array_is_whole_tiles(shape, numbers, padded, space):
    (array,) = arrays(shape)
    assert (costs.array_bytes(array), costs.padded_bytes(array), array.space) == (numbers, padded, space)


PROGRAM = """\
HloModule jit_f, is_scheduled=true, input_output_alias={ {0}: (0, {}, may-alias), {1}: (2, {}, may-alias) }

%rows (table: u8[1000,128], wanted: s32[8]) -> u8[8,128] {
  %table = u8[1000,128]{1,0} parameter(0)
  %wanted = s32[8]{0} parameter(1)
  ROOT %gather = u8[8,128]{1,0} gather(%table, %wanted), slice_sizes={1,128}
}

%body (state: (f32[8,128], u8[1000,128], s32[8])) -> (f32[8,128], u8[1000,128], s32[8]) {
  %state = (f32[8,128]{1,0:T(8,128)S(1)}, u8[1000,128]{1,0}, s32[8]{0}) parameter(0)
  %w = f32[8,128]{1,0:T(8,128)S(1)} get-tuple-element(%state), index=0
  %images = u8[1000,128]{1,0} get-tuple-element(%state), index=1
  %order = s32[8]{0} get-tuple-element(%state), index=2
  %taken = u8[8,128]{1,0} fusion(%images, %order), kind=kCustom, calls=%rows
  %copy-start = (f32[8,128]{1,0:T(8,128)}, f32[8,128]{1,0:T(8,128)S(1)}, u32[]{:S(2)}) copy-start(%w)
  %copy-done = f32[8,128]{1,0:T(8,128)} copy-done(%copy-start)
  %loss = f32[]{:S(6)} constant(0)
  %sum = (f32[8,128]{1,0:T(8,128)S(1)}, f32[]{:S(6)}) all-reduce(%w, %loss), replica_groups={{0,1}}
  ROOT %next = (f32[8,128]{1,0}, u8[1000,128]{1,0}, s32[8]{0}) tuple(%w, %images, %order)
}

%more (state.1: (f32[8,128], u8[1000,128], s32[8])) -> pred[] {
  %state.1 = (f32[8,128]{1,0}, u8[1000,128]{1,0}, s32[8]{0}) parameter(0)
  ROOT %go = pred[] constant(true)
}

ENTRY %main (p0: f32[8,128], p1: u8[1000,128], p2: s32[8]) -> (f32[8,128], u8[1000,128], s32[8]) {
  %p0 = f32[8,128]{1,0:T(8,128)} parameter(0)
  %p1 = u8[1000,128]{1,0} parameter(1)
  %p2 = s32[8]{0} parameter(2)
  %flag = s32[]{:S(6)} constant(0)
  %stop = s32[]{:S(6)} all-reduce(%flag), replica_groups={{0,1}}
  %start = (f32[8,128]{1,0}, u8[1000,128]{1,0}, s32[8]{0}) tuple(%p0, %p1, %p2)
  ROOT %while = (f32[8,128]{1,0}, u8[1000,128]{1,0}, s32[8]{0}) while(%start), condition=%more, body=%body
}
"""


def test_a_step_is_the_loops_body_and_reads_only_the_rows_that_it_takes():
    program = read_program(PROGRAM)
    assert (program.entry, costs.loop(program), program.donated) == ("main", "body", {0, 2})
    assert [array.shape for array in costs.arguments(program)] == [(8, 128), (1000, 128), (8,)]
    # Rows read and written, and their 8 indices; then 4 KB go from the chip to memory.
    assert costs.memory_bytes(program, "body") == (1024 + 1024 + 32) + 4096
    step = costs.Collective("all-reduce", 4 * 8 * 128 + 4, loops=1)
    assert costs.step_all_reduces(program) == [step]
    assert costs.collectives(program) == [costs.Collective("all-reduce", 4, loops=0), step]
    with pytest.raises(ValueError, match="no ENTRY"):
        read_program(PROGRAM.replace("ENTRY ", ""))
    twice = PROGRAM.replace("  %start", "  %w = s32[] while(%p2), body=%body\n  %start")
    with pytest.raises(ValueError, match="2 loops"):
        costs.loop(read_program(twice))
    within = PROGRAM.replace("  ROOT %go", "  %w = s32[] while(%state.1), body=%body\n  ROOT %go")
    with pytest.raises(ValueError, match="loop within the loop"):
        costs.step_all_reduces(read_program(within))


def test_a_matrix_product_is_no_convolution_whatever_window_it_is_given():
    windows = (
        "",
        ", window={size=1x1}",
        ", window={size=4x4 stride=2x2}",
        ", window={size=14x14x32 pad=1_1x1_1}",
    )
    lines = [f"  %c{n} = f32[8,8]{{1,0}} convolution(%a, %b){w}, dim_labels=x" for n, w in enumerate(windows)]
    program = read_program("\n".join(["HloModule m", "ENTRY %main () -> f32[8,8] {", *lines, "}"]))
    assert [convolution.name for convolution in costs.convolutions(program)] == ["c2", "c3"]


def test_what_is_lowered_from_shapes_is_what_the_trainer_compiles():
    model, data = Model(latent_dim=3, architecture=MLP(hidden=())), Data(binarization="threshold")
    config = Config(data=data, model=model, train=Train(batch_size=16))
    images = np.zeros((50, *IMAGE), np.uint8)
    devices = jax.devices()[:2]
    state = replicate(initial_state(config, jnp.zeros(IMAGE)), devices)
    call = TrainCall(config, images, devices, state, 5)
    text = tpu_compiler.lower(config, (50, *IMAGE), devices, 5).compile().as_text()
    assert instructions(text) == instructions(call.program())
    found = tpu.read_step(text)
    assert found["all_reduce_bytes"] == 4 * (weights(config, IMAGE) + SCALARS)
    assert found["donated_arrays"] == len(jax.tree.leaves(state))


def instructions(text: str) -> list[tuple]:
    """All but the names, which count what a process has compiled before."""
    return [(i.opcode, i.arrays, len(i.operands)) for i in read_program(text).instructions().values()]


def test_the_benchmark_imports_without_jax_which_reads_the_environment_when_imported():
    code = "import sys, benchmarks.tpu; print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- with the TPU's own compiler ---------------------------------------------------------------------------

needs_compiler = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="needs libtpu: pip install -e '.[tpu]'"
)


def python(*arguments: str) -> list[dict]:
    """The JSON lines that a Python process prints, which has none of the tests' settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("JAX_", "XLA_", "TPU_"))}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(
    ("topology", "chips", "model", "convolutions"),
    # Of a convolution forwards and both gradients, but not for the images: so eleven of two and two.
    [("v5e:1x1", 1, "mlp", 0), ("v5e:1x1", 1, "conv", 11), ("v5e:2x2", 4, "mlp", 0)],
)
def test_the_training_step_compiles_for_tpus(topology, chips, model, convolutions):
    command = ("-m", "benchmarks.tpu", "--topology", topology, "--json")
    (row,) = python(*command, *(("--models", model) if model != "mlp" else ()))
    config = experiment(model, 128 * chips)
    count = weights(config, IMAGE)
    assert (row["model"], row["chips"], row["global_batch_size"]) == (model, chips, 128 * chips)
    assert row["matrix_flops"] == 128 * matrix_flops(config, IMAGE)
    assert 0.9 < row["flops"] / row["matrix_flops"] < 1.1
    assert row["all_reduce_bytes"] == (4 * (count + SCALARS) if chips > 1 else 0)
    # Weights and Adam's two moments, and the images: at least that, and it fits.
    assert 12 * count + 60_000 * 784 < row["memory_per_chip"] < 16e9
    assert row["aliased_bytes"] >= 12 * count
    state = jax.eval_shape(lambda mean: initial_state(config, mean), jnp.zeros(IMAGE))
    assert row["donated_arrays"] == len(jax.tree.leaves(state))
    # Padding as we reckon it, against what the compiler says the arguments take.
    assert row["argument_padding"] * row["unpadded_argument_bytes"] == pytest.approx(row["argument_bytes"])
    assert row["roofline_seconds"] >= row["flops"] / 197e12
    assert row["convolutions"] == convolutions


EVALUATOR = """
import json
from benchmarks import costs, tpu_compiler
tpu_compiler.prepare()
import jax, jax.numpy as jnp
from benchmarks.experiments import experiment
from jaxvae.data.load import load
from jaxvae.runs.evaluation import Evaluator
from jaxvae.profiling.hlo import read_program
from jaxvae.training.state import initial_state

config = experiment("conv", 128)
test, shape = load(config.data).test, jax.ShapeDtypeStruct
evaluator = Evaluator(config, test, jax.devices())
mean = shape(test.shape[1:], jnp.float32)
model = jax.eval_shape(lambda m: initial_state(config, m), mean).evaluation_model
keys = jax.eval_shape(lambda: evaluator._keys)
indices, samples = shape((1, 20, 500), jnp.int32), shape((), jnp.int32)
mapped = evaluator.map_scores(tpu_compiler.topology_devices("v5e:1x1"))
compiled = mapped.lower(model, indices, samples, keys, shape(test.shape, jnp.uint8)).compile()
program = read_program(compiled.as_text())
products = [i for i in program.instructions().values() if i.opcode == "convolution"]
memory = compiled.memory_analysis()
print(json.dumps({
    "memory": memory.argument_size_in_bytes + memory.output_size_in_bytes + memory.temp_size_in_bytes,
    "convolutions": len(costs.convolutions(program)),
    "precisions": [i.attribute("operand_precision={([^}]*)}") for i in products],
}))
"""


@pytest.mark.slow
@needs_compiler
def test_the_evaluator_compiles_for_a_tpu_in_full_precision():
    (found,) = python("-c", EVALUATOR)
    assert 10_000 * 784 < found["memory"] < 16e9
    assert found["convolutions"] == 4
    # Four convolutions and four dense layers.
    assert found["precisions"] == ["highest,highest"] * 8


STREAMED = """
import json
from benchmarks import costs, tpu_compiler
tpu_compiler.prepare()
from benchmarks.experiments import experiment
from jaxvae.profiling.hlo import read_program

devices = tpu_compiler.topology_devices("v5e:2x2")
for streamed in (False, True):
    lowered = tpu_compiler.lower(experiment("conv", 512), (60_000, 28, 28, 1), devices, 20, streamed)
    compiled = lowered.compile()
    program = read_program(compiled.as_text())
    print(json.dumps({
        "arguments": compiled.memory_analysis().argument_size_in_bytes,
        "moved": costs.memory_bytes(program, costs.loop(program)),
        "reduced": sum(one.bytes for one in costs.step_all_reduces(program)),
    }))
"""


@pytest.mark.slow
@needs_compiler
def test_streamed_images_compile_for_tpus_and_leave_the_rest_of_the_step_as_it_is():
    resident, streamed = python("-c", STREAMED)
    # 60,000 images on every chip, or a quarter of the 512 of each of 20 steps.
    saved = resident["arguments"] - streamed["arguments"]
    assert saved > 0.9 * (60_000 - 20 * 128) * 784
    assert streamed["reduced"] == resident["reduced"]
    assert streamed["moved"] < resident["moved"] + 4 * 128 * 784
