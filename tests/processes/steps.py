"""Does some steps with SGD and keeps what devices and processes must not change.

python tests/processes/steps.py --config=... --output=FOLDER --steps=50
"""

import hashlib
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax import cli
from cyclegan_jax.cli import arguments
from cyclegan_jax.machine import hosts
from cyclegan_jax.runs.experiment import Experiment
from cyclegan_jax.training.trainer import Trainer

RATE = 1e-5
SHAKE = 2.0**-21  # Of a parameter: 4 units in the last place of its 24 digits.


def parser() -> arguments.Parser:
    flags = arguments.Parser(prog="steps.py")
    flags.add_config("settings", required=True)
    flags.add_argument("--output", required=True, help="folder of the results")
    flags.add_argument("--steps", type=int, default=50, help="of the run, at the end")
    flags.add_argument("--shaken", type=int, default=0, help="so many runs before")
    flags.add_hosts()
    return flags


def flat(tree) -> np.ndarray:
    leaves = [np.ravel(x) for x in jax.tree.leaves(jax.device_get(tree))]
    return np.concatenate(leaves).astype(np.float64)


def local(pools):
    """The pools of this process's slots."""
    return jax.tree.map(
        lambda x: np.concatenate([shard.data for shard in x.addressable_shards]), pools
    )


def shaken(params, rng):
    """Parameters whose last digits are changed at random, up or down."""

    def shake(value):
        value = np.asarray(value)
        factors = 1 + SHAKE * rng.choice([-1.0, 1.0], value.shape)
        return (value * factors).astype(np.float32)

    return jax.tree.map(shake, params)


def digests(batch, slots):
    for slot, a, b in zip(slots, batch["a"], batch["b"], strict=True):
        yield slot, hashlib.sha256(a.tobytes() + b.tobytes()).hexdigest()[:16]


def train(run, steps, rng=None):
    """Trains to the end; returns losses, and what step 1 led to."""
    kept, losses, order = {}, [], []
    for batch in run.batches.iterate(run.step):
        run.advance(batch)
        if not losses:
            kept["gradient"] = flat(run.state.opt_state)
            kept["parameters"] = flat(run.state.params)
        if rng is not None:
            params = run.devices.replicate(shaken(run.state.params, rng))
            run.state = run.state.replace(params=params)
        terms = jax.device_get(run.pending[-1])
        losses.append([terms[name] for name in sorted(terms)])
        order += [(run.step, *x) for x in digests(batch, run.devices.local_slots)]
        if run.step == steps:
            return kept | {"losses": losses}, order


def main(values) -> int:
    """Writes `kept.npz`, and every process its `order_<process>`."""
    # Not Adam, which turns the rounding noise of gradients that are zero (those of
    # biases before an instance norm) into full steps. As momentum, it keeps gradients.
    Experiment.optimizer = lambda *_: optax.sgd(RATE, momentum=0.0)
    folder = pathlib.Path(values.output)
    run = Trainer(Experiment.of(values.config), folder / "run")
    run.open()
    start = jax.tree.map(jnp.copy, (run.state, run.pools))
    shakes: dict[str, list] = {"shaken": [], "shaken_pools": []}
    for seed in range(values.shaken):
        rng = np.random.default_rng(seed)
        shakes["shaken"].append(train(run, values.steps, rng)[0]["losses"])
        shakes["shaken_pools"].append(flat(local(run.pools)))
        run.step, run.pending = 0, []
        run.state, run.pools = jax.tree.map(jnp.copy, start)
    kept, order = train(run, values.steps)
    kept["pools"] = flat(local(run.pools))  # Of this process.
    run.save()
    run.checkpoints.close()
    lines = "".join(f"{step} {slot} {digest}\n" for step, slot, digest in order)
    (folder / f"order_{jax.process_index()}").write_text(lines)
    if hosts.is_main():
        np.savez(folder / "kept.npz", **kept, **shakes)
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
