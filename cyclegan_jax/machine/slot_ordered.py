"""The training step for `same_bits`: `core.slots`, pmapped."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax import images
from cyclegan_jax.core import feature_queue, slots, steps
from cyclegan_jax.core.methods.interface import Method
from cyclegan_jax.core.steps import Metrics
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime
from cyclegan_jax.machine.devices import Devices
from cyclegan_jax.machine.pmapped import AXIS


class SlotOrderedStep:
    """A step with the arguments and results of a pmapped `steps.train_step`.

    Each device computes the gradients of its slots one after the other by one program,
    adds them, and exchanges sums with the other devices; see `core.slots`.
    """

    def __init__(
        self,
        devices: Devices,
        method: Method,
        optimizer: optax.GradientTransformation,
        *,
        ema_decay: float = 0.0,
        pixels: images.DomainPixels = images.PICTURES,
    ):
        """Prepares the programs; they are compiled when they are called first.

        Raises:
          UserError: these devices cannot share the batch in a fixed order, or a network
            couples the images of a batch.
        """
        self._slots = devices.count * devices.per_device
        self._per_device, self._method = devices.per_device, method
        check(method, self._slots, devices.count)
        if jax.default_backend() == "cpu":
            runtime.check_threads(jax.local_device_count())
        pmap = functools.partial(devices.map, axis_name=AXIS)
        numbers = range(len(method.phases))
        last = max(number for number in numbers if method.phases[number].players)

        def of_phases(function, **options):
            programs = (functools.partial(function, number=n) for n in numbers)
            return [pmap(program, **options) for program in programs]

        phase = functools.partial(slots.phase, method=method)
        self._phases = of_phases(phase, in_axes=(None, 0, 0, None))
        axes = (None, 0, 0, 0, None)
        self._exchanges = of_phases(slots.exchange, in_axes=axes, donate_argnums=1)
        self._updates = [
            pmap(
                functools.partial(
                    slots.update,
                    optimizer=optimizer,
                    slots=self._slots,
                    ema_decay=ema_decay,
                    last=number == last,
                ),
                in_axes=(None, 0, 0),
                out_axes=None,
                donate_argnums=0,
            )
            for number in numbers
        ]
        self._real = pmap(functools.partial(steps.real_images, pixels=pixels))
        self._push = pmap(feature_queue.push, donate_argnums=0)
        self._take = pmap(_take, in_axes=(0, None))
        self._join = pmap(_join)
        self._add = pmap(_add)
        self._over_devices = pmap(
            functools.partial(
                slots.sum_over_devices, axis_name=AXIS, devices=devices.count
            )
        )

    def __call__(self, state: Any, pools: Any, batch: Any, seed: Any) -> tuple:
        """Updates every network once; see `steps.train_step`."""

        def call(program, *arguments):
            return program(*arguments)

        return self._step(call, state, pools, batch, seed)

    def lower(self, *arguments: Any) -> list[jax.stages.Lowered]:
        """Returns the programs of a step, in the order of their calls.

        Args:
          *arguments: of a call; their shapes will do.
        """
        programs = []

        def call(program, *arguments):
            programs.append(program.lower(*arguments))
            return jax.eval_shape(program, *arguments)

        self._step(call, *arguments)
        return programs

    def _step(self, call, state, pools, batch, seed):
        def add(one, other):  # A phase that only makes images has nothing to add.
            return call(self._add, one, other) if jax.tree.leaves(one) else one

        pools, metrics = dict(pools), Metrics()
        queues = pools.pop(feature_queue.POOL, {})
        places, arrays = batch["slot"], {feature_queue.POOL: queues}
        arrays |= call(self._real, batch)
        for number, phase in enumerate(self._phases):
            tree = slots.Tree(self._slots, add)
            parts = []
            for index in range(self._per_device):
                own, place = call(self._take, (arrays, places), np.int32(index))
                value, outputs, stats = call(phase, state, own, place, seed)
                tree.put(value)
                parts.append(outputs)
            if parts[0]:
                outputs = call(self._join, parts)
                pools, outputs = call(
                    self._exchanges[number], state, pools, outputs, places, seed
                )
                arrays = arrays | outputs
            total = tree.total()
            if jax.tree.leaves(total):
                total = call(self._over_devices, total)
                state, terms = call(self._updates[number], state, total, stats)
                metrics = metrics | terms
        if queues:
            new = call(self._push, queues, arrays[feature_queue.NEWEST])
            pools = pools | {feature_queue.POOL: new}
        return state, pools, metrics


def check(method: Method, batch_size: int, devices: int) -> None:
    """Checks that a method and a batch can have the same bits on other devices.

    Raises:
      UserError: they cannot.
    """
    if name := slots.couples_images(method):
        raise UserError(
            f"same_bits is True, but {name} has batch norm, whose statistics couple the"
            " images of a batch: use generator.norm and discriminator.norm instance or"
            " none, or same_bits=False."
        )
    allowed = slots.devices_allowed(batch_size)
    if devices not in allowed:
        raise UserError(
            f"same_bits is True, where a batch of {batch_size} can be shared by"
            f" {', '.join(map(str, allowed))} devices, not by {devices}: use another"
            " batch_size, --devices, or same_bits=False."
        )


def _take(tree, index):
    return jax.tree.map(
        lambda x: jax.lax.dynamic_slice_in_dim(x, index, 1, axis=0), tree
    )


def _join(parts: Sequence[Any]) -> Any:
    return jax.tree.map(lambda *x: jnp.concatenate(x), *parts)


def _add(one, other):
    return jax.tree.map(jnp.add, one, other)
