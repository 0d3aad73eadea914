"""``--profile``: what the table says, what is written, and that the run does not notice."""

import collections
import dataclasses
import gzip
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxvae.commands.train import main
from jaxvae.config import MLP, Adam, Model
from jaxvae.errors import UserError
from jaxvae.profiling.hlo import describe, part_of_step, read_program
from jaxvae.profiling.profile import newest_trace, profile
from jaxvae.profiling.trace import _innermost, _share_out, _Span
from jaxvae.runs.fit import fit

ROW = re.compile(r" *([\d.]+)% +([\d.]+) +([\d.]+)  (\S+) +(.*?)  +(.*)")


@pytest.fixture
def config(small_config):
    """Large enough that its matrix products are what costs most."""
    train = dataclasses.replace(small_config.train, batch_size=128, checkpoint_every=24, eval_every=24)
    return dataclasses.replace(
        small_config, train=train, model=Model(latent_dim=3, architecture=MLP(hidden=(256,)))
    )


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows(text):
    return [found.groups() for line in text.splitlines() if (found := ROW.fullmatch(line))]


def check_table(text):
    """The rows of the table, after checking what must be true of any."""
    table = rows(text)
    assert len(table) == 10, text
    shares = [float(share) for share, *_ in table]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 100.5
    said = re.search(
        r"([\d.]+) ms while .* One ran for ([\d.]+) ms a step, none for ([\d.]+)\.", text, re.DOTALL
    )
    assert said
    watched, total, idle = map(float, said.groups())
    # The clock also sees the host's part of the first call.
    assert total + idle <= watched
    for share, milliseconds, times, *_ in table:
        assert abs(float(share) / 100 * total - float(milliseconds)) <= 0.001 + 0.001 * total
        assert float(times) > 0
    products = {part: (times, what) for *_, times, _, what, part in table if "matrix product" in what}
    for part in ("encoder/dense0, gradient", "decoder/dense1, gradient"):
        assert part in products, text
        assert products[part][0] == "1"
    return products


def test_a_run_is_profiled_from_where_it_is_and_does_not_notice(tmp_path, config, monkeypatch):
    monkeypatch.setattr("jaxvae.profiling.profile.STEPS", 40)
    # A folder with nothing but an earlier profile is not a run, and in nobody's way.
    (tmp_path / "run" / "profile").mkdir(parents=True)
    fit(config, tmp_path / "run")
    before = files(tmp_path / "run")
    train = dataclasses.replace(config.train, devices=2)
    said = profile(dataclasses.replace(config, train=train), tmp_path / "run")
    assert "40 steps after step 24, on 2 x cpu" in said
    assert check_table(said)["encoder/dense0, gradient"][1] == "matrix product, f32 784x256"
    after = files(tmp_path / "run")
    assert {path: content for path, content in after.items() if path in before} == before
    trace = newest_trace(tmp_path / "run" / "profile")
    viewable = trace.with_suffix("").with_suffix(".trace.json.gz")
    assert after.keys() - before.keys() == {trace, viewable}
    events = json.loads(gzip.decompress(viewable.read_bytes()))["traceEvents"]
    assert {row[3] for row in rows(said)} <= {event.get("name") for event in events}


@pytest.mark.slow
def test_a_folder_without_a_run_is_profiled_from_the_start_and_then_trains_as_if_empty(tmp_path, config):
    said = profile(config, tmp_path / "run")
    assert "100 steps after step 0, on 1 x cpu" in said
    check_table(said)
    assert list((tmp_path / "run").iterdir()) == [tmp_path / "run" / "profile"]
    assert fit(config, tmp_path / "run")["test"] == fit(config, tmp_path / "other")["test"]


def test_what_cannot_be_profiled_is_refused_and_nothing_is_written(tmp_path, small_config, capsys):
    with pytest.raises(UserError, match="/dev/null/run cannot be written"):
        profile(small_config, Path("/dev/null/run"))
    (tmp_path / "config.json").write_text('{"optimizer": {"learning_rate": 0.5}}')
    other = dataclasses.replace(small_config, optimizer=Adam(learning_rate=0.25))
    with pytest.raises(UserError, match=r"optimizer\.learning_rate: 0\.5 there, 0\.25 here"):
        profile(other, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    configs = Path(__file__).parents[2] / "configs"
    assert main(configs, ["--config", "mnist", "--profile", "--replay", "3"]) == 2
    assert "--replay and --profile are two commands" in capsys.readouterr().err


def test_every_moment_is_shared_out_once():
    # A loop from 0 to 10 with a and b in it, and c on another thread, the end of which is waited for.
    first = [_Span(0, 10, "loop", 10), _Span(1, 4, "a", 4), _Span(6, 8, "b", 8)]
    second = [_Span(7, 9, "c", 13), _Span(15, 16, "a", 16)]
    assert list(_innermost(first)) == [
        (0, 1, "loop"),
        (1, 4, "a"),
        (4, 6, "loop"),
        (6, 8, "b"),
        (8, 10, "loop"),
    ]
    seconds: dict[str, float] = collections.defaultdict(float)
    idle = _share_out([first, second], {"loop"}, seconds)
    # From 7 to 8 b and c share, from 8 to 9 the loop and c; from 10 to 13 there is only c to wait for.
    assert seconds == {"loop": 1 + 2 + 0.5 + 1, "a": 3 + 1, "b": 1 + 0.5, "c": 0.5 + 0.5 + 3}
    assert idle == 2


def test_a_programs_text_tells_what_its_operations_are():
    def step(x, w):
        with jax.named_scope("decoder"):
            return jax.numpy.exp(x @ w).sum()

    x, w = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32)
    text: str = jax.jit(jax.grad(step, argnums=1)).lower(x, w).compile().as_text() or ""
    program = read_program(text)
    assert program.entry in program.computations
    known = program.instructions()
    assert len(known) == len(re.findall(r"^ .* = ", text, flags=re.MULTILINE))
    described = {
        (describe(program, one), part_of_step(one.op_name))
        for one in program.computations[program.entry].values()
    }
    assert ("matrix product, f32 3x5", "decoder") in described
    assert ("matrix product, f32 4x5", "decoder, gradient") in described or (
        "matrix product, f32 5x4",
        "decoder, gradient",
    ) in described
    with pytest.raises(ValueError, match="not the text of an HLO module"):
        read_program("def main(): pass")


@pytest.mark.parametrize(
    ("op_name", "part"),
    [
        ("jit(f)/while/body/closed_call/jvp(vmap(encoder))/dense0/transpose", "encoder/dense0"),
        ("pmap(f)/while/body/transpose(jvp(vmap(decoder)))/dense1/dot_general", "decoder/dense1, gradient"),
        ("jit(f)/while/body/jvp(vmap(noise))/jit(_normal)/jit(_uniform)/vmap()/while", "noise/normal"),
        ("jit(f)/while/body/closed_call/psum", "psum"),
        ("", "copies"),
    ],
)
def test_an_operation_is_named_by_the_scopes_it_was_traced_in(op_name, part):
    assert part_of_step(op_name) == part
