"""Keeps a second trainer out of a run's folder: a file lock, or a lease on a bucket.

A lease is an object that exists while a trainer works. It is created on the condition
that there is none, refreshed now and then on the condition that it is still ours, and
may be taken over once it was not refreshed for a while. Object stores guarantee the
conditions, called generations (cloud.google.com/storage/docs/request-preconditions).
"""

import contextlib
import fcntl
import json
import os
import pathlib
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

from etils import epath

from cyclegan_jax import files
from cyclegan_jax.errors import UserError, complain
from cyclegan_jax.machine import hosts

REFRESH = 15.0
"""Seconds between two refreshes."""
STALE = 75.0
"""Seconds after which a lease that nobody refreshed is void."""
PATIENCE = 15.0
"""Seconds to wait for a trainer that may be ending; one of several processes ends when
it has noticed that it lost the others, and gets these seconds more."""
_BUSY = (BlockingIOError, PermissionError)  # What `flock` says of another's lock.


@contextlib.contextmanager
def lock(workdir: epath.Path) -> Iterator[None]:
    """Keeps a second trainer out of an existing folder; freed at exit.

    Raises:
      UserError: another process trains there. In a job of several processes it may be
        a rest of the last one, and trying again later helps: caused by a TimeoutError.
      OSError: the folder cannot be written to.
    """
    if files.is_remote(workdir):
        with _Lease(workdir / ".lease"):
            yield
        return
    with (workdir / ".lock").open("w") as file:
        try:
            _lock_file(file, workdir)
        except OSError as error:  # Lustre, NFS and FUSE may have no locks.
            print(
                f"warning: {workdir} has no locks ({error.strerror}): see to it that no"
                " other process trains there.",
                file=sys.stderr,
            )
        yield


def _lock_file(file, workdir):
    """Locks a file; where a job is started again, its last one may still be ending."""
    until = None
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except _BUSY:
            now = time.monotonic()
            if until is None:
                until = now + _patience()
                print(
                    f"{workdir} is in use by another process: waiting up to"
                    f" {_patience():.0f} s for it to end",
                    flush=True,
                )
            if now >= until:
                raise _taken(workdir) from _may_end()
            time.sleep(0.2)


def _patience():
    return PATIENCE if hosts.count() == 1 else hosts.lost_after() + PATIENCE


def _taken(workdir, who=""):
    return UserError(
        f"another process{who} is training in {workdir}; stop it first,"
        " or choose another --workdir."
    )


def _may_end():
    """The cause of a refusal that may be over later; see `errors.is_temporary`."""
    return TimeoutError("it did not end") if hosts.count() > 1 else None


class _Lease:
    """A lease on gs://, kept by a thread while it is active."""

    def __init__(self, path: epath.Path):
        # Imported here: it comes with gcsfs, which only buckets need.
        from google.api_core import exceptions
        from google.cloud import storage

        bucket, _, name = os.fspath(path).removeprefix("gs://").partition("/")
        self._workdir, self._exceptions = path.parent, exceptions
        self._bucket, self._name = storage.Client().bucket(bucket), name
        self._content = json.dumps(this_process() | {"token": uuid.uuid4().hex})
        self._blob: Any = None
        self._mine, self._stopped = True, threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def __enter__(self) -> "_Lease":
        self._acquire()
        self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        self._stopped.set()
        self._thread.join()
        with contextlib.suppress(Exception):  # It will be void by itself.
            if self._mine:
                self._blob.delete(if_generation_match=self._blob.generation)

    def _write(self, generation):
        """Writes the lease if its generation is this one; 0: if there is none."""
        blob = self._bucket.blob(self._name)
        try:
            blob.upload_from_string(self._content, if_generation_match=generation)
        except self._exceptions.PreconditionFailed:
            # A request that was repeated may have succeeded the first time.
            blob = self._bucket.get_blob(self._name)
            if blob is None or _read(blob) != json.loads(self._content):
                return False
        self._blob = blob
        return True

    def _acquire(self):
        seen, void, refreshed, told = None, 0.0, False, False
        start = time.monotonic()
        while not self._write(0):
            other = self._bucket.get_blob(self._name)
            if other is None:
                continue
            who = _read(other)
            host = f" (on {who.get('host', 'another host')})"
            now = time.monotonic()
            if seen != other.generation:
                refreshed = seen is not None
                seen, void = other.generation, now + STALE
            if refreshed and now >= start + _patience():
                raise _taken(self._workdir, host) from _may_end()
            if now > void or _is_gone(who):
                if self._write(other.generation):
                    return
                raise _taken(self._workdir) from _may_end()
            if not told:
                told = True
                print(
                    f"{self._workdir} was in use by another process{host}: looking for"
                    f" up to {max(STALE, _patience()):.0f} s whether that is still"
                    " running",
                    flush=True,
                )
            time.sleep(1.0)

    def _keep(self):
        while not self._stopped.wait(REFRESH):
            try:
                self._mine = self._write(self._blob.generation)
            except Exception:  # Storage away for a moment; the training will notice.
                continue
            if not self._mine:
                complain(str(_taken(self._workdir)))
                os._exit(2)


def _read(blob):
    try:
        who = json.loads(blob.download_as_bytes())
        return who if isinstance(who, dict) else {}
    except Exception:  # Deleted just now, or not ours: waiting shows it.
        return {}


def this_process() -> dict[str, Any]:
    """Describes this process, and the machine on which its number is valid."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    space = pathlib.Path("/proc/self/ns/pid")
    machine = [socket.gethostname()]
    with contextlib.suppress(OSError):
        machine += [boot.read_text().strip(), os.readlink(space)]
    return {"host": socket.gethostname(), "machine": machine, "pid": os.getpid()}


def _is_gone(who):
    """Whether a process was on this machine and is no more."""
    here = this_process()
    if who.get("machine") != here["machine"] or not isinstance(who.get("pid"), int):
        return False
    if who["pid"] == here["pid"]:
        return True
    try:
        os.kill(who["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
