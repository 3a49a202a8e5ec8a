"""What the units of a compiled program cost: the instructions that run one by one.

A unit is a fusion, a call of a library, a copy and the like; on a GPU, a kernel.
"""

import re
from collections import Counter

from cyclegan_jax.plan import traffic
from cyclegan_jax.plan.hlo import Instruction, Program
from cyclegan_jax.plan.sources import Sources

_CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
_WINDOW = re.compile(r"\bwindow=\{size=([\dx]+)")
_NAME = re.compile(r'op_name="([^"]*)"')
# What JAX's transformations add to the name of an operation.
_FRAMES = re.compile(
    r"jit\(_?\w*\)|shard_map|cond|branch_\d+_fun|jvp\(\)|transpose\(jvp\(\)\)"
)
_WRAPPED = re.compile(r"^(?:transpose\()?jvp\((.*?)\)+$")
_NUMBERS = re.compile(r"[.\d]+$")
_DEAREST = 10


def cycles(program: Program) -> int:
    """Returns the cycles that XLA estimates for a call on a TPU; 0 elsewhere."""
    return sum(times * _cycles(unit) for _, unit, times in program.running())


def dearest(program: Program, sources: Sources) -> list[list]:
    """Returns the source lines whose units take most cycles.

    A line of a layer runs in several places of a network, which count separately.

    Returns:
      Up to ten [line, layer and operation, cycles, number of units].
    """
    spent: Counter[tuple[str, str]] = Counter()
    counts: Counter[tuple[str, str]] = Counter()
    for _, unit, times in program.running():
        if estimated := times * _cycles(unit):
            place = sources.line(unit.text) or "(none)", _origin(unit)
            spent[place] += estimated
            counts[place] += times
    return [
        [*place, total, counts[place]] for place, total in spent.most_common(_DEAREST)
    ]


def _origin(unit):
    """A unit's place in the networks, with layers of one kind under one name."""
    path, backward = _path(unit)
    if not path:
        return kind(unit)
    return "/".join(path) + (" (backward)" if backward else "")


def _path(unit):
    """The names in a unit's place, without numbers; whether in the backward pass."""
    named = _NAME.search(unit.text)
    names = named[1].split("/") if named else []
    parts = [part for part in names if not _FRAMES.fullmatch(part)]
    backward = any(part.startswith("transpose(") for part in parts)
    plain = (_WRAPPED.sub(r"\1", part) for part in parts)
    return [re.sub(r"_\d+", "_*", part) for part in plain if part], backward


def _cycles(unit):
    found = _CYCLES.search(unit.text)
    return int(found[1]) if found else 0


def kind(unit: Instruction) -> str:
    """Names what a unit does: the library that it calls, or its name's beginning."""
    target = _TARGET.search(unit.text)
    return target[1] if target else _NUMBERS.sub("", unit.name)


def moved_by_kind(program: Program) -> list[list]:
    """Returns what the units of each kind move in main memory.

    Returns:
      [kind, bytes read and written, number of units], most bytes first.
    """
    moved: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for computation, unit, times in program.running():
        if unit.opcode not in traffic.FREE and not unit.opcode.endswith("-done"):
            moved[kind(unit)] += times * traffic.moved(program, computation, unit)
            counts[kind(unit)] += times
    return [[name, size, counts[name]] for name, size in moved.most_common()]


def by_layer(program: Program) -> list[list]:
    """Returns what the layers of the networks take, backward passes included.

    That is what XLA estimates, in cycles, or else what is moved in main memory, in
    bytes. Layers of one kind count together.

    Returns:
      [layer, convolutions, norms, rest (padding, shifts, casts, activations), number of
      units], most first. Units outside networks are (optimizer), (copies), which change
      a layout, and (others).
    """
    estimated = bool(cycles(program))
    spent: dict[str, list[int]] = {}
    for computation, unit, times in program.running():
        if unit.opcode in traffic.FREE or unit.opcode.endswith("-done"):
            continue
        layer, column = _layer(unit)
        row = spent.setdefault(layer, [0, 0, 0, 0])
        row[column] += times * (
            _cycles(unit) if estimated else traffic.moved(program, computation, unit)
        )
        row[-1] += times
    rows = [[layer, *row] for layer, row in spent.items()]
    return sorted(rows, key=lambda row: -sum(row[1:4]))


def _layer(unit):
    """A unit's layer, and its column: 0 convolution, 1 norm, 2 something else."""
    path, _ = _path(unit)
    if not path:
        copies = any(word in unit.name for word in ("copy", "transpose", "bitcast"))
        return "(copies)" if copies else "(others)", 2
    network, *inner = path
    if not network[0].isupper():  # A class in the networks' package, all others not.
        return "(optimizer)" if network == "optimizer" else "(others)", 2
    *layers, operation = inner or [""]
    name = "/".join([network, *layers[:1]])
    if any("norm" in layer for layer in layers):
        return name, 1
    return name, 0 if operation in ("conv_general_dilated", "dot_general") else 2


def windows(program: Program) -> list[list]:
    """Returns the windows of convolutions, [sides, how many], most frequent first."""
    found = Counter(
        window[1]
        for computation in program.computations.values()
        for instruction in computation.values()
        if (window := _WINDOW.search(instruction.text))
        and ("convolution" in instruction.opcode or "cudnn" in instruction.text)
    )
    return [[sides, count] for sides, count in found.most_common()]


def collectives(program: Program) -> int:
    """Returns the number of collectives in a call."""
    return sum(
        times
        for _, unit, times in program.running()
        if unit.opcode.removesuffix("-start") in traffic.COLLECTIVES
    )
