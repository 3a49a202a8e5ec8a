"""The programs of cyclegan_jax, ready to be measured."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from configs import default


def make_config(
    size: int,
    blocks: int,
    batch: int = 1,
    identity: bool = True,
    dtype="float32",
    same_bits: bool = False,
):
    """The published setting at another size."""
    config = default.get_config()
    config.data.load_size = config.data.crop_size = size
    config.generator.name = f"resnet_{blocks}blocks"
    config.batch_size = batch
    config.compute_dtype = dtype
    config.same_bits = same_bits
    if not identity:
        config.loss.identity = 0.0
    return config


def random_images(size: int, batch: int, seed: int) -> np.ndarray:
    """uint8 [batch, size, size, 3]."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (batch, size, size, 3), dtype=np.uint8)


def draw_images(
    folder: pathlib.Path, count: int, size: int, *, splits: Sequence[str], suffix: str
) -> None:
    """Writes smooth random images, `count` for each split."""
    rng = np.random.default_rng(0)
    for split in splits:
        (folder / split).mkdir(parents=True)
        for i in range(count):
            pixels = rng.integers(0, 256, (size // 8, size // 8, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((size, size), Image.BICUBIC)
            image.save(folder / split / f"{i}.{suffix}", quality=95)


def build(config, scan: int = 1):
    """Returns the real step, pmapped over all devices, and its arguments' makers.

    Args:
      config: a run's.
      scan: steps in a call, by `lax.scan`.

    Returns:
      `devices, step, make_state, make_batch`: `make_state()` gives the first two
      arguments of `step`, `make_batch()` the others, from uint8 images on the host.
    """
    from cyclegan_jax.machine import runtime

    runtime.configure()
    runtime.compute_in(config.compute_dtype)
    if config.same_bits:
        runtime.fix_threads()
    import jax

    from cyclegan_jax.core.state import placeholders
    from cyclegan_jax.machine.devices import Devices
    from cyclegan_jax.machine.pmapped import pmap
    from cyclegan_jax.runs.experiment import Experiment
    from cyclegan_jax.training.step import build_step

    size, batch = config.data.crop_size, config.batch_size
    experiment = Experiment.of(config)
    devices = Devices(batch)
    optimizer = experiment.optimizer(experiment.schedule(steps_per_epoch=1000))
    step = build_step(experiment, optimizer, devices)
    if scan > 1:
        platform = jax.default_backend()
        step = pmap(_several(experiment.step(optimizer, platform)))
    images = {d: random_images(size, batch, seed) for seed, d in enumerate("ab")}
    images["slot"] = np.arange(batch, dtype=np.int32)
    if scan > 1:
        images = {k: np.stack([x] * scan, axis=1) for k, x in images.items()}
    seed = devices.replicate(np.uint32(0))

    def make_state():
        given = placeholders(experiment.method)  # Values do not affect the time.
        state, pools = experiment.create(
            optimizer, (size, size), slots=batch, given=given
        )
        return devices.replicate(state), devices.split(pools)

    return devices, step, make_state, lambda: (devices.split(images), seed)


def _several(step):
    import jax

    def steps(state, pools, batches, seed):
        def body(carry, batch):
            *carry, metrics = step(*carry, batch, seed)
            return tuple(carry), metrics

        batches = jax.tree.map(lambda x: x.swapaxes(0, 1), batches)  # Steps first.
        carry, metrics = jax.lax.scan(body, (state, pools), batches)
        return *carry, metrics

    return steps


def training_step(
    scan: int = 1,
    calls: int = 1,
    **setting: Any,
) -> tuple[Callable[[], None], Callable[[], dict[str, Any]]]:
    """The actual training step, from uint8 images on the host; waits for its result.

    Args:
      scan: steps in a call, see `build`.
      calls: of the step, in a run.
      **setting: of `make_config`.
    """
    config = make_config(**setting)
    devices, step, make_state, make_batch = build(config, scan)
    import jax

    from cyclegan_jax.machine.pmapped import compile_early

    kept = list(make_state())
    if not config.same_bits:  # As `train.py` does.
        images = devices.per_device // config.accumulate
        step = compile_early(step, (*kept, *make_batch()), images)

    def run():
        for _ in range(calls):
            *kept[:], metrics = step(*kept, *make_batch())
        jax.block_until_ready(metrics)

    def facts():
        stats = jax.local_devices()[0].memory_stats() or {}
        return {
            "device": devices.describe(),
            "device_peak_mib": stats.get("peak_bytes_in_use", 0) / 2**20 or None,
        }

    return run, facts


def compile_step(config):
    """Returns the compiled step, with the compiler's account of its memory."""
    import jax

    _, step, make_state, make_batch = build(config)
    return step.lower(*jax.eval_shape(make_state), *make_batch()).compile()
