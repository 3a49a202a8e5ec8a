"""Learning rates at the epochs where the published variants differ."""

import numpy as np
import pytest

from cyclegan_jax.core import schedules

EPOCHS = (1, 99, 100, 101, 102, 199, 200)
EXPECTED = {
    "linear": (1, 1, 1, 100 / 101, 99 / 101, 2 / 101, 1 / 101),
    "linear_2020": (1, 1, 100 / 101, 99 / 101, 98 / 101, 1 / 101, 0),
    "linear_lua": (1, 1, 1, 1, 0.99, 0.02, 0.01),
    "step": (1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001),
    "cosine": tuple((1 + np.cos(np.pi * (e - 1) / 100)) / 2 for e in EPOCHS),
    "constant": (1,) * 7,
}


@pytest.mark.parametrize("policy", schedules.POLICIES)
def test_published_values(policy):
    schedule = schedules.learning_rate(
        policy, initial=2e-4, steps_per_epoch=7, constant_epochs=100, decay_epochs=100
    )
    for epoch, expected in zip(EPOCHS, EXPECTED[policy], strict=True):
        first, last = (epoch - 1) * 7, epoch * 7 - 1
        for count in (first, last):
            actual = schedule(np.int32(count))
            np.testing.assert_allclose(actual, 2e-4 * expected, rtol=2e-5, atol=2e-11)


def test_no_decay_epochs():
    schedule = schedules.learning_rate(
        "linear_lua", initial=1.0, steps_per_epoch=3, constant_epochs=2, decay_epochs=0
    )
    assert schedule(np.int32(5)) == 1.0


def test_unknown_policy():
    with pytest.raises(ValueError, match="linear_2020"):
        schedules.multiplier("plateau", 1, 1, 1, 1)
