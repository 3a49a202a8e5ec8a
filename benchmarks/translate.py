"""A generator at work: our `Translator` against PyTorch, in turn on one machine.

    python -m benchmarks.translate                    # one 256x256 photo, 9 blocks
    python -m benchmarks.translate --batch=16 --dtype=bfloat16

From uint8 images on the host to uint8 images on the host. Needs PyTorch.
"""

from collections.abc import Callable
from typing import Any

from benchmarks import flops, records
from benchmarks.alternation import Contestant, alternate
from benchmarks.ours import make_config, random_images
from cyclegan_jax.runs.run import Run

REPEAT = 5  # Translations a round: one is too short to measure.


def ours(size: int, blocks: int, batch: int, dtype: str):
    from cyclegan_jax.machine import runtime

    runtime.configure()
    runtime.compute_in(dtype)
    import jax
    import jax.numpy as jnp

    from cyclegan_jax.machine.devices import Devices
    from cyclegan_jax.runs.experiment import Experiment
    from cyclegan_jax.translation.translator import Translator

    config = make_config(size, blocks, dtype=dtype)
    experiment = Experiment.of(config)
    blank = jnp.zeros((1, size, size, 3))
    variables = jax.jit(experiment.method.generator_ab.init)(jax.random.key(0), blank)
    run = Run("", experiment, 0, {"g_ab": variables})
    translator, images = Translator(run), random_images(size, batch, 0)
    return _repeat(lambda: translator(images)), lambda: {
        "device": Devices(jax.device_count()).describe()
    }


def pytorch(size: int, blocks: int, batch: int, dtype: str, channels_last: bool):
    import torch

    from tests.oracle import networks

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    layout = torch.channels_last if channels_last else torch.contiguous_format
    torch.manual_seed(0)
    net = networks.ResnetGenerator(blocks=blocks)
    networks.init_weights(net)
    net.to(device, memory_format=layout).eval()
    images = torch.from_numpy(random_images(size, batch, 0))
    autocast = torch.autocast(device.type, torch.bfloat16, dtype == "bfloat16")

    def translate():
        with torch.inference_mode(), autocast:
            x = images.to(device).permute(0, 3, 1, 2).float() / 127.5 - 1.0
            y = net(x.contiguous(memory_format=layout)).float()
            y = ((y + 1.0) * 127.5).round().clamp(0, 255).to(torch.uint8)
            y.permute(0, 2, 3, 1).contiguous().cpu()

    return _repeat(translate), lambda: {"device": str(device)}


def _repeat(work: Callable[[], Any]) -> Callable[[], None]:
    def run():
        for _ in range(REPEAT):
            work()

    return run


def main() -> None:
    parser = records.parser(__doc__)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--output", default="benchmarks/results/translate.jsonl")
    args = parser.parse_args()
    names = ("size", "blocks", "batch", "dtype")
    setting = {name: getattr(args, name) for name in names}
    results = alternate(
        [
            Contestant("cyclegan_jax", ours, setting),
            Contestant("PyTorch eager", pytorch, setting | {"channels_last": False}),
            Contestant(
                "PyTorch channels_last", pytorch, setting | {"channels_last": True}
            ),
        ],
        args.rounds,
    )
    first = results["cyclegan_jax"]
    work = args.batch * flops.generator(args.size, args.blocks) * REPEAT
    rows = [
        [
            name,
            f"{1000 * r.median / REPEAT:.1f} ± {r.spread:.0%}",
            f"{args.batch * REPEAT / r.median:.2f}",
            f"{first.median / r.median:.2f}",
            f"{work / r.median / 1e9:,.0f}",
        ]
        for name, r in results.items()
    ]
    print(
        f"{args.size}x{args.size}, {args.blocks} blocks, batch {args.batch},"
        f" {args.dtype}; {first.facts['device']}"
    )
    header = ["program", "ms a batch", "images/s", "ours/this", "GFLOP/s"]
    records.print_table(header, rows)
    record = records.environment(first.facts["device"]) | setting
    record["programs"] = {
        name: {"seconds": [s / REPEAT for s in r.seconds], **r.facts}
        for name, r in results.items()
    }
    records.append(args.output, record)


if __name__ == "__main__":
    main()
