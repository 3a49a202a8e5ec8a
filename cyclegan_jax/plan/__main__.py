r"""Says what training would need and how fast it could be, on devices one may not have.

python -m cyclegan_jax.plan --config=configs/horse2zebra.py \
    --topology=v5e:16x16 --per_device_batch=1,2,4,8

Compiles the training's own step for a slice of Cloud TPUs, which takes minutes a
setting but no TPU, or for this machine's devices (--topology=cpu or gpu). Costs are
remembered in ~/.cache/cyclegan_jax/plan.
"""

import platform

from absl import flags
from ml_collections import config_flags

from cyclegan_jax import cli
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "Settings, as for train.py; batch_size is not read."
)
_TOPOLOGY = flags.DEFINE_string(
    "topology", None, "A TPU slice, such as v5e:16x16; or cpu or gpu: what is here."
)
_BATCHES = flags.DEFINE_list(
    "per_device_batch", ["1"], "Images of each domain on a device, in a step."
)
_REMAT = flags.DEFINE_enum(
    "remat",
    "both",
    ["both", "off", "on"],
    "Whether residual blocks are computed again in the backward pass.",
)
_CACHE = flags.DEFINE_string(
    "cache", "", "Folder of remembered costs; else ~/.cache/cyclegan_jax/plan."
)


def main() -> int:
    """Plans the settings that the flags describe."""
    runtime.compute_in(_CONFIG.value.compute_dtype)
    import jax  # After the flags: these take seconds.

    from cyclegan_jax.plan import chips, program, tables

    batches = _parse_batches(_BATCHES.value)
    name = _TOPOLOGY.value
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
    for remat in {"both": (False, True), "off": (False,), "on": (True,)}[_REMAT.value]:
        for batch in batches:
            setting = _plan(batch, remat, devices, target)
            settings.append(setting)
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


def _parse_batches(values):
    try:
        batches = sorted({int(value) for value in values})
    except ValueError:
        batches = [0]
    if not batches or batches[0] < 1:
        raise UserError(
            f"--per_device_batch is {','.join(values)!r}; it is a list of numbers"
            " from 1 on, such as 1,2,4."
        )
    return batches


def _plan(batch, remat, devices, target):
    from cyclegan_jax.plan import cost, program, tables

    config = _CONFIG.value.copy_and_resolve_references()
    config.remat = remat
    print(f"Compiling for batch {batch}{', remat' if remat else ''} ...", flush=True)
    lowered = program.lower(config, devices, batch)
    found = cost.cached(lowered, target, config.accumulate, _CACHE.value or None)
    return tables.Setting(batch, remat, found)


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
    cli.run(main, required=("config", "topology"))
