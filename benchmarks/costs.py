"""What does a compiled program cost? The bytes that it moves, and those that its devices exchange."""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

from jaxvae.profiling.hlo import CONTAINERS, Array, Instruction, Program

COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")

MOVES_NOTHING = frozenset(
    "parameter constant tuple get-tuple-element bitcast while conditional call iota after-all partition-id "
    "replica-id opt-barrier copy-done slice-done all-reduce-done all-gather-done async-done".split()
)
"""Instructions that read and write no array themselves."""


class Collective(NamedTuple):
    """One exchange between devices."""

    kind: str
    bytes: int
    """What each device puts in."""
    loops: int
    """How many loops it is in; of a train call, one is the loop over the steps."""


def array_bytes(array: Array) -> int:
    """Of the numbers themselves; raises ValueError if it is not known how large one of them is."""
    # A type's name has its bits: s4, bf16, f8e4m3fn, c128.
    found = re.match(r"[a-z]+(\d+)", array.dtype)
    bits = int(found[1]) if found else {"pred": 8}.get(array.dtype)
    if bits is None:
        raise ValueError(
            f"how many bytes are there in one {array.dtype} of {array.dtype}{list(array.shape)}?"
        )
    return math.ceil(math.prod(array.shape) * bits / 8)


def padded_bytes(array: Array) -> int:
    """Of the memory that an array takes: the innermost axes are rounded up to whole tiles."""
    sides = [array.shape[axis] for axis in reversed(array.minor_to_major)] or list(array.shape)
    sides = [1] * (len(array.tile) - len(sides)) + sides
    for place, tile in zip(range(-len(array.tile), 0), array.tile, strict=True):
        sides[place] = -(-sides[place] // tile) * tile
    return array_bytes(array._replace(shape=tuple(sides)))


def loop(program: Program) -> str:
    """The body of the entry's only loop, or the entry if there is none; ValueError if there are more."""
    loops = [i for i in program.computations[program.entry].values() if i.opcode == "while"]
    if len(loops) > 1:
        raise ValueError(f"the program has {len(loops)} loops: which one is the steps'?")
    return loops[0].attribute(r"body=%?([\w.\-]+)") or program.entry if loops else program.entry


def arguments(program: Program) -> list[Array]:
    """What the program is given."""
    entry = program.computations[program.entry].values()
    return [array for i in entry if i.opcode == "parameter" for array in i.arrays]


def run_by(program: Program, name: str) -> Iterator[tuple[str, Instruction]]:
    """What one run of a computation runs, fusions as one instruction, each with its computation's name.

    Of an inner loop one turn, of a choice every branch.
    """
    for instruction in program.computations[name].values():
        yield name, instruction
        if instruction.opcode in CONTAINERS:
            for called in instruction.called:
                yield from run_by(program, called)


def convolutions(program: Program) -> list[Instruction]:
    """The convolutions over an image: those whose window is wider than one pixel.

    A TPU's matrix products are convolutions too, without a window or with one of 1 x 1.
    """
    found = [i for i in program.instructions().values() if i.opcode == "convolution"]
    windows = [i.attribute(r"window=\{size=([\dx]+)") or "" for i in found]
    return [i for i, window in zip(found, windows, strict=True) if set(window.split("x")) - {"", "1"}]


def memory_bytes(program: Program, name: str) -> int:
    """Bytes that one run of a computation reads from and writes to the device's main memory.

    Of arrays with their padding. An instruction reads each of its operands once, or only the part that
    it takes, if it takes slices or rows of it; what is on the chip costs nothing.
    """
    return sum(_memory_bytes(program, where, i) for where, i in run_by(program, name))


def _memory_bytes(program: Program, where: str, instruction: Instruction) -> int:
    if instruction.opcode in MOVES_NOTHING or instruction.attribute('custom_call_target="(ConcatBitcast)"'):
        return 0
    made = [padded_bytes(array) for array in instruction.arrays if array.space == 0]
    if instruction.opcode in ("copy-start", "slice-start"):
        # (destination, source, ...) and ((source), destination, ...): as much is read as is written.
        destination = instruction.arrays[instruction.opcode == "slice-start"]
        source = instruction.arrays[instruction.opcode == "copy-start"]
        return padded_bytes(destination) * ((source.space == 0) + (destination.space == 0))
    read = 0
    for place, operand in enumerate(instruction.operands):
        source = program.computations[where].get(operand)
        whole = [padded_bytes(a) for a in source.arrays if a.space == 0] if source else []
        part = _part_taken(program, instruction, place)
        read += sum(whole) if part is None else min(part, sum(whole))
    return sum(made) + read


def _part_taken(program: Program, instruction: Instruction, place: int) -> int | None:
    """Bytes that are taken of an operand, if it is only sliced or gathered from."""
    takers = ("dynamic-slice", "gather", "slice")
    if instruction.opcode in takers:
        return sum(map(padded_bytes, instruction.arrays)) if place == 0 else None
    if instruction.opcode != "fusion":
        return None
    inside = program.computations[instruction.called[0]].values()
    parameter = next(i.name for i in inside if i.opcode == "parameter" and i.arguments == str(place))
    users = [i for i in inside if parameter in i.operands]
    if not users or any(i.opcode not in takers or i.operands[0] != parameter for i in users):
        return None
    return sum(padded_bytes(array) for i in users for array in i.arrays)


def collectives(program: Program) -> list[Collective]:
    """Every collective in a compiled program that more than one device takes part in."""
    return list(_collectives(program, program.entry, 0))


def step_all_reduces(program: Program) -> list[Collective]:
    """Those sums over devices that each step makes of a train call of two steps or more.

    Without those that are made once a call. Raises ValueError if a loop within the step holds some: how
    often it runs, only some compilers write down.
    """
    found = [one for one in collectives(program) if one.kind == "all-reduce" and one.loops > 0]
    if any(one.loops > 1 for one in found):
        raise ValueError("an all-reduce is in a loop within the loop over the steps")
    return found


def _collectives(program: Program, name: str, loops: int) -> Iterator[Collective]:
    computation = program.computations[name]
    for instruction in computation.values():
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES and _group_size(instruction) != 1:
            given = (array for operand in instruction.operands for array in computation[operand].arrays)
            yield Collective(kind, sum(map(array_bytes, given)), loops)
        for called in instruction.called:
            yield from _collectives(program, called, loops + (instruction.opcode == "while"))


def _group_size(instruction: Instruction) -> int | None:
    """How many devices exchange with each other; None: all there are."""
    found = re.search(r"replica_groups=(?:\{\{([\d,]+)\}|\[\d+,(\d+)\])", instruction.attributes)
    if found is None:
        return None
    return found[1].count(",") + 1 if found[1] else int(found[2])
