"""Tests; what several files share."""

from collections.abc import Collection, Sequence
from typing import Any

import pytest


def slow_but(quick: Collection[Any], cases: Sequence[Any]) -> list[Any]:
    """Returns the cases of a test, of which all but the quick ones are slow."""
    if missing := [case for case in quick if case not in cases]:
        raise ValueError(f"no such cases: {missing}")
    return [
        case
        if case in quick
        else pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow
        )
        for case in cases
    ]
