"""Parity with PyTorch's golden training steps on the device that JAX uses by default.

    JAX_DEFAULT_MATMUL_PRECISION=highest python -m benchmarks.parity
    python -m benchmarks.parity train_lsgan_adam     # Of tests/golden.

The tests do the same on CPUs. GPUs multiply float32 in TF32 unless told otherwise,
which the tests' tolerances do not allow for.
"""

import sys

import jax
import pytest

from tests import test_parity


def main() -> int:
    failed = 0
    for name in sys.argv[1:] or test_parity.TRAINING:
        with pytest.MonkeyPatch.context() as patch:
            try:
                test_parity.test_training(name, patch)
                outcome = "equal within the tests' tolerances"
            except AssertionError as error:
                failed, outcome = 1, " ".join(str(error).split())[:300]
        print(f"parity of {name} on {jax.devices()[0].device_kind}: {outcome}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
