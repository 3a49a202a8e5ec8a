"""How good a run's generators are on the test split: pictures, numbers and pages."""

from cyclegan_jax.evaluation.checkpoint import evaluate, open_test_split
from cyclegan_jax.evaluation.evaluator import Direction, TestSplit
from cyclegan_jax.evaluation.feature_networks import Judges
from cyclegan_jax.evaluation.history import describe, evaluate_all

__all__ = [
    "Direction",
    "Judges",
    "TestSplit",
    "describe",
    "evaluate",
    "evaluate_all",
    "open_test_split",
]
