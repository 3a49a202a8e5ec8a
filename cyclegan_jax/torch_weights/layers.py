"""Convolutions and their norms, in order, from tensors whatever their names are.

Names are a hint: which tensors belong to one layer, which of them is its bias, and in
which order the layers are where a file does not keep it (`.safetensors` sorts them).
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

# The last part of a tensor's name -> what it is, in PyTorch's order.
_LEAVES = {
    "weight": "weight",
    "kernel": "weight",
    "gamma": "weight",
    "scale": "weight",
    "bias": "bias",
    "beta": "bias",
    "running_mean": "mean",
    "running_var": "var",
    "num_batches_tracked": "count",
}
_RANKS = list(dict.fromkeys(_LEAVES.values()))
# Where nothing is said: how many vectors follow a kernel -> what they are.
_BY_NUMBER = {
    0: (),
    1: ("bias",),
    2: ("norm_weight", "norm_bias"),
    3: ("bias", "norm_weight", "norm_bias"),
    4: ("norm_weight", "norm_bias", "norm_mean", "norm_var"),
    5: ("bias", "norm_weight", "norm_bias", "norm_mean", "norm_var"),
}
_REPARAMETRISED = re.compile(r"(weight_(orig|u|v|g)|original[01]?|_[uv])$")
_MOST_GROUPS = 6  # Whose order is tried where a file does not keep it.


class NoNetwork(Exception):
    """Why tensors are none of our networks: the second half of a sentence."""


@dataclasses.dataclass
class Convolution:
    """A convolution and the norm after it.

    Attributes:
      name: of the layer, or of its kernel.
      weight: the kernel as PyTorch has it.
      bias: or None.
      norm: what is there of "weight", "bias", "mean", "var" and "count".
    """

    name: str
    weight: np.ndarray
    bias: np.ndarray | None = None
    norm: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def add(self, kind: str, value: np.ndarray, name: str) -> None:
        """Adds a tensor of the convolution ("bias") or of the norm ("norm_bias").

        Raises:
          NoNetwork: it has one already.
        """
        if kind == "bias" and self.bias is None:
            self.bias = value
        elif kind.startswith("norm_") and kind[5:] not in self.norm:
            self.norm[kind[5:]] = value
        else:
            raise NoNetwork(f"its tensor {name[:80]!r} has no place")


def without_blurs(
    tensors: Mapping[str, np.ndarray], blurs: Iterable[np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[int, int]]:
    """Leaves out the constant kernels of anti-aliased networks.

    Args:
      tensors: by name.
      blurs: such kernels, [n, n].

    Returns:
      The other tensors, and n -> how many of the kernels have that size.
    """
    rest, counts = dict(tensors), dict[int, int]()
    for blur in blurs:
        for name, value in tensors.items():
            shape = (len(value) if value.ndim else 0, 1, *blur.shape)
            if value.shape == shape and np.all(value == blur):
                del rest[name]
                counts[len(blur)] = counts.get(len(blur), 0) + 1
    return rest, counts


def orders(tensors: Mapping[str, np.ndarray]) -> Iterator[list[str]]:
    """Yields the names in each order in which the layers may be, the likeliest first.

    Args:
      tensors: by name, in the order of the file.
    """
    names = list(tensors)
    if not _is_sorted(tensors):
        yield names
    by_number = sorted(names, key=_natural)
    if by_number != names or _is_sorted(tensors):
        yield by_number
    if not _is_sorted(tensors):
        return
    start = len(common_prefix([name.split(".") for name in names]))
    groups: dict[str, list[str]] = {}
    for name in by_number:
        groups.setdefault(".".join(name.split(".")[: start + 1]), []).append(name)
    if len(groups) <= _MOST_GROUPS:
        for several in itertools.permutations(groups.values()):
            yield list(itertools.chain(*several))


def _is_sorted(tensors):
    """Whether the order is that of the alphabet, for each type of number by itself."""
    kinds: dict[np.dtype, list[str]] = {}
    for name, value in tensors.items():
        kinds.setdefault(value.dtype, []).append(name)
    return all(names == sorted(names) for names in kinds.values())


def common_prefix(sequences: Iterable[Sequence[str]]) -> list[str]:
    """Returns the longest prefix that all sequences have in common."""
    columns = zip(*sequences, strict=False)
    return [c[0] for c in itertools.takewhile(lambda c: len(set(c)) == 1, columns)]


def _natural(name):
    """Sorts numbers as numbers, and a layer's tensors as PyTorch does."""
    layer, _, leaf = name.rpartition(".")
    parts = re.split(r"(\d{1,6})", layer)
    rank = _RANKS.index(_LEAVES[leaf]) if leaf in _LEAVES else len(_RANKS)
    return [(int(p), "") if p.isdigit() else (-1, p) for p in parts], rank, leaf


def convolutions(
    tensors: Mapping[str, np.ndarray], names: Sequence[str]
) -> list[Convolution]:
    """Reads the layers in this order.

    Raises:
      NoNetwork: a tensor is none of a convolution or a norm.
    """
    for name in names:
        if _REPARAMETRISED.search(name):
            raise NoNetwork(
                f"its weights are normalised ({name[:80]!r}); before saving, fold that"
                " into them (torch.nn.utils.remove_spectral_norm, remove_weight_norm)"
            )
        if tensors[name].dtype.kind in "biuc" and tensors[name].ndim:
            raise NoNetwork(
                f"its tensor {name[:80]!r} holds {tensors[name].dtype}, no weights"
            )
    said = all(name.rpartition(".")[2] in _LEAVES for name in names)
    found = _by_layers(tensors, names) if said else _by_number(tensors, names)
    if not found:
        raise NoNetwork("it has no convolution (a tensor of four dimensions)")
    return found


def _by_layers(tensors, names):
    layers: dict[str, dict[str, str]] = {}
    for name in names:
        layer, _, leaf = name.rpartition(".")
        if layers.setdefault(layer, {}).setdefault(_LEAVES[leaf], name) != name:
            raise NoNetwork(f"its tensor {name[:80]!r} has no place")
    found: list[Convolution] = []
    for layer, parts in layers.items():
        kernel = parts.get("weight")
        if kernel and tensors[kernel].ndim == 4:
            found.append(Convolution(layer, tensors[parts.pop("weight")]))
            prefix = ""
        elif not found or (kernel and tensors[kernel].ndim != 1):
            raise NoNetwork(_strange(kernel or next(iter(parts.values())), tensors))
        else:
            prefix = "norm_"
        for kind in sorted(parts, key=_RANKS.index):
            found[-1].add(prefix + kind, tensors[parts[kind]], parts[kind])
    return found


def _strange(name, tensors):
    shape = list(tensors[name].shape)
    return f"its tensor {name[:80]!r} is {shape}, neither a convolution's nor a norm's"


def _by_number(tensors, names):
    found, vectors = [], []

    def finish():
        kinds = _BY_NUMBER.get(len(vectors))
        if kinds is None:
            raise NoNetwork(f"its tensor {vectors[-1][:80]!r} has no place")
        for kind, name in zip(kinds, vectors, strict=True):
            found[-1].add(kind, tensors[name], name)
        vectors.clear()

    for name in names:
        if tensors[name].ndim == 4:
            if found:
                finish()
            found.append(Convolution(name.removesuffix(".weight"), tensors[name]))
        elif tensors[name].ndim == 1 and found:
            vectors.append(name)
        elif tensors[name].ndim or not found:
            raise NoNetwork(_strange(name, tensors))
    if found:
        finish()
    return found
