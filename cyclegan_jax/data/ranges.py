"""What the images of a domain are, as their settings declare it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cyclegan_jax.errors import UserError
from cyclegan_jax.images import DTYPES, FLOATS, Pixels

_PICTURE_CHANNELS = (1, 3, 4)


def declared(settings: Mapping[str, Any], domain: str) -> Pixels:
    """Reads how images of a domain are stored from their settings.

    Args:
      settings: with "dtype_a", "range_a", "channels_a" and "shown_a", if `domain` is
        "a"; such as the group `data` of a config.
      domain: "a" or "b".

    Raises:
      UserError: they contradict each other, or the range of floats is missing.
    """
    names = ("dtype", "channels", "range", "shown")
    dtype, channels, limits, shown = (settings[f"{name}_{domain}"] for name in names)

    def wrong(name, text):
        value = settings[f"{name}_{domain}"]
        return UserError(f"config.data.{name}_{domain} is {value!r}; {text}")

    if dtype not in DTYPES:
        raise wrong("dtype", f"it can be {', '.join(DTYPES)}")
    if not 1 <= channels <= 32:
        raise wrong("channels", "it can be 1 to 32")
    picture = dtype == "uint8" and not limits
    if picture and channels not in _PICTURE_CHANNELS:
        raise wrong(
            "channels",
            f"pictures can have 1, 3 or 4 channels, not {channels}: if these are"
            f" measured values, declare config.data.range_{domain}='0, 255'",
        )
    if dtype in FLOATS and not limits:
        raise wrong("range", f"for {dtype} give the lowest and the highest value")
    info = np.finfo(dtype) if dtype in FLOATS else np.iinfo(dtype)
    try:
        shown = tuple(map(int, numbers(shown)))
    except (TypeError, ValueError):
        raise wrong("shown", "give whole numbers, such as 3, 2, 1") from None
    try:
        low, high = map(float, numbers(limits) or (info.min, info.max))
    except (TypeError, ValueError):
        raise wrong("range", "give two numbers, such as 0, 65535") from None
    if not info.min <= low < high <= info.max:
        raise wrong(
            "range",
            f"give a lower and a higher value of {dtype}, {info.min} to {info.max}",
        )
    if problem := _problem_in_float32(dtype, low, high):
        raise wrong("range", problem)
    if dtype not in FLOATS and not (low.is_integer() and high.is_integer()):
        raise wrong("range", f"{dtype} needs whole numbers")
    if any(not 0 <= c < channels for c in shown) or (len(shown) not in (0, 1, 3)):
        raise wrong(
            "shown", f"give one or three channels of 0 to {channels - 1}, or none"
        )
    if shown and picture:
        raise wrong(
            "shown", f"pictures are shown in colour (give range_{domain}='0, 255' too)"
        )
    shown = shown or ((0, 1, 2) if channels >= 3 else (0,))
    return Pixels(dtype, low, high, channels, not picture, shown)


def _problem_in_float32(dtype: str, low: float, high: float) -> str:
    """Why values of a range lose too much in float32, in which they are kept."""
    if dtype not in FLOATS:
        return ""
    if max(abs(low), abs(high), high - low) > float(np.finfo(np.float32).max):
        return "values are kept in float32, for which they are too large: scale them"
    finest = np.spacing(np.float32(max(abs(low), abs(high))))
    if dtype == "float64" and finest > (high - low) * 2.0**-16:
        return (
            "values are kept in float32, which has fewer than 65536 steps there:"
            " subtract from all of them what they have in common"
        )
    return ""


def numbers(given: str | Sequence[float]) -> list[Any]:
    """The parts of a text such as "0, 65535", with or without brackets; or numbers."""
    if not isinstance(given, str):
        return list(given)
    return [part for part in given.strip(" ()[]").split(",") if part.strip()]
