"""Lines of metrics: nothing lost, nothing doubled, torn lines dropped."""

import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from cyclegan_jax.errors import UserError
from cyclegan_jax.runs.writer import MetricsWriter, read_metrics
from tests.processes import ROOT


def test_lines_and_resumption(tmp_path):
    with MetricsWriter(tmp_path) as writer:
        for step in (1, 2, 3, 4):
            writer.write(step, {"d_a": step / 3})
            writer.write_timing(step, {"images_per_second": 1.0})
    expected = [{"step": step, "d_a": step / 3} for step in (1, 2, 3, 4)]
    assert read_metrics(tmp_path) == expected
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "d_')
    assert read_metrics(tmp_path) == expected
    with MetricsWriter(tmp_path, resume_step=2) as writer:
        writer.write(3, {"d_a": 7.0})
    assert read_metrics(tmp_path) == [*expected[:2], {"step": 3, "d_a": 7.0}]
    timing = (tmp_path / "timing.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in timing] == [1, 2]


def test_damaged_line_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"line 2 of .*metrics\.jsonl"):
        read_metrics(tmp_path)


def test_no_metrics_yet(tmp_path):
    assert read_metrics(tmp_path) == []


def test_folder_that_cannot_be_written_to(tmp_path):
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UserError, match="cannot be written to"):
        MetricsWriter(tmp_path)


def descriptor(path):
    """The number under which this process has a file open."""
    numbers = map(int, os.listdir("/proc/self/fd"))
    links = {n: f"/proc/self/fd/{n}" for n in numbers}
    return next(n for n, x in links.items() if os.path.realpath(x) == str(path))


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="needs /proc")
def test_full_disk(tmp_path):
    no_space = pytest.raises(UserError, match="No space left on device")
    with no_space, MetricsWriter(tmp_path) as writer:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, descriptor(tmp_path / "metrics.jsonl"))
        os.close(full)
        writer.write(1, {"d_a": 1.0})


def test_tensorboard_events(tmp_path):
    """Read back by the format's description: length, checksum, data, checksum."""
    with MetricsWriter(tmp_path, resume_step=4) as writer:
        writer.write(5, {"d_a": 0.25})
        writer.write_image(6, "samples", np.zeros((2, 3, 3), np.uint8))
    (path,) = (tmp_path / "tensorboard").iterdir()
    data, events = path.read_bytes(), []
    while data:
        (length,) = struct.unpack_from("<Q", data)
        events.append(event_pb2.Event.FromString(data[12 : 12 + length]))
        data = data[16 + length :]
    _, start, scalar, image = events
    assert (start.step, start.session_log.status) == (5, event_pb2.SessionLog.START)
    assert (scalar.step, scalar.summary.value[0].tag) == (5, "d_a")
    assert scalar.summary.value[0].simple_value == 0.25
    assert (image.step, image.summary.value[0].image.width) == (6, 3)


def test_pytorch_is_not_imported(tmp_path):
    """By tensorboardX, which would where it is installed."""
    (tmp_path / "torch.py").write_text("print('imported')\nTensor = list\n")
    program = "import cyclegan_jax.training.loop; print(1); import torch"
    output = subprocess.check_output(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        text=True,
    )
    assert output == "1\nimported\n"  # By the program itself.
