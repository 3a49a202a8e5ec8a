"""The programs of cyclegan_jax, ready to be measured."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from configs import default


def make_config(
    size: int, blocks: int, batch: int = 1, identity: bool = True, dtype="float32"
):
    """The published setting at another size."""
    config = default.get_config()
    config.data.load_size = config.data.crop_size = size
    config.generator.name = f"resnet_{blocks}blocks"
    config.batch_size = batch
    config.compute_dtype = dtype
    if not identity:
        config.loss.identity = 0.0
    return config


def random_images(size: int, batch: int, seed: int) -> np.ndarray:
    """uint8 [batch, size, size, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


def training_step(
    **setting: Any,
) -> tuple[Callable[[], None], Callable[[], dict[str, Any]]]:
    """Our real step, pmapped over all devices, from uint8 images on the host on.

    Args:
      **setting: of `make_config`.
    """
    from cyclegan_jax import runtime

    runtime.configure()
    import jax

    from cyclegan_jax import experiment, steps
    from cyclegan_jax.devices import AXIS, Devices

    config = make_config(**setting)
    size, batch = config.data.crop_size, config.batch_size
    method = experiment.build_method(config)
    devices = Devices(batch)
    optimizer = experiment.build_optimizer(
        config, experiment.build_schedule(config, steps_per_epoch=1000)
    )
    step = devices.pmap(
        functools.partial(
            steps.train_step, method=method, optimizer=optimizer, axis_name=AXIS
        )
    )
    image_size = (size, size)
    state = steps.create_state(method, optimizer, image_size, seed=0)
    pools = steps.create_pools(method, batch, config.pool_size, image_size)
    kept = {"state": devices.replicate(state), "pools": devices.split(pools)}
    slots = np.arange(batch, dtype=np.int32)
    images = {d: random_images(size, batch, seed) for seed, d in enumerate("ab")}

    def run():
        kept["state"], kept["pools"], metrics = step(
            kept["state"],
            kept["pools"],
            devices.split({**images, "slot": slots}),
            np.uint32(0),
        )
        kept["metrics"] = jax.block_until_ready(metrics)

    def facts():
        stats = jax.local_devices()[0].memory_stats() or {}
        return {
            "device": devices.describe(),
            "device_peak_mib": stats.get("peak_bytes_in_use", 0) / 2**20 or None,
        }

    return run, facts
