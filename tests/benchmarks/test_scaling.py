"""What devices exchange, read from the compiled program; and how growth is computed."""

import dataclasses
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.costs import Collective, array_bytes, collectives, step_all_reduces
from benchmarks.experiments import weights
from benchmarks.scaling import with_growth
from benchmarks.tables import ROOT
from jaxvae.config import MLP, Config, Model, Train
from jaxvae.profiling.hlo import Program, arrays, read_program
from jaxvae.training.fused_steps import TrainCall
from jaxvae.training.parallel import replicate
from jaxvae.training.state import initial_state

IMAGES = np.random.default_rng(0).integers(0, 256, (64, 8, 8, 1), np.uint8)
CONFIG = Config(model=Model(latent_dim=3, architecture=MLP(hidden=(10,))), train=Train(batch_size=16))


def program(count, config=CONFIG):
    devices = jax.devices()[:count]
    state = replicate(initial_state(config, jnp.full((8, 8, 1), 0.5)), devices)
    return read_program(TrainCall(config, IMAGES, devices, state, 4).program())


def all_reduced_bytes(program: Program) -> int:
    return sum(one.bytes for one in step_all_reduces(program))


@pytest.mark.slow
def test_a_step_all_reduces_its_gradient_once_and_three_numbers():
    expected = 4 * weights(CONFIG, (8, 8, 1))
    assert expected == 4 * (64 * 10 + 10 + 10 * 6 + 6 + 3 * 10 + 10 + 10 * 64 + 64)
    assert collectives(program(1)) == []
    for count in (2, 4):
        call = program(count)
        # The loss, the rate and the distortion; and once a call, whether to stop.
        assert all_reduced_bytes(call) == expected + 3 * 4
        assert sum(one.bytes for one in collectives(call) if one.loops == 0) == 4


def test_in_a_fixed_order_the_gradients_are_gathered_instead():
    fixed = dataclasses.replace(CONFIG, train=dataclasses.replace(CONFIG.train, reduction="fixed"))
    call = program(2, fixed)
    assert step_all_reduces(call) == []
    gathered = sum(one.bytes for one in collectives(call) if one.kind == "all-gather" and one.loops == 1)
    assert gathered == 4 * weights(CONFIG, (8, 8, 1)) + 3 * 4


def test_collectives_are_found_as_other_compilers_write_them():
    text = """HloModule m, is_scheduled=true

%add (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %sum = f32[] add(%a, %b)
}

%body (p: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %p = (s32[]{:T(128)}, bf16[8,128]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %x = bf16[8,128]{1,0:T(8,128)(2,1)S(1)} get-tuple-element(%p), index=1
  %begun = bf16[8,128]{1,0:T(8,128)(2,1)} all-reduce-start(%x), replica_groups=[1,4]<=[4], to_apply=%add
  %done = bf16[8,128]{1,0:T(8,128)(2,1)} all-reduce-done(%begun)
  %alone = bf16[8,128]{1,0} all-reduce(%done), replica_groups=[4,1]<=[4], to_apply=%add
  ROOT %t = (s32[]{:T(128)}, bf16[8,128]{1,0}) tuple(%p, %alone)
}

%condition (q: (s32[], bf16[8,128])) -> pred[] {
  %q = (s32[], bf16[8,128]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (r: (s32[], bf16[8,128])) -> (s32[], bf16[8,128]) {
  %r = (s32[], bf16[8,128]{1,0}) parameter(0)
  ROOT %loop = (s32[], bf16[8,128]{1,0}) while(%r), condition=%condition, body=%body
}
"""
    assert collectives(read_program(text)) == [Collective("all-reduce", 8 * 128 * 2, 1)]
    assert all_reduced_bytes(read_program(text)) == 2048
    shape = "(f32[3,5], pred[], f8e4m3fn[2], s4[3])"
    assert [array_bytes(array) for array in arrays(shape)] == [60, 1, 2, 2]
    with pytest.raises(ValueError, match="one token of token"):
        array_bytes(arrays("token[]")[0])


def test_growth_is_the_power_by_which_the_cost_of_an_example_grows():
    values = (2, 4, 16)
    rows = [
        {"value": n, "examples_per_second": 1e6 / (7 * n**1.5), "flops_per_example": n**2} for n in values
    ]
    grown = with_growth(rows)
    assert grown[0]["exponent"] is None
    np.testing.assert_allclose([row["exponent"] for row in grown[1:]], 1.5)
    np.testing.assert_allclose([row["growth"] for row in grown], [1, 2**1.5, 8**1.5])
    np.testing.assert_allclose([row["flops_growth"] for row in grown], [1, 4, 64])


@pytest.mark.slow
def test_the_benchmark_measures_simulated_devices_and_a_sweep():
    options = "--models mlp --devices 1,2 --sweeps weak,latent --repeats 1 --seconds 0.01 --json".split()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.scaling", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    weak = [row for row in rows if row["sweep"] == "weak"]
    assert [(row["devices"], row["batch_size"], row["simulated"]) for row in weak] == [
        (1, 64, True),
        (2, 128, True),
    ]
    assert weak[1]["all_reduce_bytes"] == 4 * weak[1]["weights"] + 12
    latent = [row for row in rows if row["sweep"] == "latent"]
    assert [row["value"] for row in latent] == [5, 20, 80, 320]
    for row in rows:
        assert row["examples_per_second"] * row["step_seconds"] == pytest.approx(row["batch_size"])
        assert list(row)[-3:] == ["device", "date", "versions"]
