"""What the command-line programs share: flags in, one clear sentence out."""

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence

from absl import app, flags, logging

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime

_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache",
    runtime.default_cache(),
    "Folder that keeps compiled programs, so that the next start is quick; '': none.",
)
_BAD_FLAGS = (
    flags.Error,
    *(AttributeError, KeyError, TypeError, OSError, SyntaxError, ImportError),
)
_OUT_OF_MEMORY = (
    "out of memory; what helps: in training a smaller config.batch_size or"
    " config.data.crop_size, config.remat=True or a larger config.accumulate; in"
    " translate.py --size=tile; with other programs on the device, stopping them."
)


def run(
    main: Callable[..., int],
    *,
    required: Sequence[str] = (),
    positional: bool = False,
    several_hosts: bool = False,
) -> None:
    """Parses the flags, runs `main`, and exits with its status.

    Args:
      main: returns the exit status. A `UserError` becomes one sentence on standard
        error and status 2.
      required: flags that must be given.
      positional: whether there may be arguments without a flag; `main` gets them.
      several_hosts: whether `main` may run as one process on each of several hosts.
    """
    logging.use_absl_handler()
    app.define_help_flags()
    if several_hosts:
        _define_host_flags()
    try:
        rest = _parse(sys.argv, required, positional)
        runtime.configure(_COMPILATION_CACHE.value)
        arguments = [rest] if positional else []
        status = _on_all_hosts(main, *arguments) if several_hosts else main(*arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        status = 128 + signal.SIGINT
    except BrokenPipeError:  # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except (MemoryError, RuntimeError) as error:  # JAX's own is a RuntimeError.
        if not (isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)):
            raise
        print(f"error: {_OUT_OF_MEMORY}", file=sys.stderr)
        status = 2
    except OSError as error:  # A full disk, say, or a folder taken away.
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        status = 2
    sys.exit(status)


def check_command(command: str, own_flags: Mapping[str, Sequence[str]]) -> None:
    """Checks the command of a program with several, and that flags suit it.

    Args:
      command: the first argument.
      own_flags: command -> flags that no other command takes.

    Raises:
      UserError: there is no such command, or a given flag belongs to another.
    """
    if command not in own_flags:
        known = " or ".join(own_flags)
        raise UserError(f"say {known}, not {command!r}; see --help.")
    for other, names in own_flags.items():
        for name in names:
            if other != command and flags.FLAGS[name].present:
                raise UserError(f"--{name} belongs to {other}, not to {command}.")


def _define_host_flags():
    flags.DEFINE_string("coordinator", "", "HOST:PORT of process 0 of several.")
    flags.DEFINE_integer("num_processes", None, "With --coordinator: of the job.")
    flags.DEFINE_integer("process_id", None, "With --coordinator: this one's, from 0.")
    flags.DEFINE_bool(
        "detect_hosts", True, "Look for Cloud TPU, GKE, Slurm or Open MPI."
    )
    flags.DEFINE_float(
        "lost_after_seconds", 60.0, "Silence after which a process counts as lost."
    )


def _on_all_hosts(main, *arguments):
    from cyclegan_jax.machine import hosts

    values = flags.FLAGS
    hosts.connect(
        coordinator=values.coordinator,
        num_processes=values.num_processes,
        process_id=values.process_id,
        detect=values.detect_hosts,
    )
    with hosts.together(values.lost_after_seconds):
        return main(*arguments)


def _parse(arguments, required, positional):
    """Parses the flags; what config files raise becomes one sentence."""
    flags.FLAGS.set_gnu_getopt(True)  # Flags may come after other arguments.
    try:
        rest = flags.FLAGS(arguments)
        values = {name: flags.FLAGS[name].value for name in required}
        for name in flags.FLAGS:  # A config that cannot be loaded raises only now.
            hasattr(flags.FLAGS[name].value, "keys")
    except _BAD_FLAGS as error:
        raise UserError(_reason(error)) from error
    if len(rest) > 1 and not positional:
        raise UserError(f"unexpected argument {rest[1]!r}; see {rest[0]} --help.")
    for name, value in values.items():
        if value is None:
            raise UserError(f"--{name} is missing; see {rest[0]} --help.")
    return rest[1:]


def _reason(error):
    text = str(error)
    if suggestion := re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text):
        right, wrong = suggestion.groups()
        return f"there is no setting {wrong!r}; did you mean {right!r}?"
    if unknown := re.fullmatch(r"""['"]+(\w+)['"]+""", text):
        return f"there is no setting {unknown[1]!r}; configs/default.py has them all."
    # The flags pass on whole tracebacks as text, whose last line says what is wrong.
    reason = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return reason.removeprefix("ValueError: ")
