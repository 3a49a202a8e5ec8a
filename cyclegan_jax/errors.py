"""The exception that stands for a user's mistake, and what else ends a program."""

import contextlib
import difflib
import errno
import os
import sys
from collections.abc import Iterable, Iterator

TRY_AGAIN = os.EX_TEMPFAIL
"""Exit status where the same command may succeed later, such as 75 on Linux."""

# Of packages that talk to object stores; their errors are not Python's.
_STORAGE_PACKAGES = ("gcsfs", "google", "aiohttp", "botocore")
_LATER = (408, 429)  # HTTP: request timeout, too many requests; and all from 500 on.
_AWAY = (
    *(errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EREMOTEIO, errno.ENOTCONN),
    *(errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ENETDOWN),
    *(errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ESHUTDOWN),
)
# TensorStore's errors are ValueErrors that begin so.
_UNAVAILABLE = (
    *("UNAVAILABLE", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED"),
    "RESOURCE_EXHAUSTED",  # Too many requests.
)
_OUT_OF_MEMORY = (
    "out of memory; what helps: in training config.remat=True or a larger"
    " config.accumulate, also in a run that is resumed, or in another run a smaller"
    " config.batch_size or config.data.crop_size; in translate.py --size=tile; with"
    " other programs on the device, stopping them."
)


class UserError(Exception):
    """Bad input: one clear sentence: what is wrong, where, and what to do.

    The command-line programs print it after `error: ` and exit with status 2;
    they never show a traceback for it.
    """


def complain(sentence: str) -> None:
    """Prints what ends this process on standard error, if anybody still reads that.

    Where a launcher such as `mpirun` is gone, writing raises; but what ends the process
    next, in whatever thread, must happen all the same.
    """
    with contextlib.suppress(OSError, ValueError):
        print(f"error: {sentence}", file=sys.stderr, flush=True)


def did_you_mean(word: str, known: Iterable[str], prefix: str = "") -> str:
    """Returns `; did you mean ...?` with the nearest of some names, or "".

    Args:
      word: what was written.
      known: what could have been.
      prefix: put before the name.
    """
    nearest = closest(word, known)
    return f"; did you mean {prefix}{nearest}?" if nearest else ""


def closest(word: str, known: Iterable[str]) -> str:
    """Returns the most similar name, or "" where none is similar."""
    known = list(known)
    near = difflib.get_close_matches(word, known, 1)
    parts = [name for name in known if len(word) > 3 and word in name]
    return next(iter(near + parts), "")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory did not suffice, here or on a device."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an exception and those that led to it, the last one first."""
    seen: list[BaseException] = []  # Chains of Orbax can lead back to their start.
    while error is not None and all(error is not one for one in seen):
        seen.append(error)
        yield error
        hidden = error.__suppress_context__
        error = error.__cause__ or (None if hidden else error.__context__)


def is_storage_error(error: BaseException) -> bool:
    """Whether an exception comes from a package that talks to an object store."""
    return any(
        kind.__module__.partition(".")[0] in _STORAGE_PACKAGES
        for kind in type(error).__mro__
    )


def is_temporary(error: BaseException) -> bool:
    """Whether storage or the network failed in a way that may be over later.

    Args:
      error: any exception; what led to it counts as well.
    """
    return any(map(_is_away, causes(error)))


def _is_away(error):
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in _AWAY
    if is_storage_error(error):
        code = getattr(error, "code", None) or getattr(error, "status", None)
        if isinstance(code, int):
            return code in _LATER or code >= 500
        # Google's library for credentials knows which of its errors may pass.
        return bool(getattr(error, "retryable", "credentials" not in str(error)))
    if isinstance(error, ValueError):
        text = str(error)  # A full disk stays full: somebody has to see to it.
        full = "No space left" in text or "Disk quota exceeded" in text
        return text.startswith(_UNAVAILABLE) and not full
    return isinstance(error, TimeoutError)


def one_line(error: BaseException) -> str:
    """Returns what an exception says, in one line of at most 200 characters."""
    text = str(error).strip().split("\n")[0][:200]
    return text or type(error).__name__


def _is_from(error, module):
    """Whether this module raised an exception."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    return last is not None and last.tb_frame.f_globals.get("__name__") == module


def explain(error: BaseException) -> tuple[str, int] | None:
    """Returns the sentence and the exit status for an error that needs no traceback.

    Args:
      error: what ended a program.

    Returns:
      None where it is a fault of the program, whose traceback is wanted.
    """
    if is_temporary(error):
        sentence = f"the storage does not answer ({one_line(error)})."
        sentence = str(error) if isinstance(error, UserError) else sentence
        return f"{sentence} Run the same command again later to go on.", TRY_AGAIN
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, OSError):  # A full disk, say, or a folder taken away.
        where = f": {error.filename}" if error.filename else ""
        return f"{error.strerror or error}{where}", 2
    if is_storage_error(error):  # Not allowed, say, or no such bucket.
        return f"the storage refuses: {one_line(error)}", 2
    if _is_from(error, "jax._src.xla_bridge"):  # With a bare AssertionError for CUDA.
        asked = os.environ.get("JAX_PLATFORMS", "")
        reason = "" if isinstance(error, AssertionError) else f" ({one_line(error)})"
        return (
            f"JAX finds no device for JAX_PLATFORMS={asked}{reason}: unset it to use"
            ' what is here, or install the backend, such as pip install "jax[cuda13]".'
        ), 2
    if is_out_of_memory(error):  # JAX's own is a RuntimeError.
        return _OUT_OF_MEMORY, 2
    return None
