"""Finds our networks in PyTorch files of any structure, and their roles."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files.tensors import Other
from cyclegan_jax.torch_weights.layers import common_prefix
from cyclegan_jax.torch_weights.recognition import Recognised, recognise

ROLES = ("g_ab", "g_ba", "d_a", "d_b")
# Parts of whole networks that were saved as objects, between the names of layers.
_PLUMBING = ("_modules", "_parameters", "_buffers")
_AVERAGE = re.compile(
    r"(?:^|[._])(?:ema|swa|avg|averaged?|shadow)(?=[._]|$)|(?<=[gdab_])ema(?=[._]|$)"
)
_HEAD = re.compile(r"(?:^|\.)mlp_\d+\.\d+\.(?:weight|bias)$")
_OPTIMIZERS = ("momentum_buffer", "exp_avg", "exp_avg_sq", "square_avg")
# What `torch_files` reads of tensors that are not stored as plain numbers.
_UNUSUAL = ("a tensor", "a quantized", "a sparse", "a nested")
# The end of a name -> a generator's direction; the authors' G_A translates A.
_HINTS = (
    ("g_ab", r"a_?(?:2|to)_?b|g?_?ab|x_?(?:2|to)_?y|g?_?xy|(?:net)?_?g_?a"),
    ("g_ba", r"b_?(?:2|to)_?a|g?_?ba|y_?(?:2|to)_?x|g?_?yx|(?:net)?_?g_?b"),
)
# The authors' D_A discriminates images of B.
_DISCRIMINATOR_HINTS = (("d_b", r"net_?d_?a"), ("d_a", r"net_?d_?b"))


@dataclasses.dataclass(frozen=True)
class Part:
    """A network in a file.

    Attributes:
      where: the names before those of its layers, with dots; "" for the whole file.
      name: as far as the names of all its tensors agree.
      network: what it is.
    """

    where: str
    name: str
    network: Recognised

    @property
    def is_average(self) -> bool:
        """Whether its name says that it is a moving average."""
        return _AVERAGE.search(self.name.lower()) is not None

    @property
    def base(self) -> str:
        """Its name without what says that it is an average."""
        return _AVERAGE.sub("", self.name.lower()).strip("._")


@dataclasses.dataclass(frozen=True)
class Contents:
    """What is in a file.

    Attributes:
      source: the file's name.
      parts: the networks.
      left_out: what else is there, and why it was left out where that may surprise.
    """

    source: str
    parts: tuple[Part, ...]
    left_out: tuple[str, ...]


def look(
    leaves: Mapping[tuple[str, ...], Any], source: str, norm: str = ""
) -> Contents:
    """Finds the networks among all that a file holds.

    Args:
      leaves: what `torch_files.read_all` gives.
      source: the file's name, for messages.
      norm: see `recognise`.

    Raises:
      UserError: there is none; says why the largest table of tensors is none.
    """
    tensors, others = _divide(leaves)
    if not tensors:
        raise UserError(f"{source} holds no tensors{_unusable(leaves)}.")
    search = _Search(source, norm)
    top = ".".join(
        common_prefix(
            tuple(p for p in path[:-1] if p not in _PLUMBING)
            for path in leaves
            if path not in others
        )
    )
    inside = {name.removeprefix(f"{top}."): value for name, value in tensors.items()}
    search.descend(top, inside)
    if all(_HEAD.search(name) for name in tensors):
        raise UserError(
            f"{source} holds the heads of CUT's loss, which are not imported: leave it"
            " out."
        )
    if not search.parts and top not in search.errors:
        raise UserError(
            f"{source} is not one of our networks: it has no convolution (a tensor of"
            f" four dimensions){_unusable(leaves)}."
        )
    if not search.parts:
        reason = str(search.errors[top]).removesuffix(".")
        raise UserError(f"{reason}{_unusable(leaves)}.")
    left_out = [
        _outside(path, search.parts) for path in others if not _is_plumbing(path)
    ]
    for where, error in search.errors.items():
        below = f"{where}." if where else ""
        if not any(part.where.startswith(below) for part in search.parts):
            reason = str(error).removeprefix(f"{source} is not one of our networks: ")
            left_out.append(f"{where} ({reason.removesuffix('.')})")
    said = [part.where for part in search.parts] + list(filter(None, search.errors))
    left_out += [
        _outside(name.split("."), search.parts)
        for name in tensors
        if not any(
            f"{name}.".startswith(f"{where}." if where else "") for where in said
        )
    ]
    return Contents(source, tuple(search.parts), tuple(dict.fromkeys(left_out)))


def _outside(names, parts):
    """The shortest beginning of some names that does not lead to a network."""
    beginnings = (".".join(names[: i + 1]) for i in range(len(names)))
    for beginning in beginnings:
        if not any(f"{part.where}.".startswith(f"{beginning}.") for part in parts):
            break
    return beginning[:80]


def _unusable(leaves):
    """Names the first of the tensors whose numbers cannot be used."""
    for path, value in leaves.items():
        if isinstance(value, Other) and value.what.startswith(_UNUSUAL):
            return (
                f", but {value.what} ({'.'.join(path)[:80]!r}): in PyTorch, save the"
                " state_dict() with ordinary tensors"
            )
    return ""


def _is_plumbing(path):
    """Whether a value only says how a network that was saved as an object works."""
    return path[-1] in ("training", "_is_full_backward_hook") or any(
        part in _PLUMBING for part in path
    )


def _divide(leaves):
    """Tensors by full names, and the paths of everything else."""
    states = {path[:-1] for path in _prefixes(leaves) if path[-1:] == ("param_groups",)}
    tensors: dict[str, np.ndarray] = {}
    others: dict[tuple[str, ...], None] = {}
    for path, value in leaves.items():
        is_state = any(path[:i] in states for i in range(len(path)))
        is_state = is_state or path[-1] in _OPTIMIZERS
        name = ".".join(part for part in path if part not in _PLUMBING)
        if is_state or not isinstance(value, np.ndarray):
            others[path] = None
        elif name in tensors:
            raise UserError(f"two of its tensors have the name {name[:80]!r}.")
        else:
            tensors[name] = value
    return tensors, others


def _prefixes(leaves):
    return {path[:i] for path in leaves for i in range(1, len(path) + 1)}


class _Search:
    """Goes down the names until what is below is a network."""

    def __init__(self, source: str, norm: str):
        self._source, self._norm = source, norm
        self.parts: list[Part] = []
        self.errors: dict[str, UserError] = {}

    def descend(self, where: str, tensors: Mapping[str, np.ndarray]) -> None:
        """Searches the tensors under the prefix `where`; their names are without it."""
        if not any(value.ndim == 4 for value in tensors.values()):
            if where and any(value.ndim for value in tensors.values()):
                self.errors[where] = UserError("no convolution in it.")
            return
        try:
            network = recognise(tensors, self._source, self._norm)
        except UserError as error:
            if "--norm" in str(error):
                raise
            self.errors[where] = error
        else:
            shared = common_prefix(name.split(".")[:-1] for name in tensors)
            name = ".".join([where, *shared] if where else shared)
            self.parts.append(Part(where, name, network))
            return
        below: dict[str, dict[str, np.ndarray]] = {}
        for name, value in tensors.items():
            first, _, rest = name.partition(".")
            if rest:
                below.setdefault(first, {})[rest] = value
        before = len(self.parts)
        for name, inside in below.items():
            self.descend(f"{where}.{name}" if where else name, inside)
        if len(self.parts) == before:  # The error above says more than those below.
            inner = [key for key in self.errors if key.startswith(f"{where}.")]
            for key in inner if where else [key for key in self.errors if key]:
                del self.errors[key]


def hint(text: str, kind: str) -> str:
    """Returns what a name says about a network: one of `ROLES`, or "".

    Args:
      text: names with dots between them; the last that says something counts.
      kind: "generator" or "discriminator".
    """
    start, end = "(?:^|_|gen|netg)", r"(?:_|$|\d)"
    for part in reversed(text.lower().replace("-", "_").split(".")):
        for role, pattern in _HINTS if kind == "generator" else _DISCRIMINATOR_HINTS:
            if re.search(f"{start}(?:{pattern}){end}", part):
                return role
    return ""
