"""Compiles a step early and calls it; prints where it compiled, and what was copied."""

import threading

import jax
import jax.numpy as jnp
import numpy as np

from cyclegan_jax import cli
from cyclegan_jax.cli import arguments
from cyclegan_jax.machine.devices import Devices
from cyclegan_jax.machine.pmapped import AXIS, compile_early, shapes

CALLS = 3
COMPILED = "/jax/core/compile/backend_compile_duration"


def parser() -> arguments.Parser:
    flags = arguments.Parser(prog="donation.py")
    flags.add_hosts()
    return flags


def step(state, pools, batch, seed):
    mean = jax.lax.pmean(jnp.mean(batch["a"]), AXIS)
    return state * 2 + mean, pools + seed, {"mean": mean}


def addresses(*arrays):
    return [
        s.data.unsafe_buffer_pointer() for x in arrays for s in x.addressable_shards
    ]


def name_thread(event: str, *_, **__) -> None:
    if event == COMPILED:
        main = threading.current_thread() is threading.main_thread()
        print("compiled in the", "foreground" if main else "background")


def main(values) -> int:
    devices = Devices(jax.device_count())
    local = len(devices.local_slots)
    state = np.ones(1 << 20, np.float32)
    pools = np.ones((local, 1 << 20), np.float32)
    batch = {"a": np.ones((local, 4), np.float32)}
    jax.monitoring.register_event_duration_secs_listener(name_thread)
    call = compile_early(
        devices.pmap(step),
        shapes(devices.count, devices.per_device, state, pools, batch),
        images=devices.per_device,
    )
    state, pools = devices.place(state, pools)
    seed = devices.replicate(np.uint32(1))
    for _ in range(CALLS):
        given, before = (state, pools), addresses(state, pools)
        state, pools, _ = call(state, pools, devices.place_batch(batch), seed)
        after = addresses(state, pools)
        print("in place" if sorted(before) == sorted(after) else "copied")
        assert all(array.is_deleted() for array in given)
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
