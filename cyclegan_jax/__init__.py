"""CycleGAN in pure JAX: exact, fast, readable, reproducible.

from cyclegan_jax import Translator, load_config, train

train(load_config("streets:smoke"), "runs/first")
zebra = Translator.load("runs/first", "AtoB")(photograph)  # uint8 [H, W, 3]
"""

import importlib

__version__ = "0.2.0"
__all__ = ["Translator", "__version__", "load_config", "train"]
_HOMES = {
    "Translator": "cyclegan_jax.translation.translator",
    "load_config": "cyclegan_jax.api",
    "train": "cyclegan_jax.api",
}


def __getattr__(name: str):
    """Imports what users need when they ask for it: importing JAX takes seconds."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
