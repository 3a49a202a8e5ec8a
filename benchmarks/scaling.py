"""What the step costs as images, batch and devices grow, and what remat saves.

    python -m benchmarks.scaling                  # size, batch and devices, 6 blocks
    python -m benchmarks.scaling --memory         # 512x512, 9 blocks: remat
    python -m benchmarks.scaling --scan           # several steps in a call

The devices are simulated by XLA and share the processor: the cost per image shows the
overhead of the parallel program, not a speed-up. Memory is what the compiler plans.
"""

import os

from benchmarks import flops, ours, records
from benchmarks.alternation import Contestant, alternate


def with_devices(devices: int, **setting):
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = (
        f"{flags} --xla_force_host_platform_device_count={devices}"
    )
    return ours.training_step(**setting)


def measure_time(args) -> None:
    small = {"size": 64, "blocks": args.blocks, "batch": 1, "devices": 1}
    settings = [small | {"size": size} for size in (64, 128, 256, 512)]
    settings += [small | {"batch": batch} for batch in (2, 4, 8)]
    settings += [small | {"batch": 4, "devices": n} for n in (2, 4)]
    rows, kept = [], []
    for setting in settings:  # One at a time: together they would not fit in memory.
        both = [
            Contestant("step", with_devices, setting),
            # A shared machine's speed changes from one setting to the next.
            Contestant("matrix product", flops.matrix_product, {"dtype": "float32"}),
        ]
        results = alternate(both, args.rounds)
        step, top = results["step"], results["matrix product"]
        size, batch = setting["size"], setting["batch"]
        rate = flops.training_step(size, args.blocks, batch, True) / step.median
        ceiling = top.facts["flop"] / top.median
        kept.append(setting | {"seconds": step.seconds, "ceiling": top.seconds})
        rows.append(
            [
                str(size),
                str(batch),
                str(setting["devices"]),
                f"{step.median:.3f} ± {step.spread:.0%}",
                f"{1e6 * step.median / (batch * size**2):.1f}",
                f"{rate / ceiling:.0%}",
            ]
        )
    header = ["size", "batch", "devices", "s/step", "µs a pixel", "of ceiling"]
    records.print_table(header, rows)
    records.append(args.output, records.environment("cpu") | {"settings": kept})


def measure_scan(args) -> None:
    """Four steps by four calls, and by one call that scans."""
    setting = {"size": 64, "blocks": args.blocks}
    ways = {"four calls": {"calls": 4}, "one call, lax.scan": {"scan": 4}}
    results = alternate(
        [Contestant(n, ours.training_step, setting | w) for n, w in ways.items()],
        args.rounds,
    )
    rows = [
        [name, f"{r.median / 4:.3f} ± {r.spread:.0%}"] for name, r in results.items()
    ]
    records.print_table(["64x64", "s/step"], rows)
    kept = {name: r.seconds for name, r in results.items()}
    device = results["four calls"].facts["device"]
    records.append(args.output, records.environment(device) | {"scan": kept})


def measure_memory(args) -> None:
    from cyclegan_jax.machine import runtime

    runtime.configure()
    import jax

    rows, kept = [], []
    for name, change in (
        ("plain", {}),
        ("remat", {"remat": True}),
    ):
        config = ours.make_config(args.size, args.blocks)
        config.update(change)
        plan = ours.compile_step(config).memory_analysis()
        kept.append({"name": name, "temporary": plan.temp_size_in_bytes})
        rows.append(
            [
                name,
                f"{plan.temp_size_in_bytes / 2**20:,.0f}",
                f"{plan.argument_size_in_bytes / 2**20:,.0f}",
            ]
        )
    print(f"{args.size}x{args.size}, {args.blocks} blocks, batch 1, float32")
    records.print_table(["program", "temporary MiB", "state and pools MiB"], rows)
    device = jax.devices()[0].device_kind
    record = records.environment(device) | {"size": args.size, "memory": kept}
    records.append(args.output, record)


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--scan", action="store_true")
    parser.add_argument("--size", type=int, default=512, help="with --memory")
    parser.add_argument("--blocks", type=int, help="9 with --memory, or else 6")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--output", default="benchmarks/results/scaling.jsonl")
    args = parser.parse_args()
    args.blocks = args.blocks or (9 if args.memory else 6)
    measure = measure_memory if args.memory else measure_time
    (measure_scan if args.scan else measure)(args)


if __name__ == "__main__":
    main()
