"""How many bytes does a compiled program exchange between devices? Counted from the program's own text."""

import math
import re
from typing import NamedTuple

from jaxvae.program import Instruction, Program, read_program, sizes

KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")
BYTES = {"pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "f16": 2, "bf16": 2} | {
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
    "c64": 8,
    "c128": 16,
}
"""Of one element; the 8-bit floats all begin with f8."""


class Collective(NamedTuple):
    """One exchange between devices."""

    kind: str
    bytes: int
    """What each device puts in."""
    loops: int
    """How many loops it is in; of a train call, one is the loop over the steps."""


def collectives(text: str) -> list[Collective]:
    """Every collective in a compiled program's text that more than one device takes part in."""
    program = read_program(text)
    found: list[Collective] = []
    _walk(program, program.entry, 0, found)
    return found


def all_reduced_bytes(text: str) -> int:
    """What a device puts into all-reduces in each step of a train call of two steps or more.

    Without what it puts in once a call. Raises ValueError if a loop within the step holds all-reduces: how
    often it runs, only some compilers write down.
    """
    reduces = [one for one in collectives(text) if one.kind == "all-reduce" and one.loops > 0]
    if any(one.loops > 1 for one in reduces):
        raise ValueError("an all-reduce is in a loop within the loop over the steps")
    return sum(one.bytes for one in reduces)


def _walk(program: Program, name: str, loops: int, found: list[Collective]) -> None:
    computation = program.computations[name]
    for instruction in computation.values():
        kind = instruction.opcode.removesuffix("-start")
        if kind in KINDS and _group_size(instruction) != 1:
            shapes = (computation[operand].shape for operand in instruction.operands)
            found.append(Collective(kind, sum(map(shape_bytes, shapes)), loops))
        for called in program.called(instruction):
            _walk(program, called, loops + (instruction.opcode == "while"), found)


def shape_bytes(shape: str) -> int:
    """Of all arrays in a shape; raises ValueError if an element's type is not known here."""
    total = 0.0
    for kind, lengths in sizes(shape):
        size = 1 if kind.startswith("f8") else BYTES.get(kind)
        if size is None:
            raise ValueError(f"how many bytes are there in one {kind} of {shape}?")
        total += size * math.prod(lengths)
    return math.ceil(total)


def _group_size(instruction: Instruction) -> int | None:
    """How many devices exchange with each other; None: all there are."""
    found = re.search(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\])", instruction.attributes)
    if found is None:
        return None
    return found[1].count(",") + 1 if found[1] else int(found[2])
