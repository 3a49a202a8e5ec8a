"""What `config.same_bits` costs: time and memory of a step, and bytes between devices.

    python -m benchmarks.same_bits               # 64x64, 6 blocks; 1, 2 and 4 devices
    python -m benchmarks.same_bits --links       # bytes between devices; slices of TPUs

Devices are XLA's pretended ones, which share the processor. Both steps run in turn; the
ratio is the median of the rounds' ratios. Memory is the largest of the process during a
step, after compilation. With --links, the collectives of the compiled programs are
counted, and those of slices follow from their sum S: an all-reduce and `same_bits` both
make each of n devices send 2 (n - 1) / n S, but the messages of `same_bits` go to
devices at distance 1, 2, 4, ..., and all devices' messages share the links on the way.
"""

import ctypes
import os
import pathlib
import statistics

from benchmarks import ours, records
from benchmarks.alternation import Contestant, alternate

# Devices and batch.
SETTINGS = ((1, 1), (2, 2), (4, 4), (1, 4), (2, 4))
SLICES = ("v5e:4x4", "v5e:16x16", "v6e:16x16", "v5p:4x4x4")


def step_with(devices: int, **setting):
    """The step on so many pretended devices; facts have its largest memory."""
    os.environ["JAX_NUM_CPU_DEVICES"] = str(devices)
    run, facts = ours.training_step(**setting)

    def facts_and_memory():
        ctypes.CDLL(None).malloc_trim(0)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # Resets the maximum.
        run()
        status = pathlib.Path("/proc/self/status").read_text()
        (line,) = (x for x in status.splitlines() if x.startswith("VmHWM"))
        return facts() | {"step_mib": int(line.split()[1]) / 1024}

    return run, facts_and_memory


def measure_time(args) -> None:
    """Prints seconds and memory of both steps."""
    rows, kept = [], []
    for devices, batch in SETTINGS:
        setting = {"size": args.size, "blocks": args.blocks, "batch": batch}
        setting |= {"devices": devices}
        results = alternate(
            [
                Contestant(name, step_with, setting | {"same_bits": same_bits})
                for name, same_bits in (("ordinary", False), ("same bits", True))
            ],
            args.rounds,
        )
        plain, same = results.values()
        ratios = [b / a for a, b in zip(plain.seconds, same.seconds, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        rows.append(
            [
                str(devices),
                str(batch // devices),
                *(f"{r.median:.3f} ± {r.spread:.0%}" for r in (plain, same)),
                f"{middle:.2f} ({low:.2f} to {high:.2f})",
                *(f"{r.facts['step_mib']:,.0f}" for r in (plain, same)),
            ]
        )
        kept.append(setting | {name: r._asdict() for name, r in results.items()})
    header = ["devices", "slots each", "ordinary, s", "same bits, s", "ratio"]
    records.print_table([*header, "ordinary, MiB", "same bits, MiB"], rows)
    record = records.environment("cpu") | {"blocks": args.blocks, "settings": kept}
    records.append(args.output, record)


def count(devices: int, args) -> tuple[int, int]:
    """Returns bytes that enter collectives in a step: an all-reduce's, same_bits'."""
    import jax

    from cyclegan_jax.plan import hlo, traffic

    totals = []
    for same_bits in (False, True):
        config = ours.make_config(args.size, args.blocks, devices, same_bits=same_bits)
        _, step, make_state, make_batch = ours.build(config)
        arguments = (*jax.eval_shape(make_state), *make_batch())
        programs = step.lower(*arguments) if same_bits else [step.lower(*arguments)]
        texts = [program.compile().as_text() for program in programs]
        totals.append(sum(traffic.collective_bytes(hlo.Program(t)) for t in texts))
    return totals[0], totals[1]


def slices(size: float) -> list[list[str]]:
    """Least milliseconds of averaging `size` bytes: an all-reduce's, and same_bits'."""
    from cyclegan_jax.plan import roofline
    from cyclegan_jax.plan.chips import Slice

    rows = []
    for name in SLICES:
        where = Slice.parse(name)
        assert where is not None
        usual = roofline.all_reduce_seconds(where, size)
        tree = 2 * sum(size / 2 ** (n + 1) * d for n, d in enumerate(distances(where)))
        seconds = tree / where.link
        row = [name, f"{2 * (where.nodes - 1) / where.nodes * size / 1e6:.1f}"]
        rows.append([*row, f"{1e3 * usual:.2f}", f"{1e3 * seconds:.2f}"])
    return rows


def distances(where) -> list[int]:
    """Links between partners: devices in rows, rows in planes, neighbours first."""
    return [
        2**level
        for side in reversed(where.shape)
        for level in range(side.bit_length() - 1)
    ]


def measure_links(args) -> None:
    """Prints the bytes of the compiled programs, and least times on slices."""
    os.environ["JAX_NUM_CPU_DEVICES"] = str(args.devices)
    usual, tree = count(args.devices, args)
    print(
        f"{args.devices} devices: {usual / 1e6:.2f} MB are averaged, for which an"
        f" all-reduce sends {2 * (args.devices - 1) / args.devices * usual / 1e6:.2f}"
        f" MB a device; same_bits sends {tree / 1e6:.2f} MB\n"
    )
    header = ["slice", "sent, MB a chip", "all-reduce, ms", "same_bits, ms"]
    rows = slices(usual)
    records.print_table(header, rows)
    record = {"devices": args.devices, "all_reduce": usual, "same_bits": tree}
    records.append(args.output, records.environment("cpu") | record | {"slices": rows})


def main() -> None:
    """Measures what the flags ask for."""
    parser = records.parser(__doc__)
    parser.add_argument("--links", action="store_true")
    parser.add_argument("--devices", type=int, default=4, help="with --links")
    parser.add_argument("--size", type=int, default=64, help="pixels")
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", default="benchmarks/results/same_bits.jsonl")
    args = parser.parse_args()
    (measure_links if args.links else measure_time)(args)


if __name__ == "__main__":
    main()
