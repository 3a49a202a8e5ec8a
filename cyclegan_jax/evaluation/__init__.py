"""Evaluates a run's generators on the test split: images, metrics and pages."""

from cyclegan_jax.evaluation.checkpoint import evaluate, open_evaluator
from cyclegan_jax.evaluation.evaluator import Evaluator
from cyclegan_jax.evaluation.feature_networks import FeatureNetworks
from cyclegan_jax.evaluation.history import describe, evaluate_all

__all__ = [
    "Evaluator",
    "FeatureNetworks",
    "describe",
    "evaluate",
    "evaluate_all",
    "open_evaluator",
]
