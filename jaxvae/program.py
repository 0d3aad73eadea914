"""What is a compiled program made of? Reads the text that XLA prints of it, in HLO."""

import re
from collections.abc import Sequence
from typing import NamedTuple


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    opcode: str
    shape: str
    """Element type and sizes, as in ``f32[128,784]``; several in parentheses."""
    operands: tuple[str, ...]
    """Names of instructions of the same computation."""
    attributes: str
    """The rest of the line."""

    @property
    def op_name(self) -> str:
        """What JAX calls it: the functions and scopes it was traced in, and the primitive."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found[1] if found else ""


class Program(NamedTuple):
    """A compiled module."""

    name: str
    entry: str
    """The computation that runs first."""
    computations: dict[str, dict[str, Instruction]]
    """The instructions of each computation, by name; instructions' names are unique in the program."""

    def called(self, instruction: Instruction) -> list[str]:
        """The computations that an instruction runs or is made of: bodies, branches, fused computations."""
        names = re.findall(r"%([\w.\-]+)", instruction.attributes.split("metadata=")[0])
        return [name for name in names if name in self.computations]

    def instructions(self) -> dict[str, Instruction]:
        """All of them, by name."""
        return {name: one for computation in self.computations.values() for name, one in computation.items()}


def read_program(text: str) -> Program:
    """The program that ``jax.stages.Compiled.as_text`` printed; raises ValueError if it is none."""
    head = re.match(r"HloModule ([\w.\-]+)", text)
    entry: str | None = None
    computations: dict[str, dict[str, Instruction]] = {}
    instructions: dict[str, Instruction] = {}
    for line in text.splitlines():
        if begun := re.match(r"(ENTRY )?%?([\w.\-]+) \(.*\{$", line):
            instructions = computations[begun[2]] = {}
            entry = begun[2] if begun[1] else entry
        elif found := re.match(r"\s+(?:ROOT )?%?([\w.\-]+) = (.*)", line):
            instructions[found[1]] = _instruction(found[1], found[2])
    if head is None or entry is None:
        raise ValueError("this is not the text of an HLO module")
    return Program(head[1], entry, computations)


def _instruction(name: str, text: str) -> Instruction:
    # Neither shapes nor layouts have a blank before a name and a parenthesis.
    opcode = re.search(r"\s([a-z][\w\-]*)\(", text)
    if opcode is None:
        raise ValueError(f"this is not an HLO instruction: {text[:100]}")
    depth, end = 1, opcode.end()
    while depth and end < len(text):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        end += 1
    operands = re.findall(r"%([\w.\-]+)", text[opcode.end() : end])
    shape = re.sub(r"\{[^}]*\}|/\*.*?\*/", "", text[: opcode.start()])
    return Instruction(name, opcode[1], shape, tuple(operands), text[end:])


def sizes(shape: str) -> list[tuple[str, tuple[int, ...]]]:
    """Element type and lengths of every array in a shape: ``f32[2,3]`` gives ``[("f32", (2, 3))]``."""
    arrays = re.findall(r"([a-z]\w*)\[([\d,]*)\]", shape)
    return [(kind, tuple(int(n) for n in lengths.split(",") if n)) for kind, lengths in arrays]


_KINDS = {
    "matrix product": {"dot"},
    "convolution": {"convolution"},
    "sort": {"sort"},
    "gather": {"gather", "dynamic-slice"},
    "reduction": {"reduce", "reduce-window"},
    "random numbers": {"rng-bit-generator"},
}
"""What a fused operation is called after, in this order: the opcodes that it may contain."""


def describe(program: Program, instruction: Instruction) -> str:
    """What an instruction computes, a fusion by the most telling one in it, and the shape of its result."""
    parts = _parts(program, instruction)
    result = sizes(instruction.shape)
    lengths = "x".join(map(str, result[0][1])) if result else ""
    shape = (f"{result[0][0]} {lengths}".rstrip() + (", ..." if len(result) > 1 else "")) if result else ""
    kind = instruction.opcode
    if instruction.opcode == "custom-call":
        target = re.search(r'custom_call_target="([^"]*)"', instruction.attributes)
        kind = target[1] if target else kind
        if re.search("gemm|matmul|dot", kind):
            kind = f"matrix product ({kind})"
    elif instruction.opcode == "while":
        return "loop, without what is in it"
    else:
        opcodes = {part.opcode for part in parts}
        kinds = [name for name, wanted in _KINDS.items() if wanted & opcodes]
        kind = kinds[0] if kinds else "elementwise" if instruction.opcode == "fusion" else kind
    return f"{kind}, {shape}" if shape else kind


def _parts(program: Program, instruction: Instruction) -> Sequence[Instruction]:
    if instruction.opcode not in ("fusion", "call"):
        return [instruction]
    inside = [one for name in program.called(instruction) for one in program.computations[name].values()]
    return [part for one in inside for part in _parts(program, one)]


_PLUMBING = {"", "while", "body", "cond", "closed_call", "eval_jaxpr", "shard_map", "eqx.nn.Linear"}
"""What says nothing about the model."""


def part_of_step(op_name: str) -> str:
    """The scopes in JAX's name for an operation, without transformations but for the gradient's.

    ``jit(f)/while/body/transpose(jvp(vmap(decoder)))/dense1/dot_general`` gives ``decoder/dense1,
    gradient``.
    """
    components = op_name.split("/")
    scopes = []
    # The first is the whole program, the last the primitive.
    for component in components[1:-1]:
        while wrapped := re.fullmatch(r"\w+\((.*)\)", component):
            component = wrapped[1]
        if component not in _PLUMBING and component.lstrip("_") not in scopes:
            scopes.append(component.lstrip("_"))
    gradient = any(component.startswith("transpose(") for component in components)
    named = "/".join(scopes[:2]) or (components[-1] if len(components) > 1 else "")
    return (named or "copies") + (", gradient" if gradient else "")
