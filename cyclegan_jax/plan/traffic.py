"""What a compiled program moves: to and from main memory, and between devices.

XLA's own count of bytes includes accesses to on-chip memory, which makes it many times
too large for a small step on a TPU, and counts the body of a loop once.
"""

from cyclegan_jax.plan.hlo import Instruction, Program, called

COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
# Instructions that name values, or wait for them, and move nothing.
FREE = {
    "parameter",
    "constant",
    "get-tuple-element",
    "tuple",
    "bitcast",
    "while",
    "conditional",
    "call",
    "async-start",
    "async-update",
    "custom-call-start",  # What it calls is counted.
    "custom-call-update",
    "after-all",
    "opt-barrier",
    "partition-id",
    "replica-id",
}
_UPDATE = "dynamic-update-slice"
_SLICES = {"slice", "dynamic-slice", "gather"}


def collective_bytes(program: Program) -> int:
    """Returns what one device puts into collectives, in bytes a call.

    That is the result of an all-reduce (the gradients' size, say), and the larger
    of argument and result of the others; not what an algorithm sends for it.
    """
    total = 0
    for computation, instruction, times in program.running():
        kind = instruction.opcode.removesuffix("-start")
        if kind in COLLECTIVES:
            given = _size(_operands(computation, instruction))
            made = _size(_results(computation, instruction))
            total += times * max(given, made)
    return total


def main_memory_bytes(program: Program) -> int:
    """Returns what one device reads from and writes to main memory, a call.

    An instruction (or fusion of many) reads its operands and writes its results,
    those that lie in main memory; of operands that it takes slices of, the slices.
    """
    total = 0
    for computation, instruction, times in program.running():
        total += times * moved(program, computation, instruction)
    return total


def moved(
    program: Program, computation: dict[str, Instruction], instruction: Instruction
) -> int:
    """Returns what one instruction reads and writes in main memory, in bytes."""
    opcode = instruction.opcode
    if opcode in FREE or opcode.endswith("-done"):
        return 0
    if opcode == "fusion":
        return _moved_by_fusion(program, computation, instruction)
    made = _results(computation, instruction)
    if opcode == _UPDATE:  # In place: the rest stays as it is.
        update = computation[instruction.operands[1]].outputs
        return 2 * _size(update) if made[0].stored else 0
    read = [_stored(computation[name].outputs) for name in instruction.operands]
    if opcode.removesuffix("-start") in _SLICES:
        read = [min(stored, _size(made)) for stored in read]
    return sum(read) + _stored(made)


def _moved_by_fusion(program, computation, fusion):
    (name,) = called(fusion)
    body = program.computations[name]
    written = [leaf.stored for leaf in fusion.outputs]
    moved = sum(written)
    for number, operand in enumerate(fusion.operands):
        stored = _stored(computation[operand].outputs)
        users = _users(body, number) if stored else []
        if users and all(user.opcode in _SLICES for user in users):
            stored = min(stored, sum(_size(user.outputs) for user in users))
        elif (
            len(users) == 1
            and users[0].opcode == _UPDATE
            and users[0].operands[0] not in users[0].operands[1:]
            and stored in written
        ):  # In place: of this operand, which is the result, only a part is written.
            moved -= stored - _size(body[users[0].operands[1]].outputs)
            stored = 0
        moved += stored
    return moved


def _users(body, number):
    """Instructions of a fusion that take its operand of that number."""
    names = {
        i.name
        for i in body.values()
        if i.opcode == "parameter" and f"parameter({number})" in i.text
    }
    return [i for i in body.values() if names & set(i.operands)]


def _operands(computation, instruction):
    return [leaf for name in instruction.operands for leaf in computation[name].outputs]


def _results(computation, instruction):
    """The results; those of an asynchronous start without the arguments it repeats."""
    outputs = list(instruction.outputs)
    if instruction.opcode.endswith("-start"):
        for leaf in _operands(computation, instruction):
            if leaf in outputs:
                outputs.remove(leaf)
    return outputs


def _size(leaves):
    return sum(leaf.size for leaf in leaves)


def _stored(leaves):
    return sum(leaf.stored for leaf in leaves)
