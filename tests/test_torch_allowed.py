"""All that PyTorch's `weights_only=True` allows is read, by PyTorch's own list."""

import pickle
import warnings
import zipfile

import numpy as np
import pytest

from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files import opcodes
from tests.test_torch_files import call, forms, zipped

torch = pytest.importorskip("torch")
unpickler = pytest.importorskip("torch._weights_only_unpickler")


def allowed():
    return unpickler._get_allowed_globals() | unpickler._get_user_allowed_globals()


# Two of 64 bits, or four of 32.
NUMBERS = np.array([1, 3], np.int64)


def storage(kind="FloatStorage"):
    word, key, device = map(opcodes.string, ("storage", "0", "cpu"))
    count = opcodes.integer(2 if kind == "LongStorage" else 4)
    parts = word, opcodes.reference("torch", kind), key, device, count
    return opcodes.sequence(*parts) + pickle.BINPERSID


def integers(*numbers):
    return opcodes.sequence(*map(opcodes.integer, numbers))


def tensor(*sides, kind="FloatStorage", strides=()):
    """Of the storage's first numbers."""
    strides = strides or [int(np.prod(sides[i + 1 :])) for i in range(len(sides))]
    about = storage(kind), opcodes.integer(0), integers(*sides), integers(*strides)
    return call("torch._utils", "_rebuild_tensor", *about)


def table(value):
    """A file with a tensor called `weight`, and one entry more."""
    entries = opcodes.string("it") + value + opcodes.string("weight") + tensor(2)
    start = pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK
    program = start + entries + pickle.SETITEMS + pickle.STOP
    return zipped(
        program, ["archive/version"], numbers=NUMBERS
    )  # Which only PyTorch wants.


def test_every_name(tmp_path):
    """Types, and classes and functions that are only named."""
    path, wrong = tmp_path / "a.pth", []
    for name in allowed():
        path.write_bytes(table(opcodes.reference(*name.rsplit(".", 1))))
        assert torch.load(path, weights_only=True)["weight"].shape == (2,)
        read = torch_files.read_all(path)
        wrong += [name] * (list(read) != [("it",), ("weight",)])
    assert not wrong


@pytest.mark.filterwarnings("ignore::UserWarning")  # That they are old.
def test_old_tensors(tmp_path):
    """Before PyTorch 0.1.12, `torch.FloatTensor()`, whose numbers follow."""
    path = tmp_path / "a.pth"
    state = storage(), opcodes.integer(1), integers(3), integers(1)
    old = call("torch", "FloatTensor") + opcodes.sequence(*state) + pickle.BUILD
    ones = tensor(1, 2, kind="LongStorage"), tensor(2, kind="LongStorage"), integers(9)
    new = call("torch.nn.parameter", "Parameter", tensor(3))
    for value in (old, call("torch.sparse", "FloatTensor", *ones), new):
        path.write_bytes(table(value))
        theirs = torch.load(path, weights_only=True)["it"].detach().to_dense()
        assert theirs.any()
        np.testing.assert_array_equal(torch_files.read(path)["it"], theirs)


def test_every_call(tmp_path):
    """What torch can call is in an example, which another test compares to it."""
    path, called = tmp_path / "a.pth", set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for value in forms(torch).values():
            torch.save(value, path)
            with zipfile.ZipFile(path) as archive, archive.open("a/data.pkl") as file:
                called |= unpickler.get_globals_in_pkl(file)
    left = {
        name
        for name, what in unpickler._get_allowed_globals().items()
        if not isinstance(what, torch.dtype | torch.qscheme)
        and not name.endswith(("Storage", "Tensor"))
    }
    assert left - called == {
        "torch._utils._rebuild_tensor",  # `tensor` above.
        "torch.nn.parameter.Parameter",  # Around one: `test_old_tensors`.
        "torch._utils._rebuild_wrapper_subclass",  # `test_tensors_of_other_classes`.
        "torch._utils._rebuild_device_tensor_from_numpy",  # Of TPUs, as the other.
        "torch._utils._rebuild_device_tensor_from_cpu_tensor",
    }


@pytest.mark.parametrize("kind", ["numpy", "cpu_tensor"])
def test_tensors_of_other_devices(tmp_path, kind):
    """Such as TPUs', which are saved by way of the CPU."""
    values = np.arange(3.0) if kind == "numpy" else torch.arange(3.0)
    rebuild = getattr(torch._utils, f"_rebuild_device_tensor_from_{kind}")

    class OnTPU:
        def __reduce__(self):
            return rebuild, (values, torch.float32, "cpu", False)

    torch.save({"w": OnTPU(), "parameter": {"v": OnTPU()}}, tmp_path / "a.pth")
    read = torch_files.read_all(tmp_path / "a.pth")
    for name in (("w",), ("parameter", "v")):
        np.testing.assert_array_equal(read[name], values)


@pytest.mark.filterwarnings("ignore::UserWarning")  # A prototype.
def test_tensors_of_other_classes(tmp_path):
    from torch.masked import masked_tensor

    flags = torch.tensor([True, False])
    torch.save({"m": masked_tensor(flags.float(), flags)}, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"'m' is a tensor of torch\..*MaskedTensor"):
        torch_files.read(tmp_path / "a.pth")


def test_arrays_and_numbers_of_numpy(tmp_path):
    """That weights_only reads them takes `add_safe_globals`; XLA wrote them."""
    values = {
        "plain": np.arange(6, dtype=np.float32).reshape(2, 3),
        "by columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "half": np.array([0.5], np.float16),
        "none": np.zeros((0, 3)),
    }
    long = {"long": np.zeros(5_000_000)}
    others = {"text": np.array(["a"]), "object": np.array([{}]), "n": np.float64(3.5)}
    for protocol in (2, 4):
        path = tmp_path / "a.pth"
        torch.save(values | long | others, path, pickle_protocol=protocol)
        read = torch_files.read_all(path)
        for name, value in values.items():
            assert read[name,].dtype == value.dtype
            np.testing.assert_array_equal(read[name,], value)
        assert read["n",] == 3.5
        assert read["long",].shape == (5_000_000,)
        assert not isinstance(read["text",], np.ndarray)
        with pytest.raises(UserError, match=r"'text' is an array of NumPy"):
            torch_files.read(path)
