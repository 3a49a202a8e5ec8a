"""Evaluates a run's generators on the test split: images, metrics and pages."""

import importlib

_HOMES = {
    "Evaluator": "evaluator",
    "FeatureNetworks": "feature_networks",
    "describe": "history",
    "evaluate": "checkpoint",
    "evaluate_all": "history",
    "open_evaluator": "checkpoint",
}
__all__ = list(_HOMES)


def __getattr__(name: str):
    """Imports what is asked for: `evaluate.py --help` needs no JAX."""
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
