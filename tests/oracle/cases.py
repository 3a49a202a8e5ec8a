"""Reads the golden files: what PyTorch computed, for machines without PyTorch.

Needs only NumPy. A case is a dict of arrays, plus "config", a plain dict. Images are
channels last; everything under "state/", "after.../" is a PyTorch state_dict (its key
names, its layouts). `tests/oracle/golden.py` says what each kind of case holds.
"""

import json
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def case_names(prefix: str = "") -> list[str]:
    """Names of the golden cases that start with `prefix`, sorted."""
    return sorted(path.stem for path in GOLDEN.glob(f"{prefix}*.npz"))


def load_case(name: str) -> dict:
    """Loads a golden case: its arrays by key, and "config" as a dict."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        case = {key: file[key] for key in file.files}
    return case | {"config": json.loads(str(case["config"]))}


def subtree(case: dict, prefix: str) -> dict[str, np.ndarray]:
    """The arrays under `prefix/`, without that prefix: `subtree(case, "state")`."""
    start = prefix.rstrip("/") + "/"
    return {k[len(start) :]: v for k, v in case.items() if k.startswith(start)}
