"""Two CPU devices, so that every test of parallel code runs anywhere."""

import gc
import os
import pathlib
import shutil
import tempfile

import jax
import pytest

jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)  # Compiles faster.

# Many tests compile the same step: each compiles it once in a session.
_CACHE = tempfile.TemporaryDirectory(prefix="cyclegan_jax_tests_")
os.environ["JAX_COMPILATION_CACHE_DIR"] = _CACHE.name  # For programs that tests start.
jax.config.update("jax_compilation_cache_dir", _CACHE.name)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Linux gives a process 65,530 memory maps, and a compiled program takes dozens."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture
def open_page():
    """Opens pages from disk in Chromium; they may not complain about anything."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    problems = []

    def open_(path, query="", **options):
        page = browser.new_page(**options)
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        page.goto(pathlib.Path(path).as_uri() + query)
        return page

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield open_
        browser.close()
    assert problems == []
