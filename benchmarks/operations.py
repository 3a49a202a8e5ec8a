"""Where the time of our training step goes, by kind of operation.

    python -m benchmarks.operations                        # 128x128, 6 blocks
    python -m benchmarks.operations --size=256 --blocks=9

A profile of XLA's own: each operation of the compiled program says how long it ran, and
the program says what it was made from. Operations run side by side, so their times add
up to more than a step's; the table gives shares.
"""

import collections
import gzip
import json
import pathlib
import re
import tempfile

from benchmarks import ours, records

# An instruction of a compiled program: its name, its operation, where it comes from.
_INSTRUCTION = re.compile(
    r"^\s*(?:ROOT )?%(?P<name>[\w.-]+) = .*?[\])}] (?P<operation>[a-z-]+)\("
    r"(?:.*op_name=\"(?P<source>[^\"]*)\")?"
)
# The first kind whose pattern is found in "operation source" is the instruction's.
KINDS = {
    "convolutions": r"^convolution ",
    "matrix products (Winograd's, kernel gradients)": r"^dot |dot_general",
    "between devices": r"^all-reduce",
    "Adam": r"optimizer",
    "initial values, pools, random numbers": r"pool|random|threefry",
    "transforms, patches and padding of convolutions": r"/conv|Conv|reflect|/pad",
    "norms": r"[Nn]orm",
    "losses": r"loss|/abs|/square",
}
_CONTAINERS = ("call", "while", "conditional")  # Their contents count.


def kinds_of(program: str) -> dict[str, str]:
    """Returns instruction name -> kind, of a compiled program's text."""
    found = {}
    for line in program.splitlines():
        match = _INSTRUCTION.match(line)
        if not match or match["operation"] in _CONTAINERS:
            continue
        text = f"{match['operation']} {match['source'] or ''}"
        kinds = (kind for kind, pattern in KINDS.items() if re.search(pattern, text))
        found[match["name"]] = next(kinds, "all else (activations, copies)")
    return found


def measure(config, steps: int) -> dict[str, float]:
    """Returns kind -> seconds of a step, summed over threads."""
    import jax

    step, make_state, make_batch = ours.build(config)[1:]
    kept = list(make_state())
    kinds = kinds_of(step.lower(*kept, *make_batch()).compile().as_text())

    def run():
        *kept[:], metrics = step(*kept, *make_batch())
        jax.block_until_ready(metrics)

    run()
    run()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, create_perfetto_trace=True):
            for _ in range(steps):
                run()
        (file,) = pathlib.Path(folder).rglob("perfetto_trace.json.gz")
        events = json.loads(gzip.decompress(file.read_bytes()))["traceEvents"]
    seconds = collections.Counter()
    for event in events:
        # On GPUs an event has a kernel's name; the operation's is among its arguments.
        name = event.get("args", {}).get("hlo_op", event.get("name"))
        if event.get("ph") == "X" and name in kinds:
            seconds[kinds[name]] += event["dur"] / 1e6 / steps
    return dict(seconds)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--output", default="benchmarks/results/operations.jsonl")
    args = parser.parse_args()
    import jax

    config = ours.make_config(args.size, args.blocks, dtype=args.dtype)
    seconds = measure(config, args.steps)
    total = sum(seconds.values())
    rows = [
        [kind, f"{value * 1e3:.2f}", f"{value / total:.1%}"]
        for kind, value in sorted(seconds.items(), key=lambda item: -item[1])
    ]
    print(f"{args.size}x{args.size}, {args.blocks} blocks, batch 1, {args.dtype}")
    records.print_table(["operations", "ms per step", "share"], rows)
    setting = {"size": args.size, "blocks": args.blocks, "dtype": args.dtype}
    device = jax.devices()[0].device_kind
    record = records.environment(device) | setting | {"seconds": seconds}
    records.append(args.output, record)


if __name__ == "__main__":
    main()
