"""What is a compiled program made of? Parses the HLO text that XLA prints of it.

A computation is a list of instructions in the order in which the device runs them. A fusion is one
instruction whose parts are a computation too; between the parts no memory is read or written.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

CONTAINERS = ("while", "conditional", "call")
"""Instructions that only run other computations."""


class Array(NamedTuple):
    """An array as the program holds it."""

    dtype: str
    shape: tuple[int, ...]
    minor_to_major: tuple[int, ...] = ()
    tile: tuple[int, ...] = ()
    """The block of the innermost axes in which memory is laid out; incomplete blocks are padded."""
    space: int = 0
    """Memory space. 0: the device's main memory. Others are on the chip; 1 is a TPU's vector memory."""


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    opcode: str
    arrays: tuple[Array, ...]
    """Its results; the parts of a tuple one after the other."""
    arguments: str
    """The text in its parentheses: operands, or a parameter's number."""
    attributes: str
    """The rest of the line."""

    @property
    def operands(self) -> list[str]:
        """Names of instructions of the same computation."""
        return _NAME.findall(self.arguments)

    @property
    def called(self) -> list[str]:
        """Names of the computations that it runs: bodies, branches, fused computations."""
        return [name for names in _CALLED.findall(self.attributes) for name in _NAME.findall(names)]

    @property
    def op_name(self) -> str:
        """JAX's name for it: the functions and scopes in which it was traced, and the primitive."""
        return self.attribute(r'op_name="([^"]*)"') or ""

    def attribute(self, pattern: str) -> str | None:
        """The first group of ``pattern`` in its attributes."""
        found = re.search(pattern, self.attributes)
        return found[1] if found else None


class Program(NamedTuple):
    """A compiled module."""

    name: str
    entry: str
    """The computation that runs first."""
    computations: dict[str, dict[str, Instruction]]
    """The instructions of each computation, by name; instructions' names are unique in the program."""
    donated: frozenset[int]
    """Numbers of the arguments whose memory the results reuse."""

    def instructions(self) -> dict[str, Instruction]:
        """All instructions by name, including those inside fusions."""
        return {name: one for computation in self.computations.values() for name, one in computation.items()}


_NAME = re.compile(r"%([\w.\-]+)")
# Only after these keywords: control-predecessors name instructions, which may be called like a computation.
_CALLED = re.compile(
    r"\b(?:calls|to_apply|condition|body|select|scatter|(?:true|false)_computation"
    r"|(?:called|branch)_computations)=\{?(%[\w.\-]+(?:, %[\w.\-]+)*)"
)


def read_program(text: str) -> Program:
    """Parses the text of ``jax.stages.Compiled.as_text``; raises ValueError if it is not such a text."""
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
        raise ValueError(f"this is not the text of an HLO module: no {'ENTRY' if head else 'HloModule'}")
    aliases = re.search(r"input_output_alias=\{(.*?\)) \}", text)
    donated = re.findall(r"\{\d*\}: \((\d+), \{", aliases[1]) if aliases else []
    return Program(head[1], entry, computations, frozenset(map(int, donated)))


def _instruction(name: str, text: str) -> Instruction:
    # The opcode is the first name after a blank and before a parenthesis; shapes and layouts contain none.
    opcode = re.search(r"\s([a-z][\w\-]*)\(", text)
    if opcode is None:
        raise ValueError(f"this is not an HLO instruction: {text[:100]}")
    depth, end = 1, opcode.end()
    while depth and end < len(text):
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    return Instruction(
        name, opcode[1], arrays(text[: opcode.start()]), text[opcode.end() : end - 1], text[end:]
    )


def arrays(shape: str) -> tuple[Array, ...]:
    """The arrays in a shape such as ``(f32[8,20]{1,0:T(8,128)S(1)}, s32[])``."""
    found = []
    for dtype, sides, order, layout in re.findall(r"(\w+)\[([\d,]*)\](?:\{([\d,]*)(:[^}]*)?\})?", shape):
        tile, space = re.search(r"T\(([\d,]+)\)", layout), re.search(r"S\((\d+)\)", layout)
        block = _numbers(tile[1]) if tile else ()
        found.append(Array(dtype, _numbers(sides), _numbers(order), block, int(space[1]) if space else 0))
    return tuple(found)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(",") if number)


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
    made = instruction.arrays
    shape = f"{made[0].dtype} {'x'.join(map(str, made[0].shape))}".rstrip() if made else ""
    shape += ", ..." if len(made) > 1 else ""
    kind = instruction.opcode
    if instruction.opcode == "custom-call":
        kind = instruction.attribute(r'custom_call_target="([^"]*)"') or kind
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
    inside = [one for name in instruction.called for one in program.computations[name].values()]
    return [part for one in inside for part in _parts(program, one)]


_PLUMBING = {"", "while", "body", "cond", "closed_call", "eval_jaxpr", "shard_map"}
"""Components of names that carry no information about the model."""


def part_of_step(op_name: str) -> str:
    """The scopes in JAX's name for an operation, without its transformations, except that of the gradient.

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
