"""Parses the HLO text of a compiled program, as far as `traffic` and `units` need it.

A shape's layout contains its memory space (`S(1)` is on-chip, none is main memory) and
the tiles that it is padded to; a loop is annotated with its trip count.
"""

import dataclasses
import math
import re
from collections.abc import Iterator

from absl import logging

_BITS = {"pred": 8, "token": 0, "opaque": 0}
_HEADER = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
_LEAF = re.compile(r"\b([a-z]+\d*\w*)\[([\d,]*)\](?:\{([^{}]*)\})?")
_OPCODE = re.compile(r" ?([a-z][\w\-]*)\(")
_CALLED = re.compile(
    r"\b(?:body|calls|to_apply|true_computation|false_computation)=%?([\w.\-]+)"
)
_CALLS = ("while", "conditional", "call", "async-start", "custom-call-start")
# A conditional's; and what another core does meanwhile (TPU7x: averaging).
_SEVERAL = re.compile(r"\b(?:branch|called)_computations=\{([^}]*)\}")
_TILE = re.compile(r"T\(([\d,]+)\)")
_CONDITION = re.compile(r"\bcondition=%?([\w.\-]+)")
_CONSTANT = re.compile(r" constant\((\d+)\)")
_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d+)"\}')


@dataclasses.dataclass(frozen=True)
class Leaf:
    """An array: its size, and where it lies.

    Attributes:
      size: of its values, in bytes.
      stored: in bytes in main memory, padded to whole tiles; 0 if it lies on the chip.
    """

    size: int
    stored: int


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One line of a computation.

    Attributes:
      name: of its value.
      opcode: what it does.
      outputs: the arrays it makes; several for a tuple.
      operands: names of the values it takes.
      text: the whole line.
    """

    name: str
    opcode: str
    outputs: tuple[Leaf, ...]
    operands: tuple[str, ...]
    text: str


class Program:
    """A compiled program.

    Attributes:
      computations: name -> instruction name -> instruction.
      entry: name of the computation that runs.
    """

    def __init__(self, text: str):
        """Reads the text of a compiled program (`compiled.as_text()`).

        Raises:
          ValueError: it has no entry computation.
        """
        self.computations: dict[str, dict[str, Instruction]] = {}
        self.entry = ""
        current: dict[str, Instruction] = {}
        for line in text.splitlines():
            if header := _HEADER.match(line):
                current = self.computations.setdefault(header[2], {})
                self.entry = header[2] if header[1] else self.entry
            elif named := _INSTRUCTION.match(line):
                current[named[1]] = _parse(named[1], line[named.end() :])
        if not self.entry:
            raise ValueError("not the text of a compiled program: no ENTRY in it")

    def running(self) -> Iterator[tuple[dict[str, Instruction], Instruction, int]]:
        """Yields computation, instruction and how often it runs in one call.

        A loop with an unknown trip count counts once, with a warning; all branches of a
        conditional count.
        """
        yield from self._running(self.entry, 1)

    def _running(self, name, times):
        computation = self.computations[name]
        for instruction in computation.values():
            yield computation, instruction, times
            if instruction.opcode in _CALLS:
                inside = times * self._turns(instruction)
                for other in called(instruction):
                    yield from self._running(other, inside)

    def _turns(self, instruction):
        if instruction.opcode != "while":
            return 1
        if known := _TURNS.search(instruction.text):
            return int(known[1])
        # HLO for TPUs lacks the annotation. JAX's loops count from 0 up to a constant.
        condition = _CONDITION.search(instruction.text)
        for test in self.computations[condition[1]].values():
            if test.opcode == "compare" and "direction=LT" in test.text:
                limit = self.computations[condition[1]][test.operands[1]]
                if number := _CONSTANT.search(limit.text):
                    return int(number[1])
        logging.warning("loop %s: unknown trip count", instruction.name)
        return 1


def _parse(name, text):
    """Reads the part of a line after its name: shape, opcode, operands."""
    end = depth = 0
    while text[end] != " " or depth:  # A shape; tuples of shapes contain spaces.
        depth += (text[end] == "(") - (text[end] == ")")
        end += 1
    opcode = _OPCODE.match(text, end)
    close = text.index(")", opcode.end())
    operands = re.findall(r"%([\w.\-]+)", text[opcode.end() : close])
    return Instruction(name, opcode[1], _leaves(text[:end]), tuple(operands), text)


def _leaves(shape):
    leaves = []
    for kind, sizes, layout in _LEAF.findall(shape):
        sizes = [int(size) for size in sizes.split(",") if size]
        bits = _BITS[kind] if kind in _BITS else int(re.search(r"\d+", kind)[0])
        size = -(-math.prod(sizes) * bits // 8)
        stored = 0 if "S(" in layout else -(-_padded(sizes, layout) * bits // 8)
        leaves.append(Leaf(size, stored))
    return tuple(leaves)


def _padded(sizes, layout):
    """Elements of an array whose minor dimensions are filled up to whole tiles."""
    tile = _TILE.search(layout)
    if not tile:
        return math.prod(sizes)
    tile = [int(size) for size in tile[1].split(",")]
    order = [int(d) for d in layout.partition(":")[0].split(",") if d]  # Minor first.
    sizes = [1] * len(tile) + [sizes[d] for d in reversed(order)]
    for i, unit in enumerate(reversed(tile), 1):
        sizes[-i] = -(-sizes[-i] // unit) * unit
    return math.prod(sizes)


def called(instruction: Instruction) -> list[str]:
    """Returns the names of the computations that an instruction runs."""
    names = _CALLED.findall(instruction.text)
    for several in _SEVERAL.findall(instruction.text):
        names += re.findall(r"[\w.\-]+", several)
    return names
