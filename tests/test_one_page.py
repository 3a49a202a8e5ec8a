"""The example on one page: it runs, and computes what the project does."""

import functools

import jax
import numpy as np
import optax
import pytest

from cyclegan_jax.core import networks
from cyclegan_jax.core.methods.cyclegan import CycleGAN
from cyclegan_jax.core.state import TrainState, create_pools
from cyclegan_jax.core.steps import train_step
from cyclegan_jax.machine.pmapped import pmap
from examples import one_page


@pytest.fixture
def page(monkeypatch):
    """The page with tiny networks; pools are full, and draw, after two steps."""
    jax.clear_caches()  # Its compiled step depends on these constants.
    settings = {"width": 4, "init_gain": 0.2}
    for name, value in {
        "SIZE": 16,
        "STEPS": 4,
        "POOL": 2,
        "generator": networks.ResNetGenerator(blocks=1, **settings),
        "discriminator": networks.PatchDiscriminator(n_layers=1, **settings),
    }.items():
        monkeypatch.setattr(one_page, name, value)
    return one_page


@pytest.mark.slow
def test_the_step_computes_the_same_bits_as_the_project(page):
    generator, discriminator = page.generator, page.discriminator
    method = CycleGAN(generator, generator, discriminator, discriminator)
    step = functools.partial(
        train_step, method=method, optimizer=page.optimizer, axis_name="batch"
    )
    step = pmap(step, devices=jax.devices()[:1])
    ours = page.create_state(jax.random.key(5))
    params = jax.tree.map(np.asarray, ours.params)
    state = TrainState(
        step=np.int32(0),
        params=params,
        opt_state={name: page.optimizer.init(params[name]) for name in params},
        norm_stats={},
        ema_params={},
    )
    pools = create_pools(method, 1, page.POOL, (page.SIZE, page.SIZE))
    pools = jax.tree.map(lambda x: x[None], pools)
    rng = np.random.default_rng(0)
    for _ in range(page.STEPS):
        batch = {x: rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8) for x in "ab"}
        ours, losses = page.train_step(ours, batch)
        by_device = {x: image[None] for x, image in batch.items()}
        by_device["slot"] = np.zeros((1, 1), np.int32)
        state, pools, metrics = step(state, pools, by_device, np.uint32(page.SEED))
        jax.tree.map(np.testing.assert_array_equal, losses, metrics)
        jax.tree.map(np.testing.assert_array_equal, ours.params, state.params)
        for name, pool in ours.pools.items():
            np.testing.assert_array_equal(pool.images, pools[name].images[0])
    moments = optax.tree.get(ours.opt_state, "nu")
    for name, theirs in state.opt_state.items():
        expected = optax.tree.get(theirs, "nu")
        jax.tree.map(np.testing.assert_array_equal, moments[name], expected)


@pytest.mark.slow
def test_it_trains_and_writes_a_picture(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert page.main([]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("4 cycle_a ")
    assert (tmp_path / "one_page.png").read_bytes().startswith(b"\x89PNG")
