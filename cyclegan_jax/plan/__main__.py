r"""Says what training would need and how fast it could be, on devices one may not have.

python -m cyclegan_jax.plan --config=configs/horse2zebra.py \
    --topology=v5e:16x16 --per_device_batch=1,2,4,8

Compiles the training's own step for a slice of Cloud TPUs, which takes minutes a
setting but no TPU, or for this machine's devices (--topology=cpu or gpu). Costs are
remembered in ~/.cache/cyclegan_jax/plan.
"""

import argparse
import platform

from cyclegan_jax import arguments, cli
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime


def parser() -> arguments.Parser:
    """Returns the parser of the command's flags."""
    flags = arguments.Parser(prog="python -m cyclegan_jax.plan", description=__doc__)
    add = flags.add_argument
    flags.add_config("settings, as for train.py; batch_size is not read", required=True)
    add(
        "--topology",
        required=True,
        help="a TPU slice, such as v5e:16x16; or cpu or gpu: what is here",
    )
    add(
        "--per_device_batch",
        default="1",
        help="images of each domain on a device in a step, with commas (1)",
    )
    add(
        "--remat",
        default="both",
        choices=("both", "off", "on"),
        help="whether residual blocks are computed again in the backward pass",
    )
    add("--cache", default="", help="of known costs; else ~/.cache/cyclegan_jax/plan")
    return flags


def main(values: argparse.Namespace) -> int:
    """Plans the settings that the flags describe."""
    runtime.compute_in(values.config.compute_dtype)
    import jax  # After the flags: these take seconds.

    from cyclegan_jax.plan import chips, program, tables

    batches = _parse_batches(values.per_device_batch)
    name = values.topology
    if name in ("cpu", "gpu"):
        where, devices = None, program.local_devices(name)
        target = f"{len(devices)} {devices[0].device_kind} on {platform.node()}"
        memory = usable = program.local_memory(devices)
    else:
        where = chips.Slice.parse(name)
        jax.config.update("jax_platforms", "cpu")  # Leaves a TPU that is here alone.
        target, devices = where.name, program.slice_devices(where)
        memory, usable = where.chip.memory, where.chip.usable

    settings = []
    for remat in {"both": (False, True), "off": (False,), "on": (True,)}[values.remat]:
        for batch in batches:
            config = values.config.copy_and_resolve_references()
            config.remat = remat
            settings.append(_plan(config, batch, devices, target, values.cache))
    print(
        f"\nEach of {len(devices)} devices ({target}), {memory / 2**30:.4g} GiB of"
        f" memory, {usable / 2**30:.4g} for a program; one step:\n"
    )
    print(tables.counts(settings, memory, usable) + "\n")
    for remat in sorted({setting.remat for setting in settings}):
        _print_largest([s for s in settings if s.remat == remat], usable, remat)
    if where:
        _print_times(settings, where)
    else:
        print("\nNo times: there are no published speeds of this device in chips.py.")
    return 0


def _parse_batches(text):
    try:
        batches = sorted({int(number) for number in text.split(",")})
    except ValueError:
        batches = [0]
    if not batches or batches[0] < 1:
        raise UserError(
            f"--per_device_batch is {text!r}; it is a list of numbers"
            " from 1 on, such as 1,2,4."
        )
    return batches


def _plan(config, batch, devices, target, cache):
    from cyclegan_jax.plan import cost, program, tables

    remat = ", remat" if config.remat else ""
    print(f"Compiling for batch {batch}{remat} ...", flush=True)
    lowered = program.lower(config, devices, batch)
    found = cost.cached(lowered, target, config.accumulate, cache or None)
    return tables.Setting(batch, config.remat, found)


def _print_largest(settings, usable, remat):
    from cyclegan_jax.plan import tables

    largest = tables.largest_batch(settings, usable)
    shown = "none of these" if largest is None else f"{largest} (derived)"
    print(f"Largest batch that fits, with{'' if remat else 'out'} remat: {shown}")


def _print_times(settings, where):
    from cyclegan_jax.plan import tables

    print("\nLeast times, at the chip's published speeds (roofline):\n")
    print(tables.times(settings, where))
    print(
        "\nWeak scaling: images/s at most, with averaging after the rest (and relative"
        "\nto chips on their own); derived from the step above, whatever the slice:\n"
    )
    print(tables.scaling(settings, where))


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
