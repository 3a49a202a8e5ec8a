"""Runs on gs://, against a real server of Google Cloud Storage's protocol."""

import contextlib
import errno
import fcntl
import json
import os
import threading
import time

import numpy as np
import pytest
from etils import epath
from orbax.checkpoint import v1 as ocp

from cyclegan_jax import errors, files
from cyclegan_jax.errors import UserError
from cyclegan_jax.runs import folder as run_folder
from cyclegan_jax.runs import lease, storage, uploads
from cyclegan_jax.runs.checkpoints import Checkpoints, complete_steps
from cyclegan_jax.runs.comparing import compare
from cyclegan_jax.runs.run import Run
from cyclegan_jax.runs.writer import MetricsWriter, read_metrics
from cyclegan_jax.training import loop
from tests import buckets
from tests.test_loop import smoke


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The folder in which the server keeps what is in its bucket."""
    with buckets.used(tmp_path_factory.mktemp("gcs")) as folder:
        yield folder


@pytest.fixture
def bucket(server, request):
    """An empty folder in the bucket."""
    return files.as_path(f"gs://{buckets.NAME}/{request.node.name}")


def tiny(**changes):
    settings = {
        "batch_size": 2,
        "data.streets_train": 8,
        "discriminator.n_layers": 1,
        "num_samples": 1,
        "checkpoint_every_steps": 2,
        "log_every_steps": 1,
        "max_steps": 4,
    }
    return smoke(**settings | changes)


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("local") / "run"
    assert loop.train(tiny(), workdir) == 0
    return workdir


@pytest.fixture(scope="module")
def remote(server):
    """As `local`, in the bucket, with a stop halfway."""
    workdir = files.as_path(f"gs://{buckets.NAME}/finished")
    assert loop.train(tiny(max_steps=2), workdir) == 0
    assert loop.train(tiny(), workdir) == 0
    return workdir


@pytest.mark.slow
def test_run_in_a_bucket_is_the_local_one(local, remote, server):
    assert compare(remote, local) == []
    assert complete_steps(remote) == complete_steps(local) == [2, 4]
    for name in ("metrics.jsonl", "samples/step_00000004.png"):
        assert (remote / name).read_bytes() == (local / name).read_bytes()
    names = {path.name for path in (server / "finished").iterdir()}
    assert names >= {"index.html", "run.json", "timing.jsonl", "tensorboard"}
    assert ".lease" not in names
    assert not epath.Path("gs:").exists()
    ours, theirs = Run.load(remote).variables, Run.load(local).variables
    for one, other in zip(*map(leaves, (ours, theirs)), strict=True):
        np.testing.assert_array_equal(one, other)


def leaves(tree):
    import jax

    return jax.tree.leaves(tree)


@pytest.mark.slow
def test_half_written_checkpoint_is_none(local, bucket):
    """As kill -9 in the first checkpoint leaves it: `init_from` still counts."""
    config = tiny(init_from=str(local), max_steps=2)
    run_folder.create(bucket, config.to_dict())
    (bucket / "checkpoints" / "2" / "_CHECKPOINT_METADATA").write_text("{}")
    assert complete_steps(bucket) == []
    assert loop.train(config, bucket) == 0
    first = read_metrics(bucket)[0]
    assert first["cycle_a"] != read_metrics(local)[0]["cycle_a"]
    whole = local.parent / "from"
    assert loop.train(config, whole) == 0
    assert compare(bucket, whole) == []


def copy(source, target):
    for path in source.iterdir():
        if path.is_dir():
            copy(path, target / path.name)
        else:
            (target / path.name).write_bytes(path.read_bytes())


@pytest.mark.slow
def test_damaged_checkpoint_is_set_aside(local, remote, bucket, capsys):
    copy(remote, bucket)
    files = [bucket / "checkpoints" / "4" / "state"]
    while files[-1].is_dir():
        files = sorted(files[-1].iterdir(), key=lambda path: path.name != "d")
        files = [path for path in files if path.name == "d"] or files
        files = [files[0]] if files[0].name != "d" else [sorted(files[0].iterdir())[0]]
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 255
    files[-1].write_bytes(bytes(content))
    assert loop.train(tiny(), bucket) == 0
    assert "checkpoints/4" in capsys.readouterr().err
    (aside,) = (bucket / "damaged_checkpoints").iterdir()
    assert (aside / "commit_success.txt").exists()
    assert compare(bucket, local) == []


def test_second_trainer_is_refused(bucket, monkeypatch):
    monkeypatch.setattr(lease, "REFRESH", 0.2)
    monkeypatch.setattr(lease, "PATIENCE", 0.0)
    with run_folder.lock(bucket):
        other = json.loads((bucket / ".lease").read_text()) | {"pid": 1}
        monkeypatch.setattr(
            lease, "this_process", lambda: {**other, "host": "elsewhere"}
        )
        with pytest.raises(UserError, match="another process"), run_folder.lock(bucket):
            pass
        assert (bucket / ".lease").exists()
    assert not (bucket / ".lease").exists()


def test_trainer_that_is_ending_is_waited_for(bucket, monkeypatch):
    """It refreshes its lease until then."""
    from google.cloud import storage as cloud

    monkeypatch.setattr(lease, "REFRESH", 0.05)
    path, sleeps = os.fspath(bucket / ".lease").removeprefix("gs://"), []
    holder, _, name = path.partition("/")

    def generation():
        return cloud.Client().bucket(holder).get_blob(name).generation

    with contextlib.ExitStack() as first:
        first.enter_context(run_folder.lock(bucket))
        other = lease.this_process() | {"pid": 1, "host": "elsewhere"}

        def sleep(seconds):
            sleeps.append(seconds)
            if len(sleeps) == 4:
                first.close()
            else:
                before = generation()
                while generation() == before:
                    pass

        monkeypatch.setattr(lease, "this_process", lambda: other)
        monkeypatch.setattr(lease.time, "sleep", sleep)
        with run_folder.lock(bucket):
            assert json.loads((bucket / ".lease").read_text())["host"] == "elsewhere"
    assert len(sleeps) == 4


def test_lease_of_a_dead_trainer_is_taken_over(bucket, monkeypatch):
    here = lease.this_process()
    (bucket / ".lease").write_text(json.dumps(here | {"pid": 2**22 + 1}))
    with run_folder.lock(bucket):  # At once: no such process on this machine.
        assert json.loads((bucket / ".lease").read_text())["pid"] == os.getpid()
    monkeypatch.setattr(lease, "STALE", 0.5)
    (bucket / ".lease").write_text(json.dumps(here | {"machine": ["elsewhere"]}))
    start = time.monotonic()
    with run_folder.lock(bucket):  # It cannot be asked: after a while.
        assert time.monotonic() - start > 0.5


def test_lease_that_was_taken_ends_the_trainer(bucket, monkeypatch, capsys):
    left = threading.Event()
    monkeypatch.setattr(lease, "REFRESH", 0.05)
    monkeypatch.setattr(lease.os, "_exit", lambda status: left.set())
    with run_folder.lock(bucket):
        (bucket / ".lease").write_text("{}")
        assert left.wait(30)
    assert "another process" in capsys.readouterr().err
    assert (bucket / ".lease").read_text() == "{}"  # Not ours to delete.


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK])
def test_file_system_without_locks(number, tmp_path, monkeypatch, capsys):
    def flock(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    with run_folder.lock(tmp_path):
        pass
    assert "no locks" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["s3", "az", "hf"])
def test_run_folder_on_other_stores_is_refused(scheme, local):
    workdir = epath.Path(f"{scheme}://bucket/run")
    for action in (
        lambda: loop.train(tiny(), workdir),
        lambda: Run.load(workdir),
        lambda: run_folder.prepare(workdir),
        lambda: compare(workdir, local),
    ):
        with pytest.raises(UserError, match=f"{scheme}://"):
            action()
    assert not epath.Path(f"{scheme}:").exists()


def test_bucket_that_is_not_there(server):
    folder = files.as_path("gs://no-such-bucket/run")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        storage.check_writable(folder / "checkpoints")
    sentence, status = errors.explain(caught.value)
    assert status == 2
    assert "no-such-bucket" in sentence


def test_folder_is_tried_before_the_first_step(tmp_path, monkeypatch):
    (tmp_path / "checkpoints").write_text("in the way")
    with pytest.raises(UserError, match="checkpoints"):
        storage.check_writable(tmp_path / "checkpoints")
    storage.check_writable(tmp_path / "fine")
    assert list((tmp_path / "fine").iterdir()) == []


def test_lines_survive_what_kills_the_writer(bucket, monkeypatch):
    monkeypatch.setattr(uploads, "INTERVAL", 0.3)
    sizes, write = [], type(bucket).write_bytes

    def count(path, content):
        sizes.append((path.name, len(content)))
        return write(path, content)

    monkeypatch.setattr(type(bucket), "write_bytes", count)
    writer = MetricsWriter(bucket)
    for step in range(1, 201):
        writer.write(step, {"loss": 1 / step})
    writer.wait()  # And nothing more: no close.
    assert len(read_metrics(bucket)) == 200
    assert len([name for name, _ in sizes if name == "metrics.jsonl"]) < 20
    again = MetricsWriter(bucket, resume_step=100)
    again.write(101, {"loss": 0.0})
    again.close()
    steps = [line["step"] for line in read_metrics(bucket)]
    assert steps == list(range(1, 102))
    writer.close()


def test_events_are_in_files_of_bounded_size(bucket, monkeypatch):
    monkeypatch.setattr(uploads, "INTERVAL", 0.0)
    with MetricsWriter(bucket) as writer:
        for step in range(8):
            noise = np.random.default_rng(step).integers(0, 255, (256, 256, 3))
            writer.write_image(step, "noise", noise.astype(np.uint8))
            writer.write(step, {"loss": 1.0})
    found = sorted((bucket / "tensorboard").iterdir())
    assert len(found) >= 4
    assert all(len(path.read_bytes()) < 600_000 for path in found)


def http_error(code):
    from gcsfs.retry import HttpError

    return HttpError({"code": code, "message": "said the server"})


def wrapped(error):
    try:
        try:
            raise error
        except Exception as inner:
            raise UserError("it cannot be written.") from inner
    except UserError as outer:
        return outer


def google_error(name):
    from google.api_core import exceptions

    if name == "RetryError":
        return exceptions.RetryError("Timeout of 120.0s exceeded", None)
    return getattr(exceptions, name)("said the server")


def aiohttp_error():
    import aiohttp

    return aiohttp.ServerDisconnectedError()


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (lambda: google_error("RetryError"), 75),
        (lambda: google_error("ServiceUnavailable"), 75),
        (lambda: google_error("TooManyRequests"), 75),
        (lambda: google_error("Forbidden"), 2),
        (lambda: http_error(503), 75),
        (lambda: http_error(429), 75),
        (lambda: http_error(403), 2),
        (aiohttp_error, 75),
        (lambda: ConnectionRefusedError(errno.ECONNREFUSED, "refused"), 75),
        (lambda: OSError(errno.ESTALE, "Stale file handle"), 75),
        (lambda: OSError(errno.ENOSPC, "No space left on device"), 2),
        (lambda: ValueError("UNAVAILABLE: Error writing gs://"), 75),
        (lambda: wrapped(ValueError("DEADLINE_EXCEEDED: gs://")), 75),
        (lambda: wrapped(http_error(502)), 75),
        (lambda: wrapped(OSError(errno.EACCES, "Permission denied")), 2),
        (lambda: UserError("a mistake."), 2),
    ],
)
def test_what_ends_with_which_status(make, status):
    pytest.importorskip("gcsfs")
    sentence, found = errors.explain(make())
    assert found == status
    assert "\n" not in sentence


def test_a_chain_of_causes_that_leads_back_to_itself():
    first, second = UserError("no space left"), ValueError("No space left on device")
    first.__cause__, second.__context__ = second, first
    assert list(errors.causes(first)) == [first, second]
    assert errors.explain(first) == ("no space left", 2)


def test_faults_of_the_program_keep_their_traceback():
    assert errors.explain(ValueError("shapes do not match")) is None
    assert errors.explain(KeyError("UNAVAILABLE")) is None


def test_checkpoints_of_a_server_that_went_away_are_not_called_damaged(
    remote, monkeypatch
):
    with Checkpoints(remote / "checkpoints", read_only=True) as checkpoints:
        monkeypatch.setattr(
            ocp.training.Checkpointer,
            "load",
            lambda *_: (_ for _ in ()).throw(ValueError("UNAVAILABLE: gs://")),
        )
        with pytest.raises(UserError) as caught:
            checkpoints.load_arrays(4)
    assert errors.explain(caught.value)[1] == 75
