"""PyTorch's files: read as PyTorch wrote them, and nothing else is believed."""

import argparse
import collections
import io
import os
import pathlib
import pickle
import random
import struct
import time
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from cyclegan_jax import torch_files
from cyclegan_jax.errors import UserError
from cyclegan_jax.torch_files import opcodes
from tests.oracle import cases

FILES = sorted(cases.GOLDEN.glob("*.pth"))
TENSORS = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "norm.num_batches_tracked": np.array(7),
    "half": np.array([0.5, -2], np.float16),
    "empty": np.zeros((0, 3), np.float32),
    "flag": np.array([True, False]),
}


def assert_same(actual, expected):
    assert list(actual) == list(expected)
    for name, value in expected.items():
        assert actual[name].dtype == value.dtype, name
        np.testing.assert_array_equal(actual[name], value)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_files_that_pytorch_wrote(path):
    state = cases.subtree(cases.load_case(path.name.split(".")[0]), "state")
    assert_same(torch_files.read(path), state)


def test_there_are_files_in_both_formats():
    assert len(FILES) == 8


def test_written_files_are_read_again(tmp_path):
    path = tmp_path / "a.pth"
    torch_files.write(path, TENSORS)
    read = torch_files.read(path)
    assert_same(read, TENSORS)
    assert not read["conv.weight"].flags.writeable
    torch_files.write(tmp_path / "b.pth", TENSORS)
    assert path.read_bytes() == (tmp_path / "b.pth").read_bytes()


def test_safetensors(tmp_path):
    tensors = {name: np.ascontiguousarray(x) for name, x in TENSORS.items()}
    safetensors.numpy.save_file(tensors, tmp_path / "a.safetensors")
    read = torch_files.read(tmp_path / "a.safetensors")
    assert_same({name: read[name] for name in TENSORS}, TENSORS)


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("new", [True, False])
def test_all_that_pytorch_writes(tmp_path, new, protocol):
    """Types, strides, views, parameters; the other way with strict=True elsewhere."""
    torch = pytest.importorskip("torch")
    tensors = {
        "channels_last": torch.randn(3, 4, 5, 6).to(memory_format=torch.channels_last),
        "transposed": torch.randn(4, 5).t(),
        "view": torch.arange(10)[3:7],
        "bfloat16": torch.randn(3).bfloat16(),
        "double": torch.randn(3).double(),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 3),
    }
    kwargs = {"_use_new_zipfile_serialization": new, "pickle_protocol": protocol}
    torch.save(tensors, tmp_path / "a.pth", **kwargs)
    read = torch_files.read(tmp_path / "a.pth")
    assert list(read) == list(tensors)
    for name, tensor in tensors.items():
        expected = tensor.detach().double().numpy()
        np.testing.assert_array_equal(read[name].astype(np.float64), expected)


def quantized(torch):
    values, scales = torch.randn(3, 2, 2, 2), torch.tensor([0.1, 0.02, 0.3])
    zeros = torch.tensor([0.0, 1, 2])
    return {
        "8": torch.quantize_per_tensor(values, 0.1, 3, torch.qint8),
        "u8": torch.quantize_per_tensor(values, 0.013, 7, torch.quint8).mT,
        "32": torch.quantize_per_tensor(values, 1e-7, -3, torch.qint32),
        "each": torch.quantize_per_channel(values, scales, zeros, 0, torch.qint8),
        "floats": torch.quantize_per_channel(
            values, scales, zeros + 0.5, 0, torch.quint8
        ),
        "w": torch.ones(1),
    }


def forms(torch):
    """What people save, as `torch.load(weights_only=True)` reads it."""
    noted = torch.randn(2, 3)
    noted.note = "mine"
    parameter = torch.nn.Parameter(torch.randn(3))
    parameter.tag = {"lr": 3}
    whole = torch.arange(12.0)
    adam = torch.optim.Adam([parameter], 1e-3)
    parameter.grad = torch.ones(3)
    adam.step()
    return {
        "attributes": {"a": noted, "b": parameter},
        "nested": {"epoch": 3, "netG_A": {"w": noted}, "loss": [1.5, 2.5]},
        "in lists": {"nets": [{"w": torch.ones(2)}, (torch.zeros(3),)]},
        "optimizer": {"optimizer": adam.state_dict(), "betas": (0.5, 0.999)},
        "keys": {0: torch.ones(1), None: torch.ones(2), 1.5: torch.ones(3), True: 1},
        "key of a tuple": {("a", 1): torch.ones(1)},
        "shared": {"a": whole[:6], "b": whole[3:].view(3, 3).t(), "c": whole[::2]},
        "complex": {"c": torch.randn(3, dtype=torch.complex64)},
        "conjugated": {"c": torch.randn(3, dtype=torch.complex64).conj()},
        "negated": {"c": torch.randn(3, dtype=torch.complex64).conj().imag},
        "unsigned": {"u": torch.arange(5).to(torch.uint16)},
        "float8": {
            name: torch.tensor([1.0, 2, 4]).to(getattr(torch, f"float8_{name}"))
            for name in ("e4m3fn", "e5m2", "e4m3fnuz", "e5m2fnuz", "e8m0fnu")
        },
        "set": {"s": {1, 2}, "w": torch.ones(1)},
        "bytes": {"s": b"abc", "b": bytearray(b"x"), "w": torch.ones(1)},
        "types": {"d": torch.float32, "e": torch.device("cpu"), "w": torch.ones(1)},
        "size": {"s": torch.Size([2]), "c": 1j, "w": torch.ones(1)},
        "sparse": {"s": torch.eye(3).to_sparse(), "w": torch.ones(1)},
        "sparse, partly": {
            "t": torch.sparse_coo_tensor([[0, 2, 0]], torch.rand(3, 2).half(), (4, 2)),
            "flags": torch.tensor([[True, False]]).to_sparse(),
        },
        "csr": {"s": torch.eye(3).to_sparse_csr(), "w": torch.ones(1)},
        "quantized": quantized(torch),
        "expanded": {"e": torch.ones(1).expand(5, 5), "n": torch.rand([1] * 12)},
        "parameter": {"w": torch.nn.Parameter(torch.rand(3))},
        "nested tensor": {
            "n": torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
            "j": torch.nested.nested_tensor([torch.ones(2)], layout=torch.jagged),
            "w": torch.ones(1),
        },
        "meta": {"m": torch.ones(3, device="meta"), "w": torch.ones(1)},
        "counter": {"c": collections.Counter("aab"), "w": torch.ones(1)},
        "unpacked": collections.OrderedDict(a=torch.ones(2), b=torch.zeros(())),
    }


FORMS = (
    *("attributes", "nested", "in lists", "optimizer", "keys", "key of a tuple"),
    *("shared", "complex", "conjugated", "negated", "unsigned", "float8", "set"),
    *("bytes", "types", "size", "sparse", "csr", "quantized", "meta", "counter"),
    *("sparse, partly", "expanded", "parameter", "nested tensor", "unpacked"),
)


def tensors_of(torch, value, path=()):
    """All plain tensors, by the keys that lead to them."""
    if isinstance(value, torch.Tensor):
        value = value.dequantize() if value.is_quantized else value.detach()
        value = value.to_dense() if value.layout == torch.sparse_coo else value
        plain = value.layout == torch.strided and value.device.type == "cpu"
        return {path: value} if plain and not value.is_nested else {}
    found = {}
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, child in pairs:
            found |= tensors_of(torch, child, (*path, str(key)))
    return found


@pytest.mark.filterwarnings("ignore::UserWarning")  # PyTorch's, of what is old.
@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("name", FORMS)
def test_what_torch_load_reads(tmp_path, name, new):
    torch = pytest.importorskip("torch")
    assert set(forms(torch)) == set(FORMS)
    if not new and name in ("unsigned", "float8", "nested tensor"):
        pytest.skip("PyTorch does not write or read these in the old format")
    path = tmp_path / "a.pth"
    torch.save(forms(torch)[name], path, _use_new_zipfile_serialization=new)
    expected = tensors_of(torch, torch.load(path, weights_only=True))
    read = torch_files.read_all(path)
    arrays = {key: value for key, value in read.items() if hasattr(value, "dtype")}
    assert list(arrays) == list(expected)
    assert expected
    for key, tensor in expected.items():
        wide = torch.complex128 if tensor.is_complex() else torch.float64
        theirs = tensor.resolve_conj().resolve_neg().to(wide).numpy()
        np.testing.assert_array_equal(arrays[key].astype(theirs.dtype), theirs)


class Settings:
    """Of a class that nobody has but whoever saved it."""

    def __init__(self):
        self.lr, self.names = 0.1, ["a"]


@pytest.mark.parametrize("new", [True, False])
def test_other_objects_are_read_as_their_attributes(tmp_path, new):
    """What weights_only refuses: settings, NumPy's numbers, whole networks."""
    torch = pytest.importorskip("torch")
    value = {
        "opt": argparse.Namespace(lr=0.1, name="mine"),
        "mine": Settings(),
        "best": np.float64(3.5),
        "losses": np.arange(3.0),
        "folder": pathlib.PurePosixPath("a"),
        "table": collections.defaultdict(list),
        "net": torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2)),
    }
    path = tmp_path / "a.pth"
    torch.save(value, path, _use_new_zipfile_serialization=new)
    read = torch_files.read_all(path)
    assert read["opt", "lr"] == 0.1
    assert read["mine", "lr"] == 0.1
    weight = read["net", "_modules", "0", "_parameters", "weight"]
    np.testing.assert_array_equal(weight, value["net"][0].weight.detach().numpy())
    assert ("net", "_modules", "1", "_buffers", "running_var") in read


def test_safetensors_of_all_types(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    kinds = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16")
    kinds = (*kinds, "int8", "uint8", "bool", "uint16", "uint32", "uint64")
    kinds = (*kinds, "float8_e4m3fn", "float8_e5m2", "complex64")
    tensors = {n: torch.tensor([0, 1, 1]).to(getattr(torch, n)) for n in kinds}
    save_file(tensors, tmp_path / "a.safetensors")
    read = torch_files.read(tmp_path / "a.safetensors")
    assert set(read) == set(tensors)
    for value in read.values():
        np.testing.assert_array_equal(value.astype(complex), [0, 1, 1])


def test_pytorch_reads_what_we_write(tmp_path):
    torch = pytest.importorskip("torch")
    torch_files.write(tmp_path / "a.pth", TENSORS)
    for options in ({}, {"mmap": True}):
        read = torch.load(tmp_path / "a.pth", weights_only=True, **options)
        assert_same({name: value.numpy() for name, value in read.items()}, TENSORS)


def test_python_2_wrote_the_pairs_into_the_call(tmp_path):
    """OrderedDict([[name, tensor], ...]), and an empty one for its hooks."""
    tensor = table()[len(pickle.PROTO) + 1 + 2 :].removesuffix(b"u.")
    program = b"".join(
        [
            pickle.PROTO + b"\x02",
            opcodes.reference("collections", "OrderedDict"),
            pickle.EMPTY_LIST + pickle.MARK,
            pickle.EMPTY_LIST + pickle.MARK + tensor + pickle.APPENDS,
            pickle.APPENDS + pickle.TUPLE1 + pickle.REDUCE,
            pickle.EMPTY_DICT + opcodes.string("_metadata"),
            call("collections", "OrderedDict", pickle.EMPTY_LIST),
            pickle.SETITEM + pickle.BUILD + pickle.STOP,
        ]
    )
    (tmp_path / "a.pth").write_bytes(zipped(program))
    assert_same(torch_files.read(tmp_path / "a.pth"), {"weight": np.zeros(4, "f4")})


# What follows is hostile.


FOUR = np.zeros(4, np.float32)


def zipped(program, extra=(), compression=zipfile.ZIP_STORED, numbers=FOUR):
    """A file whose data.pkl is this program."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("archive/data.pkl", program)
        archive.writestr("archive/data/0", numbers.tobytes())
        for name in extra:
            archive.writestr(name, b"1")
    return buffer.getvalue()


def legacy(program):
    start = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    parts = [pickle.dumps(value, protocol=2) for value in start]
    return b"".join([*parts, program, pickle.dumps([], protocol=2)])


def table(offset=0, size=(4,), stride=(1,), key="0", count=4):
    """A table with one tensor, described as one likes."""
    return b"".join(
        [
            pickle.PROTO + b"\x02" + pickle.EMPTY_DICT + pickle.MARK,
            opcodes.string("weight"),
            opcodes.reference("torch._utils", "_rebuild_tensor_v2"),
            pickle.MARK,
            opcodes.sequence(
                opcodes.string("storage"),
                opcodes.reference("torch", "FloatStorage"),
                opcodes.string(key),
                opcodes.string("cpu"),
                opcodes.integer(count),
            ),
            pickle.BINPERSID,
            opcodes.integer(offset),
            opcodes.sequence(*map(opcodes.integer, size)),
            opcodes.sequence(*map(opcodes.integer, stride)),
            pickle.NEWFALSE + pickle.NONE + pickle.TUPLE + pickle.REDUCE,
            pickle.SETITEMS + pickle.STOP,
        ]
    )


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_the_hand_made_table_is_fine(tmp_path):
    (tmp_path / "a.pth").write_bytes(zipped(table()))
    assert_same(torch_files.read(tmp_path / "a.pth"), {"weight": np.zeros(4, "f4")})


@pytest.mark.parametrize("container", [zipped, legacy])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_executed(tmp_path, container, protocol):
    trap = tmp_path / "trap"
    program = pickle.dumps({"weight": Hostile(trap)}, protocol=protocol)
    (tmp_path / "a.pth").write_bytes(container(program))
    with pytest.raises(UserError, match=r"mkdir|instruction"):
        torch_files.read(tmp_path / "a.pth")
    assert not trap.exists()


BOMB = b"\x80\x02)q\0" + b"h\0\x86q\0" * 40  # A tuple that takes for ever to hash.


def call(module, name, *parts):
    return opcodes.reference(module, name) + opcodes.sequence(*parts) + pickle.REDUCE


def coordinates(*place, size):
    """A sparse tensor of one number."""
    kind = call(
        "torch.serialization", "_get_layout", opcodes.string("torch.sparse_coo")
    )
    sides = opcodes.sequence(*map(opcodes.integer, size))
    data = opcodes.sequence(numbers_at(len(place), 1), numbers_at(1), sides)
    entry = call("torch._utils", "_rebuild_sparse_tensor", kind, data)
    return zipped(
        b"\x80\x02}" + opcodes.string("w") + entry + b"s.",
        numbers=np.array([*place, 1], "i1"),
    )


def numbers_at(*size):
    about = map(opcodes.string, ("storage", "0", "cpu"))
    word, key, device = about
    kind = opcodes.reference("torch", "CharStorage")
    one = opcodes.sequence(word, kind, key, device, opcodes.integer(2))
    parts = map(opcodes.integer, size), map(opcodes.integer, [1] * len(size))
    where = pickle.BINPERSID + opcodes.integer(0)
    sequences = b"".join(opcodes.sequence(*part) for part in parts)
    rebuild = opcodes.reference("torch._utils", "_rebuild_tensor")
    arguments = pickle.MARK + one + where + sequences + pickle.TUPLE
    return rebuild + arguments + pickle.REDUCE


def test_the_hand_made_sparse_tensor_is_fine(tmp_path):
    (tmp_path / "a.pth").write_bytes(coordinates(2, size=(5,)))
    expected = {"w": np.array([0, 0, 2, 0, 0], "i1")}
    assert_same(torch_files.read(tmp_path / "a.pth"), expected)


NONE, GET = pickle.NONE, b"h\0h\1"
LONG = pickle.EMPTY_LIST + b"q\0(" + NONE * 100_000 + b"e0"
PAIRS = (
    pickle.EMPTY_LIST
    + b"q\0("
    + ((pickle.EMPTY_LIST + b"(" + opcodes.string("a") + NONE + b"e") * 20_000 + b"e0")
)
EXPANDED = table(size=(2**25,), stride=(0,))[len(pickle.PROTO) + 3 :].removesuffix(
    b"u."
)
EXPANDED = EXPANDED.removeprefix(opcodes.string("weight"))
DAMAGED = {
    "copies of pairs": zipped(
        b"\x80\x02"
        + PAIRS
        + b"ccollections\nOrderedDict\nq\1"
        + b"h\1h\0\x85R" * 50_000
        + b"."
    ),
    "objects in themselves": zipped(b"\x80\x02}q\0" + opcodes.string("a") + b"h\0s."),
    "a call of an attribute": zipped(b"\x80\x02}" + call("builtins", "getattr") + b"."),
    "deep lists": zipped(b"\x80\x02" + b"]q\0" + b"]h\0aq\0" * 50_000 + b"."),
    "copies of a list": zipped(
        b"\x80\x02" + LONG + b"ctorch\nSize\nq\1" + b"h\1h\0\x85R" * 20_000 + b"."
    ),
    "endless name": zipped(
        b"\x80\x02"
        + opcodes.string("torch")
        + b"q\0"
        + opcodes.string("x" * 900_000 + "Storage")
        + b"q\1"
        + (GET + b"\x93") * 20_000
    ),
    "deep marks": zipped(b"\x80\x02" + NONE * 500_000 + b"(t" * 200_000),
    "long pickle": zipped(b"\x80\x02" + NONE * 2_000_000 + b"}."),
    "number as a key": zipped(b"\x80\x02}K\1K\1s."),
    "empty, but endless": zipped(table(size=(0, 2**61), stride=(1, 1))),
    "one of endless stride": legacy(table(size=(1,), stride=(2**62 - 1,))),
    "large shape": struct.pack("<Q", 64)
    + (b'{"a":{"dtype":"F32","shape":[0,4611686018427387904],')
    + b'"data_offsets":[0,0]}}',
    "empty": b"",
    "text": b"<html>404 Not Found</html>",
    "zip of others": zipped(b"").replace(b"data.pkl", b"note.txt"),
    "no tensors": zipped(pickle.dumps({}, protocol=2)),
    "a list": zipped(pickle.dumps([1], protocol=2)),
    "not a tensor": zipped(pickle.dumps({"epoch": 3}, protocol=2)),
    "negative offset": zipped(table(offset=-1)),
    "too far": zipped(table(offset=1)),
    "too large": zipped(table(size=(2**40,))),
    "expanded": zipped(table(size=(2**30, 2**30), stride=(0, 0))),
    "outside of a sparse tensor": coordinates(5, size=(5,)),
    "before a sparse tensor": coordinates(-1, size=(5,)),
    "sides of a sparse tensor": coordinates(1, size=(5, 5)),
    "large sparse tensor": coordinates(1, size=(2**29,)),
    "many expanded": zipped(
        pickle.PROTO
        + b"\x02"
        + pickle.EMPTY_DICT
        + pickle.MARK
        + b"".join(opcodes.string(str(i)) + EXPANDED for i in range(9))
        + b"u."
    ),
    "overflowing": zipped(table(size=(2**61, 8), stride=(1, 2**61))),
    "strange count": zipped(table(count=2**40)),
    "no such numbers": zipped(table(key="1")),
    "numbers elsewhere": zipped(table(key="../../0")),
    "memory": zipped(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b"."),
    "long string": zipped(b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"."),
    "deep key": zipped(b"\x80\x02}" + BOMB[2:] + b"K\x01s."),
    "deep": zipped(BOMB + b"."),
    "no stop": zipped(b"\x80\x02}"),
    "absolute name": zipped(table(), ["/etc/passwd"]),
    "name that climbs": zipped(table(), ["archive/../../x"]),
    "two of one name": zipped(table(), ["archive/data/x"]).replace(b"a/x", b"a/0"),
    "compressed": zipped(table(), compression=zipfile.ZIP_DEFLATED),
    "whole module": zipped(b"\x80\x02ctorch.nn.modules.conv\nConv2d\n)R."),
    "legacy, no numbers": legacy(table()),
    "safetensors": struct.pack("<Q", 2**60) + b"{}",
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", DAMAGED)
def test_damaged_files_are_refused(tmp_path, name):
    (tmp_path / "a.pth").write_bytes(DAMAGED[name])
    started = time.perf_counter()
    with pytest.raises(UserError, match=r"a\.pth is not a file of weights: .*\.$"):
        torch_files.read(tmp_path / "a.pth")
    assert time.perf_counter() - started < 5


def test_missing_and_unreadable_files(tmp_path):
    with pytest.raises(UserError, match=r"there is no file .*b\.pth"):
        torch_files.read(tmp_path / "b.pth")
    with pytest.raises(UserError, match="cannot be read"):
        torch_files.read(tmp_path)
    with pytest.raises(UserError, match="cannot be written"):
        torch_files.write(tmp_path / "no" / "a.pth", TENSORS)


@pytest.mark.parametrize("name", ["pixel_batch.pth", "pixel_batch.legacy.pth"])
def test_fuzz(tmp_path, name):
    """Cut, flipped, inserted and overwritten bytes: read or refused, and soon."""
    good, rng = (cases.GOLDEN / name).read_bytes(), random.Random(0)
    path, refused = tmp_path / "a.pth", 0
    for _ in range(400):
        data, at = bytearray(good), rng.randrange(len(good))
        kind = rng.randrange(4)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at] = rng.randrange(256)
        elif kind == 2:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            huge = (b"\xff" * 8, b"\x7f" * 8, b"r\xff\xff\xff\x7f", b"\0" * 8)
            data[at : at + 8] = rng.choice(huge)
        path.write_bytes(data)
        started = time.perf_counter()
        try:
            torch_files.read(path)
        except UserError:
            refused += 1
        assert time.perf_counter() - started < 5
    assert refused > 200


def arrays(**values):
    """An `.npz`."""
    buffer = io.BytesIO()
    np.savez(buffer, **values)
    return buffer.getvalue()


NO_WEIGHTS = {
    "empty": b"",
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
    "web page": b"\n<!DOCTYPE html><html>",
    "unpack": b"\x1f\x8b\x08\x00",
    "Keras": b"\x89HDF\r\n\x1a\n",
    "torch.save": pickle.dumps({"weight": 1}),
    "JSON": b'{"weight_map": {}}',
    "ONNX": b"\x08\x07\x12\x07pytorch",
    "archive: unpack": bytes(257) + b"ustar\x00" + bytes(249),
    "npz": arrays(weight=np.zeros(2)),
    "neither": b"GIF89a",
}


@pytest.mark.parametrize("hint", NO_WEIGHTS)
def test_what_people_have_instead_of_weights(tmp_path, hint):
    (tmp_path / "a.pth").write_bytes(NO_WEIGHTS[hint])
    with pytest.raises(UserError, match=hint):
        torch_files.read(tmp_path / "a.pth")
