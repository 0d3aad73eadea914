"""What is in a compiled program? Reads the text of XLA's optimised HLO.

A computation is a list of instructions in the order in which the device runs them. A fusion is one of
them, and what is inside it is a computation too, but no memory is read or written between its parts.
"""

import math
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

ITEM_BYTES = {"pred": 1, "s8": 1, "u8": 1, "s16": 2, "u16": 2, "bf16": 2, "f16": 2, "s32": 4, "u32": 4}
ITEM_BYTES |= {"f32": 4, "s64": 8, "u64": 8, "f64": 8}

MOVES_NOTHING = frozenset(
    "parameter constant tuple get-tuple-element bitcast while conditional call iota after-all partition-id "
    "replica-id opt-barrier copy-done slice-done all-reduce-done all-gather-done async-done".split()
)
"""Instructions that read and write no array themselves."""


class Array(NamedTuple):
    """An array as the program holds it."""

    dtype: str
    shape: tuple[int, ...]
    minor_to_major: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    """The block of the innermost axes that its memory is made of; what does not fill one is padding."""
    space: int = 0
    """0: the device's main memory. Others are on the chip; 1 is a TPU's vector memory."""

    @property
    def bytes(self) -> int:
        """Of the numbers themselves."""
        return math.prod(self.shape) * ITEM_BYTES.get(self.dtype, 4)

    @property
    def padded_bytes(self) -> int:
        """Of the memory that it takes: the innermost axes are rounded up to whole tiles."""
        sides = [self.shape[axis] for axis in reversed(self.minor_to_major)] or list(self.shape)
        sides = [1] * (len(self.tile) - len(sides)) + sides
        for place, tile in zip(range(-len(self.tile), 0), self.tile, strict=True):
            sides[place] = -(-sides[place] // tile) * tile
        return math.prod(sides) * ITEM_BYTES.get(self.dtype, 4)


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    """What it makes; the parts of a tuple one after the other."""
    operands: tuple[str, ...]
    called: tuple[str, ...]
    """The computations that it runs or is made of."""
    arguments: str
    """What stands in its parentheses: operands, or a parameter's number."""
    rest: str
    """Its attributes, as text."""

    def attribute(self, pattern: str) -> str | None:
        """The first group of ``pattern`` in its attributes."""
        match = re.search(pattern, self.rest)
        return match[1] if match else None


_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^ +(?:ROOT )?%?([\w.\-]+) = (.*?) ([\w\-]+)\((.*)$")
_ARRAY = re.compile(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(:[^}]*)?\})?")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")


class Program(NamedTuple):
    """A compiled program."""

    computations: dict[str, dict[str, Instruction]]
    """By name; each its instructions, by name."""
    entry: str
    donated: frozenset[int]
    """The arguments, by number, whose memory results take."""

    def everything(self) -> Iterator[Instruction]:
        """Every instruction, inside fusions too."""
        for computation in self.computations.values():
            yield from computation.values()

    def loop(self) -> str:
        """The body of the entry's only loop, or the entry if there is none; ValueError if there are more."""
        loops = [i for i in self.computations[self.entry].values() if i.opcode == "while"]
        if len(loops) > 1:
            raise ValueError(f"the program has {len(loops)} loops: which one is the steps'?")
        return loops[0].attribute(r"body=%?([\w.\-]+)") or self.entry if loops else self.entry

    def arguments(self) -> list[Array]:
        """What the program is given."""
        made = [i for i in self.computations[self.entry].values() if i.opcode == "parameter"]
        return [array for instruction in made for array in instruction.arrays]

    def run_by(self, name: str) -> list[tuple[str, Instruction]]:
        """What one run of a computation runs, fusions as one instruction, each with its computation's name.

        Of an inner loop one turn, of a choice every branch.
        """
        found = []
        for instruction in self.computations[name].values():
            found.append((name, instruction))
            if instruction.opcode in ("while", "conditional", "call"):
                for called in instruction.called:
                    found += self.run_by(called)
        return found


def parse(text: str) -> Program:
    """The program in ``compiled.as_text()``; raises ValueError if that has no entry."""
    computations: dict[str, dict[str, Instruction]] = {}
    entry, current = None, {}
    for line in text.splitlines():
        if heading := _COMPUTATION.match(line):
            current = computations.setdefault(heading[2], {})
            entry = heading[2] if heading[1] else entry
        elif match := _INSTRUCTION.match(line):
            name, shape, opcode, rest = match.groups()
            arguments, attributes = _split_at_closing(rest)
            branches = re.search(r"branch_computations=\{([^}]*)\}", attributes)
            called = _CALLED.findall(attributes)
            called += re.findall(r"[\w.\-]+", branches[1]) if branches else []
            operands = re.findall(r"%([\w.\-]+)", arguments)
            current[name] = Instruction(
                name, opcode, arrays(shape), tuple(operands), tuple(called), arguments, attributes
            )
    if entry is None:
        raise ValueError("this is not the text of an HLO module: it has no ENTRY")
    aliases = re.search(r"input_output_alias=\{(.*?\)) \}", text)
    donated = re.findall(r"\{\d*\}: \((\d+), \{", aliases[1]) if aliases else []
    return Program(computations, entry, frozenset(int(number) for number in donated))


def arrays(shape: str) -> tuple[Array, ...]:
    """The arrays in a shape such as ``(f32[8,20]{1,0:T(8,128)S(1)}, s32[])``."""
    found = []
    for dtype, sides, order, layout in _ARRAY.findall(shape):
        tile = re.search(r"T\(([\d,]+)\)", layout)
        space = re.search(r"S\((\d+)\)", layout)
        found.append(
            Array(
                dtype, _numbers(sides), _numbers(order), _numbers(tile[1]) if tile else (),
                int(space[1]) if space else 0,
            )
        )  # fmt: skip
    return tuple(found)


def all_reduces(instructions: Sequence[Instruction]) -> tuple[int, int]:
    """How many sums over devices there are, and the bytes of the numbers that each device puts in."""
    sums = [i for i in instructions if i.opcode in ("all-reduce", "all-reduce-start")]
    return len(sums), sum(array.bytes for i in sums for array in i.arrays)


def convolutions(program: Program) -> list[Instruction]:
    """The convolutions over an image: those whose window is wider than one pixel.

    A TPU's matrix products are convolutions too, without a window or with one of 1 x 1.
    """
    found = [i for i in program.everything() if i.opcode == "convolution"]
    windows = [i.attribute(r"window=\{size=([\dx]+)") or "" for i in found]
    return [i for i, window in zip(found, windows, strict=True) if set(window.split("x")) - {"", "1"}]


def memory_bytes(program: Program, name: str) -> int:
    """Bytes that one run of a computation reads from and writes to the device's main memory.

    Of arrays with their padding. An instruction reads each of its operands once, or only the part that
    it takes, if it takes slices or rows of it; what is on the chip costs nothing.
    """
    return sum(_memory_bytes(program, where, i) for where, i in program.run_by(name))


def _memory_bytes(program: Program, where: str, instruction: Instruction) -> int:
    if instruction.opcode in MOVES_NOTHING or instruction.attribute('custom_call_target="(ConcatBitcast)"'):
        return 0
    made = [array.padded_bytes for array in instruction.arrays if array.space == 0]
    if instruction.opcode in ("copy-start", "slice-start"):
        # (destination, source, ...) and ((source), destination, ...): as much is read as is written.
        destination = instruction.arrays[instruction.opcode == "slice-start"]
        source = instruction.arrays[instruction.opcode == "copy-start"]
        return destination.padded_bytes * ((source.space == 0) + (destination.space == 0))
    read = 0
    for place, operand in enumerate(instruction.operands):
        source = program.computations[where].get(operand)
        whole = [a.padded_bytes for a in source.arrays if a.space == 0] if source else []
        part = _part_taken(program, instruction, place)
        read += sum(whole) if part is None else min(part, sum(whole))
    return sum(made) + read


def _part_taken(program: Program, instruction: Instruction, place: int) -> int | None:
    """Bytes that are taken of an operand, if it is only sliced or gathered from."""
    takers = ("dynamic-slice", "gather", "slice")
    if instruction.opcode in takers:
        return sum(a.padded_bytes for a in instruction.arrays) if place == 0 else None
    if instruction.opcode != "fusion":
        return None
    inside = program.computations[instruction.called[0]].values()
    parameter = next(i.name for i in inside if i.opcode == "parameter" and i.arguments == str(place))
    users = [i for i in inside if parameter in i.operands]
    if not users or any(i.opcode not in takers or i.operands[0] != parameter for i in users):
        return None
    return sum(array.padded_bytes for i in users for array in i.arrays)


def _split_at_closing(text: str) -> tuple[str, str]:
    """What stands before and after the parenthesis that closes one opened before ``text``."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[:place], text[place + 1 :]
    return text, ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)
