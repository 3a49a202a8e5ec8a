r"""Estimates the memory and the minimum time of a training step, on any devices.

python -m cyclegan_jax.plan --config=configs/horse2zebra.py \
    --topology=v6e:16x16 --per_device_batch=1,2,4,8

Compiles the actual training step for a Cloud TPU slice or NVIDIA GPUs (--topology=h100
or h100:8), which takes minutes per setting but needs no such device, or for the devices
of this machine (--topology=cpu or gpu). Results are cached in
~/.cache/cyclegan_jax/plan.
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError


def parser(prog: str = "python -m cyclegan_jax.plan") -> arguments.Parser:
    """Returns the parser of the command's flags."""
    flags = arguments.Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    flags.add_config("settings, as for train.py; batch_size is not read", required=True)
    add(
        "--topology",
        required=True,
        help="a TPU slice, such as v6e:16x16; NVIDIA GPUs, such as h100 or h100:8;"
        " or cpu or gpu: those of this machine",
    )
    add(
        "--per_device_batch",
        default="1",
        help="images of each domain per device and step, comma-separated (1)",
    )
    add(
        "--remat",
        default="both",
        choices=("both", "off", "on"),
        help="whether residual blocks are recomputed in the backward pass",
    )
    add("--cache", default="", help="its folder; default ~/.cache/cyclegan_jax/plan")
    return flags


def main(values: argparse.Namespace) -> int:
    """Plans the settings that the flags describe."""
    from cyclegan_jax.plan import tables, targets

    batches = _parse_batches(values.per_device_batch)
    where = targets.parse(values.topology)
    settings = []
    for remat in {"both": (False, True), "off": (False,), "on": (True,)}[values.remat]:
        for batch in batches:
            target, setting = _plan(values, batch, remat)
            settings.append(setting)
    memory, usable = target["memory"], target["usable"]
    print(
        f"\nEach of {target['count']} devices ({target['title']}),"
        f" {memory / 2**30:.4g} GiB of memory, {usable / 2**30:.4g} for a program; one"
        " step:\n"
    )
    print(tables.counts(settings, memory, usable) + "\n")
    for remat in sorted({setting.remat for setting in settings}):
        _print_largest([s for s in settings if s.remat == remat], usable, remat)
    for setting in settings:
        if setting.cost.fits:
            _print_units(setting, where)
    if where:
        _print_times(settings, where)
    else:
        print("\nNo times: no published speeds of this device are known here.")
    return 0


def _parse_batches(text):
    try:
        batches = sorted({int(number) for number in text.split(",")})
    except ValueError:
        batches = [0]
    if not batches or batches[0] < 1:
        raise UserError(
            f"--per_device_batch is {text!r}; it must be a comma-separated"
            " list of numbers from 1 up, such as 1,2,4."
        )
    return batches


def _plan(values, batch, remat):
    from cyclegan_jax.plan import child, cost, tables

    config = values.config.copy_and_resolve_references()
    config.remat = remat
    print(f"Compiling for {tables.name(batch, remat)} ...", flush=True)
    answer = child.compile_setting(config, values.topology, batch, values.cache)
    measured = cost.Cost(**answer["cost"])
    return answer, tables.Setting(batch, remat, measured, config.compute_dtype)


def _print_largest(settings, usable, remat):
    from cyclegan_jax.plan import tables

    largest = tables.largest_batch(settings, usable)
    shown = "none of these" if largest is None else f"{largest} (derived)"
    print(f"Largest batch that fits, with{'' if remat else 'out'} remat: {shown}")


def _print_units(setting, where):
    from cyclegan_jax.plan import cards, tables

    title = tables.name(setting.per_device, setting.remat)
    if setting.cost.cycles:
        clock = where.clock if where else None
        print(f"\n{title}: {tables.estimate(setting.cost, clock)}\n")
        print(tables.dearest(setting.cost))
    if where:
        print(f"\n{title}: by layer, backward passes included:\n")
        print(tables.layers(setting.cost))
    if isinstance(where, cards.Cards):
        print(f"\n{title}: main memory by kind of kernel; windows of convolutions:\n")
        print(tables.kinds(setting.cost))


def _print_times(settings, where):
    from cyclegan_jax.plan import tables

    print("\nLeast times, at published speeds (roofline):\n")
    print(tables.times(settings, where))
    if where.count == 1:
        print("\nWeak scaling: compile for several devices, which average.")
        return
    print(
        "\nWeak scaling: images/s at most, with averaging after the rest (and relative"
        "\nto devices by themselves); derived from the step above, for any number:\n"
    )
    print(tables.scaling(settings, where))


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
