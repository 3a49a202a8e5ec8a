"""How a process is set up: options, and the cache of compiled programs."""

import os
import platform
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from cyclegan_jax.core.networks.convolutions import bfloat16
from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import environment, pmapped, runtime, xla_options

PROGRAM = """
import sys
from cyclegan_jax.machine import runtime
runtime.configure(sys.argv[1])
import jax
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: x * 2 + 1)(3.0)
print("hit" if "/jax/compilation_cache/cache_hits" in hits else "miss")
"""


@pytest.fixture
def settings(monkeypatch):
    """Lets a test change the environment and JAX's settings."""
    folder = jax.config.jax_compilation_cache_dir
    least = jax.config.jax_persistent_cache_min_compile_time_secs
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "")
    yield monkeypatch
    jax.config.update("jax_compilation_cache_dir", folder)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", least)


def test_a_program_is_compiled_once(tmp_path):
    environment = dict(os.environ)
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "cache")]
    said = [
        subprocess.check_output(command, env=environment, text=True).strip()
        for _ in range(2)
    ]
    assert said == ["miss", "hit"]


FREED = """
import pathlib
from cyclegan_jax.machine import runtime

def held():
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20

runtime.configure()
before = held()
blocks, top = [bytearray(100_000) for _ in range(2_000)], bytearray(100_000)
del blocks
kept = held() - before
runtime.give_back_memory()
print(round(kept), round(held() - before))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
def test_freed_memory_is_kept_until_given_back():
    said = subprocess.check_output([sys.executable, "-c", FREED], text=True)
    kept, left = map(int, said.split())
    assert kept > 180  # MiB, of 191.
    assert left < 20


def test_options_of_the_user_stay(settings):
    runtime.configure()
    assert "--xla_cpu_experimental_ynn_fusion_type=reduce" in os.environ["XLA_FLAGS"]
    own = "--xla_cpu_experimental_ynn_fusion_type=dot --xla_disable_hlo_passes=x"
    settings.setenv("XLA_FLAGS", own)
    runtime.configure()
    assert os.environ["XLA_FLAGS"] == own


def test_library_for_products_of_bfloat16(settings):
    settings.setattr(runtime, "_given_flags", None)
    settings.setattr(runtime, "_has_matrix_unit", lambda: True)
    runtime.compute_in("bfloat16")
    assert os.environ["XLA_FLAGS"] == ""  # Not without `configure`.
    runtime.configure()
    runtime.compute_in("float32")
    assert not bfloat16.uses_matrix_unit()
    settings.setattr(runtime, "_has_matrix_unit", lambda: False)
    runtime.compute_in("bfloat16")
    assert not bfloat16.uses_matrix_unit()
    settings.setattr(runtime, "_has_matrix_unit", lambda: True)
    runtime.compute_in("bfloat16")
    assert bfloat16.uses_matrix_unit()
    own = "--xla_cpu_experimental_ynn_fusion_type=reduce"
    settings.setenv("XLA_FLAGS", own)
    runtime.configure()
    runtime.compute_in("bfloat16")
    assert own in os.environ["XLA_FLAGS"].split()


def test_options_for_cpus_only(settings):
    settings.setenv("JAX_PLATFORMS", "cpu")
    runtime.configure()
    assert "--xla_disable_hlo_passes=cse_barrier_expander" in os.environ["XLA_FLAGS"]
    settings.setenv("XLA_FLAGS", "")
    settings.setenv("JAX_PLATFORMS", "")
    settings.setattr(runtime.metadata, "entry_points", lambda group: ["a GPU's"])
    runtime.configure()
    assert "xla_disable_hlo_passes" not in os.environ["XLA_FLAGS"]


def test_cache_folder(settings, tmp_path):
    settings.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert runtime.default_cache() == f"{tmp_path}/cyclegan_jax/programs"
    runtime.configure(runtime.default_cache())
    assert jax.config.jax_compilation_cache_dir.startswith(str(tmp_path))
    assert str(tmp_path) in runtime.describe_cache()


@pytest.mark.parametrize("cache", [None, ""])
def test_no_cache(settings, cache):
    jax.config.update("jax_compilation_cache_dir", None)
    runtime.configure(cache)
    assert jax.config.jax_compilation_cache_dir is None
    assert runtime.describe_cache() == "compiled for this run alone"


def test_jax_own_variable_comes_first(settings, tmp_path):
    settings.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    runtime.configure(str(tmp_path / "cache"))
    assert not (tmp_path / "cache").exists()


def test_a_cache_that_cannot_be_written(settings, tmp_path):
    jax.config.update("jax_compilation_cache_dir", None)
    (tmp_path / "file").touch()
    runtime.configure(str(tmp_path / "file" / "cache"))
    assert jax.config.jax_compilation_cache_dir is None


def test_old_programs_are_removed(settings, tmp_path):
    runtime.configure(str(tmp_path))
    (folder,) = tmp_path.iterdir()  # Of this processor.
    for name, days in (("old", 61), ("new", 59)):
        (folder / name).touch()
        then = time.time() - days * 86400
        os.utime(folder / name, (then, then))
    runtime.configure(str(tmp_path))
    assert [file.name for file in folder.iterdir()] == ["new"]


def test_options_that_xla_does_not_know(settings, tmp_path):
    """They would end this process: "Unknown flag in XLA_FLAGS"."""
    settings.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = "--xla_cpu_enable_fast_math=false"
    gone, wrong = "--xla_gone=1", "--xla_cpu_enable_fast_math=perhaps"
    assert xla_options.accepted([own, gone, wrong]) == [own]
    settings.setattr(subprocess, "run", None)  # All is remembered now.
    assert xla_options.accepted([own, gone, wrong]) == [own]


def test_a_try_that_did_not_end_is_not_remembered(settings, tmp_path):
    """On a busy machine it takes too long: that says nothing about the option."""
    settings.setenv("XDG_CACHE_HOME", str(tmp_path))
    own = ["--xla_cpu_enable_fast_math=false"]
    with settings.context() as patch:
        patch.setattr(xla_options, "_PATIENCE", 0.0)
        assert xla_options.accepted(own) == []
    assert xla_options.accepted(own) == own


def test_unknown_options_of_the_user_are_named(settings, tmp_path):
    settings.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false --xla_gone=1")
    with pytest.raises(UserError, match=r"XLA_FLAGS has --xla_gone=1, which jaxlib"):
        runtime.configure()


def test_options_of_ours_that_are_gone(settings, tmp_path):
    settings.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings.setattr(runtime, "_XLA_OPTIONS", {"xla_gone": 1, runtime._YNNPACK: "dot"})
    runtime.configure()
    assert "xla_gone" not in os.environ["XLA_FLAGS"]
    assert runtime._YNNPACK in os.environ["XLA_FLAGS"]
    settings.setattr(environment, "_has_gpu_plugin", lambda: True)
    settings.setattr(environment, "_DETERMINISTIC", "--xla_gpu_gone")
    with pytest.raises(UserError, match=r"config\.deterministic=False"):
        environment.make_deterministic(True)


def test_a_step_compiles_without_options_that_are_gone(capsys):
    """As those of TPUs are here; a mistake of ours remains one."""
    lowered = jax.jit(lambda x: 2 * x).lower(jax.ShapeDtypeStruct((), "float32"))
    options = xla_options.of_networks("tpu", 4)
    assert pmapped.compile_with(lowered, options)(np.float32(3)) == 6
    assert (
        f"lacks an option of {', '.join(options)}: batches" in capsys.readouterr().err
    )
    for other, images in (("tpu", 1), ("gpu", 4), ("cpu", 4)):
        assert xla_options.of_networks(other, images) == {}
    assert pmapped.compile_with(lowered, {})(np.float32(3)) == 6
    assert not capsys.readouterr().err
    with pytest.raises(jax.errors.JaxRuntimeError, match="not a valid bool"):
        pmapped.compile_with(lowered, {"xla_cpu_enable_fast_math": "perhaps"})


def test_without_a_home_it_is_asked_each_time(settings):
    settings.setenv("HOME", "")
    settings.setenv("XDG_CACHE_HOME", "")
    assert xla_options.accepted(["--xla_gone=1"]) == []
