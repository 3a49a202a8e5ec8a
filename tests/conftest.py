"""Two CPU devices, so that every test of parallel code runs anywhere."""

import gc
import os
import pathlib
import shutil
import tempfile

os.environ["JAX_PLATFORMS"] = "cpu"
# Compiles six times faster, here and in the programs that tests start. XLA's older
# emitters of fusions are slower when they optimise, and much faster when they do not.
os.environ["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "true"
import jax
import jax.numpy as jnp
import pytest

from cyclegan_jax.machine import xla_options

_OPTIONS = (
    "--xla_cpu_use_fusion_emitters=false",  # JAX 0.10 alone.
    "--xla_cpu_parallel_codegen_split_count=1",  # Workers keep the cores busy.
    "--xla_disable_hlo_passes=cse_barrier_expander",  # As `runtime` says.
)
os.environ["XLA_FLAGS"] = " ".join(xla_options.accepted(_OPTIONS))

jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")

# Many tests compile the same step: it is compiled once, for all of pytest's workers and
# for the programs that tests start.
_CACHE = "JAX_COMPILATION_CACHE_DIR"
if "PYTEST_XDIST_WORKER" not in os.environ or _CACHE not in os.environ:
    _folder = tempfile.TemporaryDirectory(prefix="cyclegan_jax_tests_")
    os.environ[_CACHE] = _folder.name
jax.config.update("jax_compilation_cache_dir", os.environ[_CACHE])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)

# Files that take longest: they come first, so that no worker is left alone with one.
_LONG = (
    *("test_processes.py", "test_same_bits.py", "test_reproducible.py"),
    *("test_methods.py", "test_loop.py", "test_study.py"),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long files first; within files, and among the others, the order stays."""
    items.sort(key=lambda item: item.path.name not in _LONG)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Linux gives a process 65,530 memory maps, and a compiled program takes dozens."""
    yield
    jax.clear_caches()
    gc.collect()


@pytest.fixture(autouse=True, scope="module")
def _trace_alike_steps_once():
    """Trainers of one file share the step that they would trace alike."""
    from cyclegan_jax.machine.devices import Devices
    from cyclegan_jax.runs.experiment import Experiment

    shared, pmap = {}, Devices.pmap
    schedule, optimizer = Experiment.schedule, Experiment.optimizer

    def shared_schedule(self, steps_per_epoch):
        key = (self.config.optimizer.to_json(), steps_per_epoch)
        return shared.setdefault(key, schedule(self, steps_per_epoch))

    def shared_optimizer(self, schedule):
        key = (self.config.optimizer.to_json(), schedule)
        return shared.setdefault(key, optimizer(self, schedule))

    def shared_pmap(self, step):
        known = step.keywords | {"method": repr(step.keywords["method"])}
        key = (step.func, *known.items(), self.count, self.per_device)
        return shared.setdefault(key, pmap(self, step))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Experiment, "schedule", shared_schedule)
        patch.setattr(Experiment, "optimizer", shared_optimizer)
        patch.setattr(Devices, "pmap", shared_pmap)
        yield


@pytest.fixture
def in_double_precision(monkeypatch):
    """What our code computes in float32, it computes in float64.

    For what must be equal but for the order of sums: in float32, rounding now and then
    flips a ReLU, or the sign of a difference in an L1 loss, and with it the gradient of
    a whole pixel.
    """
    monkeypatch.setattr(jnp, "float32", jnp.float64)
    with jax.enable_x64(True):
        yield


@pytest.fixture
def browser():
    """Chromium."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Opens pages, by path or address, in Chromium; they may not complain."""
    problems = []

    def open_(path, query="", **options):
        page = browser.new_page(**options)
        page.set_default_timeout(180_000)  # Other tests keep the machine busy.
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("requestfailed", lambda request: problems.append(request.url))
        served = str(path).startswith("http:")
        page.goto((str(path) if served else pathlib.Path(path).as_uri()) + query)
        return page

    yield open_
    assert problems == []
