"""CycleGAN's training on one page; networks, losses, pools and data are imported.

    python -m examples.one_page                      # the built-in photos and labels
    python -m examples.one_page /data/horse2zebra    # a folder with trainA, trainB, ...

It prints the losses and writes one_page.png. `train_step` computes the same bits as
`cyclegan_jax.core.steps`, which adds devices, batch norm, options and other methods.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cyclegan_jax import cli, data, files, images
from cyclegan_jax.core import image_pool, losses, networks

SIZE, STEPS, POOL = 64, 2000, 50  # In the paper 256 pixels; 200 epochs.
CYCLE, IDENTITY = 10.0, 0.5  # The identity weight is a fraction of the cycle weight.
SEED = 0
generator = networks.ResNetGenerator(blocks=3, width=32)  # In the paper 9 and 64.
discriminator = networks.PatchDiscriminator(n_layers=2, width=32)  # 3 and 64.
optimizer = optax.adam(lambda t: 2e-4 * jnp.minimum(1, 2 - 2 * t / STEPS), b1=0.5)


class State(NamedTuple):
    step: jax.Array  # [] int32, finished steps.
    params: dict[str, Any]  # Of g_ab, g_ba (generators) and d_a, d_b.
    opt_state: optax.OptState
    pools: dict[str, image_pool.ImagePool]  # Of fake_a and fake_b.


def create_state(key: jax.Array) -> State:
    image, params = jnp.zeros((1, SIZE, SIZE, 3)), {}
    for number, name in enumerate(("g_ab", "g_ba", "d_a", "d_b")):
        module = generator if name.startswith("g") else discriminator
        params[name] = module.init(jax.random.fold_in(key, number), image)["params"]
    pools = {f"fake_{x}": image_pool.create(1, POOL, (SIZE, SIZE, 3)) for x in "ab"}
    return State(jnp.int32(0), params, optimizer.init(params), pools)


def translate(params, images):  # [B, H, W, 3] in [-1, 1] -> the same.
    return generator.apply({"params": params}, images)


def scores(params, images):  # [B, H, W, 3] -> [B, H', W', 1], one per patch.
    return discriminator.apply({"params": params}, images)


def generators_loss(generators, discriminators, real_a, real_b):
    g_ab, g_ba = (functools.partial(translate, generators[n]) for n in ("g_ab", "g_ba"))
    fake_b = g_ab(real_a)
    cycle_a = g_ba(fake_b)
    fake_a = g_ba(real_b)
    cycle_b = g_ab(fake_a)
    identity_b, identity_a = g_ab(real_b), g_ba(real_a)
    scores_b = scores(discriminators["d_b"], fake_b)
    scores_a = scores(discriminators["d_a"], fake_a)
    terms = {
        "identity_b": IDENTITY * CYCLE * losses.l1(identity_b, real_b),
        "identity_a": IDENTITY * CYCLE * losses.l1(identity_a, real_a),
        "g_ab": losses.generator_adversarial(scores_b, "lsgan"),
        "g_ba": losses.generator_adversarial(scores_a, "lsgan"),
        "cycle_a": CYCLE * losses.l1(cycle_a, real_a),
        "cycle_b": CYCLE * losses.l1(cycle_b, real_b),
    }
    return sum(terms.values()), ({"fake_a": fake_a, "fake_b": fake_b}, terms)


def discriminators_loss(discriminators, real, fake):
    terms = {}
    for x in "ba":  # Real and generated images in one pass.
        both = jnp.concatenate([real[x], fake[f"fake_{x}"]])
        s_real, s_fake = jnp.split(scores(discriminators[f"d_{x}"], both), 2)
        terms[f"d_{x}"] = losses.discriminator_adversarial(s_real, s_fake, "lsgan")
    return sum(terms.values()), terms


@jax.jit
def train_step(state: State, batch: dict[str, jax.Array]):
    """Updates all four networks from uint8 [1, H, W, 3]; returns the losses, too."""
    real = {x: images.to_float(batch[x]) for x in "ab"}
    generators = {name: state.params[name] for name in ("g_ab", "g_ba")}
    discriminators = {name: state.params[name] for name in ("d_a", "d_b")}

    grad = jax.grad(generators_loss, has_aux=True)
    grads, (fakes, terms) = grad(generators, discriminators, real["a"], real["b"])

    # The discriminators see new images or, in half of the cases, older ones.
    key = jax.random.fold_in(jax.random.key(SEED), state.step)
    key = jax.random.fold_in(jax.random.fold_in(key, 0), 1)  # Slot 0 of the batch.
    pools = dict(state.pools)
    for number, (name, image) in enumerate(fakes.items()):
        keys = jax.random.fold_in(key, number)[None]
        pools[name], fakes[name] = image_pool.exchange(pools[name], image, keys)

    grad = jax.grad(discriminators_loss, has_aux=True)
    grads_d, terms_d = grad(discriminators, real, fakes)

    grads = grads | grads_d
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    return State(state.step + 1, params, opt_state, pools), terms | terms_d


def grid(params, real_a, real_b):
    """Real images, translations and the way back: a row per image."""
    g_ab, g_ba = (functools.partial(translate, params[n]) for n in ("g_ab", "g_ba"))
    fake_b, fake_a = g_ab(real_a), g_ba(real_b)
    columns = {"real A": real_a, "A to B": fake_b, "cycle A": g_ba(fake_b)}
    columns |= {"real B": real_b, "B to A": fake_a, "cycle B": g_ab(fake_a)}
    return images.sample_grid({k: images.to_uint8(v) for k, v in columns.items()})


def main(arguments: list[str]) -> int:
    folder = arguments[0] if arguments else ""
    name = "folder" if folder else "streets"
    dataset = data.load_dataset(name, path=folder, streets_look="autumn")
    transform = data.Preprocess(load_size=SIZE * 9 // 8, crop_size=SIZE)
    sources = (
        data.CachedSource(source, load=transform.load, cache_bytes=2**30)
        for source in (dataset.train_a, dataset.train_b)
    )
    batches = data.TrainBatches(*sources, transform, seed=SEED, batch_size=1)
    state = create_state(jax.random.key(SEED))
    for step in range(1, STEPS + 1):
        state, terms = train_step(state, batches[step - 1])
        if step % 50 == 0 or step == STEPS:
            print(step, *(f"{name} {value:.3f}" for name, value in terms.items()))
    first = [batches[i] for i in range(4)]
    real = (images.to_float(np.concatenate([b[x] for b in first])) for x in "ab")
    files.save_png("one_page.png", grid(state.params, *real))
    return 0


if __name__ == "__main__":
    parser = cli.arguments.Parser(prog="one_page", description=__doc__)
    parser.add_argument("files", nargs="*", metavar="FOLDER")
    cli.run_argparse(parser, lambda values: main(values.files))
