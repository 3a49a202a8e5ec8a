"""Planning for devices that are not here: chips, cards, and their compilers."""

import dataclasses
import importlib.util
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest

from cyclegan_jax.core.networks import convolutions, statistics
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime, xla_options
from cyclegan_jax.machine.pmapped import AXIS
from cyclegan_jax.plan import (
    cards,
    child,
    chips,
    cost,
    hlo,
    roofline,
    sources,
    tables,
    targets,
    traffic,
    units,
)
from tests.test_plan import ROOT, small_config

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed"
)
needs_cuda = pytest.mark.skipif(
    importlib.util.find_spec("jax_cuda12_plugin") is None,
    reason="the CUDA plugin is not installed",
)


@pytest.mark.parametrize(
    ("name", "count", "links"),
    [
        ("v5e:1x1", 1, 0),
        ("v5e:2x2", 4, 2),
        ("v6e:2x4", 8, 2),
        ("v5e:8x16", 128, 3),
        ("v5e:16x16", 256, 4),
        ("v4:2x2x1", 4, 2),
        ("v5p:2x4x4", 32, 3),
        ("v5p:4x4x4", 64, 6),
        ("v4:4x8x8", 256, 6),
        ("tpu7x:2x2x1", 8, 2),  # Two devices a chip.
    ],
)
def test_slices(name, count, links):
    where = chips.Slice.parse(name)
    assert (where.name, where.count, where.links) == (name, count, links)


@pytest.mark.parametrize(
    "name",
    ["v9:2x2", "v5e", "v5e:2", "v4:4x4", "v5e:0x2", "x", "h100:", "h100:0", "h100x8"],
)
def test_unknown_topologies(name):
    with pytest.raises(UserError, match=r"unknown topology.*h100.*v5e:1x1, 2x2.*v6e"):
        targets.parse(name)


def test_devices_share_a_chip():
    """TPU7x: half of everything for each of two devices, but the links are a chip's."""
    where = chips.Slice.parse("tpu7x:2x2x1")
    assert (where.memory, where.peak("float32")) == (96 * 2**30, 2307e12 / 2)
    least = roofline.all_reduce_seconds(where, 100e6)
    assert least == pytest.approx(2 * 3 / 4 * 100e6 / (2 * 100e9))


def test_cards():
    where = cards.Cards.parse("h100:8")
    assert (where.name, where.count, cards.Cards.parse("a100").count) == (
        "h100:8",
        8,
        1,
    )
    # Rounded, a card's peaks are its units' (NVIDIA's data sheets): 512 and 1024
    # multiply-adds a clock in each of the four of a core, A100's 256 and H100's 512
    # of bfloat16, at clocks of 1.41 and 1.83 GHz.
    a100, h100 = cards.CARDS["a100"], cards.CARDS["h100"]
    assert a100.peak == pytest.approx(2 * 4 * 256 * 108 * 1.41e9, rel=0.01)
    assert h100.peak == pytest.approx(2 * 4 * 512 * 132 * 1.83e9, rel=0.01)
    b = roofline.bounds(where, "float32", flops=494e9, moved=0, collective=450e6)
    assert b.compute == pytest.approx(1e-3)
    assert b.collectives == pytest.approx(2 * 7 / 8 * 1e-3)
    assert "core_count: 132" in where.description()


def test_roofline_by_hand():
    where = chips.Slice.parse("v5e:16x16")
    b = roofline.bounds(where, "float32", flops=197e9, moved=819e7, collective=180e6)
    assert b.compute == pytest.approx(1e-3)
    assert b.memory == pytest.approx(10e-3)
    # A chip sends 2 * 255/256 of the bytes over four links of 45 GB/s.
    assert b.collectives == pytest.approx(2e-3 * 255 / 256)
    assert (b.step, b.limit) == (b.memory, "memory")
    assert b.efficiency == pytest.approx(10 / (10 + 2 * 255 / 256))
    # Between four chips in a square each has two links.
    four = roofline.all_reduce_seconds(chips.Slice.parse("v5e:2x2"), 180e6)
    assert four == pytest.approx(2 * 3 / 4 * 180e6 / 90e9)
    assert roofline.all_reduce_seconds(chips.Slice.parse("v5e:1x1"), 180e6) == 0


@pytest.mark.parametrize(
    ("name", "needed"), [("v5e:2x2", r'"libtpu>='), ("h100", r'"\.\[plan-gpu\]"')]
)
def test_missing_compilers(name, needed, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=f"pip install {needed}"):
        targets.parse(name)


def test_missing_gpu():
    with pytest.raises(UserError, match="no such device here"):
        targets.local_devices("gpu")


def test_a_compiler_that_is_known_to_crash(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(runtime.metadata, "version", lambda name: "0.0.42.1")
    assert targets.parse("v5e:2x2").count == 4
    with pytest.raises(UserError, match=r"0\.0\.42\.1 crashes.*libtpu>="):
        targets.parse("v6e:2x2")
    monkeypatch.setattr(runtime.metadata, "version", lambda name: "0.0.52")
    assert targets.parse("v6e:2x2").count == 4


def test_a_reader_that_is_too_old(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(targets.metadata, "version", lambda name: "0.10.2")
    with pytest.raises(
        UserError, match=r"JAX 0\.10\.2 .* TPU7x .*: plan with JAX 0\.11"
    ):
        targets.parse("tpu7x:2x2x1")
    monkeypatch.setattr(targets.metadata, "version", lambda name: "0.11.0")
    assert targets.parse("tpu7x:2x2x1").count == 8


# As TPU7x's compiler writes it: the tensor cores go on while others average.
_AVERAGED_MEANWHILE = """HloModule averaging

%sum (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add = f32[] add(%a, %b)
}

%called_computation.1 (x: f32[256,128]) -> f32[256,128] {
  %x = f32[256,128]{1,0:T(8,128)} parameter(0)
  ROOT %all-reduce.4 = f32[256,128]{1,0:T(8,128)} all-reduce(%x), to_apply=%sum
}, execution_thread="sparsecore"

ENTRY %main (p: f32[256,128]) -> f32[256,128] {
  %p = f32[256,128]{1,0:T(8,128)} parameter(0)
  %call-start = ((), (), (s32[64]{0:T(1024)})) custom-call-start(), \
async_execution_thread="sparsecore", called_computations={%called_computation.1}
  %call-update = ((f32[256,128]{1,0:T(8,128)}), f32[256,128]{1,0:T(8,128)}, \
(s32[64]{0:T(1024)})) custom-call-update(%call-start, %p)
  ROOT %done = f32[256,128]{1,0:T(8,128)} custom-call-done(%call-update)
}
"""


def test_collectives_of_other_cores_count():
    compiled = hlo.Program(_AVERAGED_MEANWHILE)
    size = 4 * 256 * 128
    assert traffic.collective_bytes(compiled) == size
    assert units.collectives(compiled) == 1
    assert traffic.main_memory_bytes(compiled) == 2 * size


def test_a_compiler_that_crashes(monkeypatch):
    """Its process ends with a signal and without an answer."""
    crash = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    run = subprocess.run
    monkeypatch.setattr(
        subprocess, "run", lambda _, **more: run([sys.executable, "-c", crash], **more)
    )
    with pytest.raises(UserError, match=r"crashed \(SIGSEGV\) on 3 image.*of cpu"):
        child.compile_setting(small_config(), "cpu", 3, "")


def test_options_for_cpus_stay_here(monkeypatch):
    """Libtpu cannot compile what XLA:CPU's option leaves in a program."""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
    runtime.configure()
    assert "cse_barrier_expander" in os.environ["XLA_FLAGS"]
    elsewhere = targets.environment(chips.Slice.parse("tpu7x:2x2x1"))
    assert elsewhere["XLA_FLAGS"] == "--xla_cpu_enable_fast_math=false"
    assert elsewhere["TPU_ACCELERATOR_TYPE"] == "tpu7x-8"


def test_estimated_cycles():
    """Loops count their turns; layers of one kind count together."""
    text = (ROOT / "tests/golden/plan_tpu_estimate.txt").read_text()
    compiled = hlo.Program(text)
    assert units.cycles(compiled) == 100 + 50 + 20 + 3 * 7
    assert units.dearest(compiled, sources.Sources(text)) == [
        ["core/networks/layers.py:29", "Net/block_*/pad", 150, 2],
        ["(none)", "copy", 21, 3],
        ["(none)", "__cudnn$conv", 20, 1],
    ]
    assert units.windows(compiled) == [["255x255", 1]]
    kinds = {
        kind: (moved, count) for kind, moved, count in units.moved_by_kind(compiled)
    }
    assert kinds == {"pad": (128, 2), "copy": (192, 3), "__cudnn$conv": (64, 1)}
    layers = units.by_layer(compiled)
    assert layers == [
        ["Net/block_*", 0, 0, 150, 2],
        ["(copies)", 0, 0, 21, 3],
        ["(others)", 0, 0, 20, 1],
    ]
    measured = cost.Cost(True, 1, cycles=191, layers=layers)
    assert re.search(
        r"0\.000 +78\.5% +0\.000 +0\.000 +0\.000 +2 +Net/", tables.layers(measured)
    )
    measured = cost.Cost(True, 1, cycles=191, dearest=[["a:1", "pad", 150, 2]])
    assert "191" not in tables.estimate(measured, 1.5e9)
    assert "0.000 ms at 1.5 GHz" in tables.estimate(measured, 1.5e9)
    assert "78.5%" in tables.dearest(measured)


@pytest.fixture
def no_tpu(monkeypatch):
    """What a process is told that compiles for slices, other than JAX_PLATFORMS."""
    monkeypatch.delenv("XLA_FLAGS", raising=False)  # jaxlib's, which has read them.
    for name, value in targets.environment(chips.Slice.parse("v5e:2x2")).items():
        monkeypatch.setenv(name, value)


@needs_libtpu
@pytest.mark.usefixtures("no_tpu")
@pytest.mark.parametrize(
    "name", ["v4:2x2x1", "v5e:1x1", "v5p:4x4x4", "v6e:16x16", "tpu7x:2x2x1"]
)
def test_slices_of_libtpu(name):
    where = chips.Slice.parse(name)
    assert len(targets.slice_devices(where)) == where.count


@needs_libtpu
@pytest.mark.usefixtures("no_tpu")
def test_shapes_that_libtpu_refuses():
    with pytest.raises(UserError, match="no slice 'v5e:3x5'"):
        targets.slice_devices(chips.Slice.parse("v5e:3x5"))


def compile_for(name, rows):
    """Costs of a small step: three times an average of [rows, 128] numbers."""

    def step(w, x):
        def body(w, part):
            grad = jax.grad(lambda w: jnp.sum((part @ w) ** 2))(w)
            return w - jax.lax.pmean(grad, AXIS), None

        return jax.lax.scan(body, w, x)[0]

    where = targets.slice_devices(chips.Slice.parse(name))
    mapped = jax.pmap(step, AXIS, in_axes=(None, 0), out_axes=None, devices=where)
    shapes = (rows, 128), (len(where), 3, 8, rows)
    return cost.measure(
        mapped.lower(*(jax.ShapeDtypeStruct(s, jnp.float32) for s in shapes))
    )


@needs_libtpu
@pytest.mark.usefixtures("no_tpu")
def test_a_chip_does_the_same_in_every_slice():
    small, large = compile_for("v5e:2x2", 256), compile_for("v5e:16x16", 256)
    # But for the instructions themselves, which lie in memory too.
    assert abs(large.memory - small.memory) < 2**20
    same = {"seconds": small.seconds, "memory": small.memory}
    assert dataclasses.replace(large, **same) == small
    assert small.collective == 3 * 4 * 256 * 128
    assert small.fits


@needs_libtpu
@pytest.mark.usefixtures("no_tpu")
def test_the_compiler_refuses_what_does_not_fit():
    where = targets.slice_devices(chips.Slice.parse("v5e:2x2"))
    mapped = jax.pmap(lambda x: x @ x.T, devices=where)
    found = cost.measure(mapped.lower(jax.ShapeDtypeStruct((4, 99999, 9), jnp.float32)))
    assert not found.fits
    assert found.memory > chips.CHIPS["v5e"].usable


@needs_libtpu
@pytest.mark.usefixtures("no_tpu")
def test_several_images_are_not_cut_into_strips():
    """In strips (space to batch) they take four times as long, by XLA's estimate."""

    def layer(x, kernel):
        def forward(x, kernel):
            y = convolutions.conv(x, kernel, stride=2, padding=1)
            return jax.nn.relu(statistics.standardise(y).astype(x.dtype))

        y, vjp = jax.vjp(forward, x, kernel)
        return vjp(y)

    where = targets.slice_devices(chips.Slice.parse("v5e:1x1"))
    shapes = (1, 4, 64, 64, 64), (1, 3, 3, 64, 128)
    lowered = jax.pmap(layer, devices=where).lower(
        *(jax.ShapeDtypeStruct(shape, jnp.bfloat16) for shape in shapes)
    )
    options = [{}, xla_options.of_networks(where[0].platform, images=4)]
    strips, whole = (cost.measure(lowered, 1, o).cycles for o in options)
    assert 0 < whole < strips / 2


@needs_cuda
@pytest.mark.slow
@pytest.mark.parametrize("name", [*cards.CARDS, "h100:8"])
def test_cards_that_are_not_here(name, tmp_path):
    """The step of a small ResNet, compiled by the CUDA plugin."""
    answer = child.compile_setting(small_config(), name, 1, str(tmp_path))
    where = cards.Cards.parse(name)
    assert (answer["count"], answer["title"]) == (where.count, where.name)
    found = cost.Cost(**answer["cost"])
    assert found.fits
    assert found.memory < 2**30
    assert found.flops > 1e8
    kinds = {kind for kind, _, _ in found.kinds}
    assert "__cudnn$convBackwardFilter" in kinds
    # No convolution sees a whole image at once: see test_convolution_windows.py.
    assert {sides for sides, _ in found.windows} == {"3x3", "4x4", "7x7"}
    assert bool(found.collectives) == (where.count > 1)
