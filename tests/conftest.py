"""Two CPU devices, so that every test of parallel code runs anywhere."""

import gc
import tempfile

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # Compiles faster.

# Many tests compile the same step: each compiles it once in a session.
_CACHE = tempfile.TemporaryDirectory(prefix="cyclegan_jax_tests_")
jax.config.update("jax_compilation_cache_dir", _CACHE.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Linux gives a process 65,530 memory maps, and a compiled program takes dozens."""
    yield
    jax.clear_caches()
    gc.collect()
