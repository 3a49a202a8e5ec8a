"""Images as arrays and as files."""

import numpy as np


def to_float(x):
    """uint8 to float32 in [-1, 1]."""
    return x.astype("float32") / 127.5 - 1.0


def to_uint8(x):
    """float32 in [-1, 1] to uint8."""
    return np.clip(np.rint((x + 1.0) * 127.5), 0, 255).astype(np.uint8)
