"""A setting: its type, its limits, and whether a resumed run can change it."""

import dataclasses
import enum
import math
from collections.abc import Callable
from typing import Any

from cyclegan_jax.errors import UserError


class Change(enum.Enum):
    """Whether a setting can change when a run is resumed."""

    FREE = "it changes what is written, or where data are, not what is computed"
    ROUNDING = "the same results, up to rounding"
    NOTED = "other results, on request (--allow_changes), and noted in run.json"
    NEVER = "the checkpoint would not fit"


@dataclasses.dataclass(frozen=True)
class Setting:
    """A setting.

    Attributes:
      default: its published value if there is one; all values have this type.
      about: one line of description, with the unit.
      choices: the allowed values, or a function that returns them.
      least: the smallest allowed number.
      most: the largest allowed number.
      change: whether it can change when a run is resumed.
    """

    default: Any
    about: str
    choices: tuple | Callable[[], Any] | None = None
    least: float = -math.inf
    most: float = math.inf
    change: Change = Change.NOTED

    def check(self, name: str, value: Any) -> None:
        """Checks a value.

        Raises:
          UserError: its type or value is not allowed.
        """
        kind = type(self.default)
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or (kind is float and not math.isfinite(value)):
            raise UserError(f"{name} is {value!r}; it must be {_KINDS[kind]}.")
        choices = self.choices() if callable(self.choices) else self.choices
        if choices is not None and value not in choices:
            known = ", ".join(map(str, choices))
            raise UserError(f"{name} is {value!r}; it can be {known}.")
        if kind in (int, float) and not self.least <= value <= self.most:
            limit = f" to {self.most}" if self.most < math.inf else " or more"
            raise UserError(f"{name} is {value}; it must be {self.least}{limit}.")


_KINDS = {
    str: "a text",
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
}
