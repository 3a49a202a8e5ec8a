"""Ends a program in one sentence where Python or a package that it needs is missing.

Everything here is in the standard library, and old Pythons can read it: it is imported
before anything else, for example by `python3 train.py` before an installation.
"""

import importlib.util
import pathlib
import sys

OLDEST = (3, 11)
# The names by which the packages of requirements.txt are imported.
PACKAGES = (
    *("absl", "array_record", "av", "dm_pix", "etils", "flatbuffers", "flax", "grain"),
    *("jax", "jinja2", "ml_collections", "ml_dtypes", "numpy", "optax", "orbax"),
    *("PIL", "pooch", "requests", "safetensors", "tensorboardX"),
    *("tensorflow_datasets", "tensorstore", "tqdm"),
)
_ROOT = pathlib.Path(__file__).parent.parent.parent


def problem(root: pathlib.Path = _ROOT) -> str:
    """Says what is missing and how to get it; "" where all is there.

    Args:
      root: the clone, if this is one.
    """
    if sys.version_info < OLDEST:
        here = ".".join(map(str, sys.version_info[:2]))
        return (
            f"cyclegan_jax needs Python 3.11 or newer, and this is Python {here};"
            " name a newer one: make venv PYTHON=python3.12"
        )
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return ""
    some = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
    if (root / ".venv/.installed").exists():
        how = "they are in .venv: source .venv/bin/activate"
    elif (root / "requirements.txt").exists():
        how = f"to install them in .venv: cd {root} && make venv"
        how += " && source .venv/bin/activate"
    else:
        how = "to install them: pip install cyclegan_jax"
    return f"{len(missing)} packages are missing ({some}); {how}"


if _problem := problem():
    print(f"error: {_problem}", file=sys.stderr)
    raise SystemExit(2)
