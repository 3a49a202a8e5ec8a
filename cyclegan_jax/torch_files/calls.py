"""The functions that the pickles of PyTorch's files may call: harmless ones of ours.

They are those that `torch.load(weights_only=True)` allows, and a few for what people
save beside the tensors: NumPy's arrays and numbers, paths, default dictionaries.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from cyclegan_jax.torch_files import computed
from cyclegan_jax.torch_files.tensors import (
    DTYPES,
    TORCH_DTYPES,
    BadFile,
    Other,
    Storage,
    Tensor,
    Unbuilt,
)


@dataclasses.dataclass(frozen=True)
class Global:
    """The name of something that the pickle would import; never imported here.

    Attributes:
      name: such as "torch.FloatStorage".
    """

    name: str


class Record:
    """An object of a class that is not known here; nothing of it is executed.

    Attributes:
      name: of its class.
      state: what the file says its attributes are; usually a dictionary.
      items: its entries, if its class is a kind of dictionary.
    """

    def __init__(self, cls: Global):
        """Makes one without attributes."""
        self.name = cls.name
        self.state: Any = None
        self.items: dict[Any, Any] = {}


def _ordered_dict(pairs=()):
    for pair in pairs:  # Python 2 wrote them here.
        if (
            type(pair) not in (list, tuple)
            or len(pair) != 2
            or type(pair[0]) is not str
        ):
            raise BadFile("it builds a dictionary in an unusual way")
    return dict(pairs)


def _default_dict(factory=None, pairs=()):
    return _ordered_dict(pairs)


def _tensor(storage, offset, size, stride, grad=False, hooks=None, metadata=None):
    metadata = metadata or {}
    if type(metadata) is not dict:
        raise TypeError("what is said about a tensor is no dictionary")
    flags = {name: metadata.get(name) is True for name in ("conj", "neg")}
    if type(storage) is Storage and storage.dtype is None:
        return Other(f"a tensor of {storage.kind}")
    return Tensor.checked(storage, offset, size, stride, **flags)


def _tensor_v3(storage, offset, size, stride, grad, hooks, dtype, metadata=None):
    """Of types that have no storage of their own: the storage has bytes."""
    found = TORCH_DTYPES.get(getattr(dtype, "name", ""))
    if found is None or type(storage) is not Storage or storage.first:
        return Other(f"a tensor of {getattr(dtype, 'name', 'no type')}")
    count = storage.count // found.itemsize
    storage = dataclasses.replace(storage, dtype=found, count=count)
    return _tensor(storage, offset, size, stride, grad, hooks, metadata)


def _parameter(tensor, grad=False, hooks=None, state=None):
    return tensor


def _with_attributes(function, kind, args, state):
    """`tensor.note = ...`, and tensors of classes of the user's own."""
    if type(function) is not Global or type(args) is not tuple:
        raise TypeError("a tensor of no kind")
    if function.name not in _TENSORS:
        raise BadFile(f"it wants to run {function.name[:80]!r}")
    return _TENSORS[function.name](*args)


def _other(description):
    def make(*args):
        return Other(description)

    return make


def _wrapper(cls, *rest):
    return Other(f"a tensor of {getattr(cls, 'name', 'no class')[:80]}")


def _old_tensor(*args):
    """Of PyTorch before 0.1.12, and what a pickle then says it is."""
    if args:
        return Other("a tensor made in an unusual way")
    return Unbuilt(
        lambda state: Tensor.checked(*state), Other("a tensor without numbers")
    )


def _old_sparse(*args):
    return computed.sparse(computed.COORDINATES, args)


def _same(value, *rest):
    return value


def _list(values=()):
    if type(values) not in (list, tuple):
        raise TypeError("a set of something else")
    return list(values)


def _size(sides):
    if type(sides) is not tuple:
        raise TypeError("a size that is no tuple")
    return sides


_TENSORS: dict[str, Callable] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _same,
    "torch._utils._rebuild_qtensor": computed.quantized,
    "torch._utils._rebuild_sparse_tensor": computed.sparse,
    "torch._utils._rebuild_nested_tensor": _other("a nested tensor"),
    "torch.nested._internal.nested_tensor._rebuild_njt": _other("a nested tensor"),
    "torch._utils._rebuild_meta_tensor_no_storage": _other("a tensor without numbers"),
    "torch._utils._rebuild_wrapper_subclass": _wrapper,
    "torch._utils._rebuild_device_tensor_from_numpy": computed.tensor_of_array,
    "torch._utils._rebuild_xla_tensor": computed.tensor_of_array,
}
_WHERE = ("", "cuda.")
_KINDS = ("Tensor", *(kind.replace("Storage", "Tensor") for kind in DTYPES))
_NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")
CALLS: dict[str, Callable] = {
    **_TENSORS,
    "torch._tensor._rebuild_from_type_v2": _with_attributes,
    **{f"torch.{where}{kind}": _old_tensor for where in _WHERE for kind in _KINDS},
    **{
        f"torch.{where}sparse.{kind}": _old_sparse
        for where in _WHERE
        for kind in _KINDS
    },
    "torch.nn.parameter.Parameter": _parameter,
    "torch.Size": _size,
    "torch.device": _other("a device"),
    "torch.serialization._get_layout": Other,
    "collections.OrderedDict": _ordered_dict,
    "collections.defaultdict": _default_dict,
    "collections.Counter": _same,
    "builtins.set": _list,
    "builtins.frozenset": _list,
    "builtins.bytes": lambda *parts: Other("bytes") if parts else b"",
    "builtins.bytearray": _other("bytes"),
    "builtins.complex": _other("a complex number"),
    "_codecs.encode": computed.encoded,
    "numpy.dtype": computed.dtype,
    **{f"{module}.scalar": computed.number for module in _NUMPY},
    **{f"{module}._reconstruct": computed.array for module in _NUMPY},
    "types.SimpleNamespace": lambda: Record(Global("types.SimpleNamespace")),
    **{f"datetime.{kind}": _other("a time") for kind in ("datetime", "timedelta")},
    "pathlib.Path": _other("a path"),
    "pathlib.PosixPath": _other("a path"),
    "pathlib.WindowsPath": _other("a path"),
    "pathlib.PurePosixPath": _other("a path"),
}
