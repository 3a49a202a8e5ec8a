"""The step of a run, for its devices."""

import jax
import optax

from cyclegan_jax.machine.devices import Devices
from cyclegan_jax.machine.pmapped import Program
from cyclegan_jax.machine.slot_ordered import SlotOrderedStep
from cyclegan_jax.runs.experiment import Experiment


def build_step(
    experiment: Experiment, optimizer: optax.GradientTransformation, devices: Devices
) -> SlotOrderedStep | Program:
    """Returns a run's step for these devices: (state, pools, batch, seed) -> ..."""
    if not experiment.config.same_bits:
        return devices.pmap(experiment.step(optimizer, jax.default_backend()))
    return SlotOrderedStep(
        devices,
        experiment.method,
        optimizer,
        ema_decay=experiment.config.ema_decay,
        pixels=experiment.pixels,
    )
