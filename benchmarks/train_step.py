"""Our training step against the published one in PyTorch, in turn on one machine.

    python -m benchmarks.train_step                           # 128x128, 6 blocks
    python -m benchmarks.train_step --size=256 --blocks=9
    python -m benchmarks.train_step --batch=4 --dtype=bfloat16 --no-identity
    python -m benchmarks.train_step --peers=eager,channels_last,compile

With --dtype=bfloat16 (PyTorch: autocast), ours and PyTorch eager are also measured in
float32, unless --no-float32. Needs PyTorch (requirements-parity.txt); on a GPU, its
build for that GPU.
Every figure is a median ± half the interquartile range.
"""

import argparse

from benchmarks import flops, ours, records
from benchmarks.alternation import Contestant, alternate

PEERS = {
    "eager": {},
    "channels_last": {"channels_last": True},
    "compile": {"compiled": True},
    "compile_channels_last": {"compiled": True, "channels_last": True},
}


def parse() -> argparse.Namespace:
    parser = records.parser(__doc__)
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument(
        "--identity", default=True, action=argparse.BooleanOptionalAction
    )
    parser.add_argument(
        "--float32", default=True, action=argparse.BooleanOptionalAction
    )
    parser.add_argument("--peers", default="eager", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument(
        "--release", action="store_true", help="memory does not suffice for all at once"
    )
    parser.add_argument("--output", default="benchmarks/results/train_step.jsonl")
    return parser.parse_args()


def contestants_of(setting, peers) -> list[Contestant]:
    contestants = [Contestant("cyclegan_jax", ours.training_step, setting)]
    for name, options in peers.items():
        from benchmarks import peer

        build = peer.training_step
        contestants.append(Contestant(f"PyTorch {name}", build, setting | options))
    return contestants


def main() -> None:
    args = parse()
    setting = {
        "size": args.size,
        "blocks": args.blocks,
        "batch": args.batch,
        "identity": args.identity,
        "dtype": args.dtype,
    }
    peers = {name: PEERS[name] for name in args.peers.split(",") if name}
    contestants = contestants_of(setting, peers)
    if args.dtype != "float32" and args.float32:
        plain = contestants_of(setting | {"dtype": "float32"}, {"eager": {}})
        contestants += [c._replace(name=f"{c.name}, float32") for c in plain]
    ceiling = Contestant("matrix product", flops.matrix_product, {"dtype": args.dtype})
    results = alternate([*contestants, ceiling], args.rounds, release=args.release)

    top = results.pop("matrix product")
    peak = top.facts["flop"] / top.median
    work = flops.training_step(args.size, args.blocks, args.batch, args.identity)
    first = results["cyclegan_jax"]
    rows = [
        [
            name,
            f"{r.median:.3f} ± {r.spread:.0%}",
            f"{args.batch / r.median:.2f}",
            f"{first.median / r.median:.2f}",
            f"{work / r.median / peak:.0%}",
            f"{r.facts['device_peak_mib'] or r.facts['peak_mib']:,.0f}",
        ]
        for name, r in results.items()
    ]
    print(
        f"{args.size}x{args.size}, {args.blocks} blocks, batch {args.batch},"
        f" {args.dtype}, {'with' if args.identity else 'without'} identity losses:"
        f" {work / 1e9:,.0f} GFLOP a step; {first.facts['device']};"
        f" matrix product {peak / 1e9:,.0f} GFLOP/s"
    )
    header = ["program", "s/step", "pairs/s", "ours/this", "of ceiling", "peak MiB"]
    records.print_table(header, rows)
    record = records.environment(first.facts["device"]) | setting
    record |= {"gflop": work / 1e9, "ceiling_gflops": peak / 1e9}
    record["programs"] = {
        name: {"seconds": r.seconds, "median": r.median, **r.facts}
        for name, r in results.items()
    }
    records.append(args.output, record)


if __name__ == "__main__":
    main()
