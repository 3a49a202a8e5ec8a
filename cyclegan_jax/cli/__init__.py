"""What the command-line programs share: parsing flags, and one-sentence errors."""

import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence

from absl import app, flags, logging

from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError, explain
from cyclegan_jax.machine import runtime

_COMPILATION_CACHE = flags.DEFINE_string(
    "compilation_cache", runtime.default_cache(), arguments.COMPILATION_CACHE
)


def run(
    main: Callable[..., int],
    *,
    required: Sequence[str] = (),
    positional: bool = False,
    several_hosts: bool = False,
) -> None:
    """Parses absl's flags, runs `main`, and exits with its status.

    Args:
      main: returns the exit status. A `UserError` becomes one sentence on standard
        error and status 2.
      required: flags that must be given.
      positional: whether there may be arguments without a flag; `main` gets them.
      several_hosts: whether `main` may run as one process on each of several hosts.
    """
    app.define_help_flags()
    if several_hosts:
        _define_host_flags()

    def program():
        rest = _parse(sys.argv, required, positional)
        runtime.configure(_COMPILATION_CACHE.value)
        values = [rest] if positional else []
        return _on_all_hosts(main, *values) if several_hosts else main(*values)

    sys.exit(_status(program))


def run_argparse(
    parser: arguments.Parser, main: Callable[[argparse.Namespace], int]
) -> None:
    """Parses a `python -m` command's flags, runs `main`, and exits with its status.

    Args:
      parser: of the command; an argument called `files` takes all that is not a flag.
      main: takes the values and returns the exit status; errors as in `run`.
    """

    def program():
        values = arguments.parse(parser, sys.argv[1:])
        runtime.configure(values.compilation_cache)
        return main(values)

    sys.exit(_status(program))


def _status(program):
    """Runs a program; an error that users can fix becomes one sentence."""
    logging.use_absl_handler()
    for stream in (sys.stdout, sys.stderr):  # Locales, and names that are not UTF-8.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not sys.warnoptions:  # Users cannot act on the warnings of libraries.
        warnings.simplefilter("ignore")
    try:
        return program()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except BrokenPipeError:  # Whoever read our output has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if (explained := explain(error)) is None:
            raise
        sentence, status = explained
        print(f"error: {sentence}", file=sys.stderr)
        return status


def _define_host_flags():
    flags.DEFINE_string("coordinator", "", "HOST:PORT of process 0 of several.")
    flags.DEFINE_integer("num_processes", None, "With --coordinator: how many.")
    flags.DEFINE_integer("process_id", None, "With --coordinator: index, from 0.")
    flags.DEFINE_bool(
        "detect_hosts", True, "Detect a job of Cloud TPU, GKE, Slurm or Open MPI."
    )
    flags.DEFINE_float(
        "lost_after_seconds", 60.0, "Silence after which a process counts as lost."
    )
    flags.DEFINE_float(
        "initialization_timeout", 300.0, "Seconds to wait for the other processes."
    )


def _on_all_hosts(main, *arguments):
    from cyclegan_jax.machine import ending, hosts

    values = flags.FLAGS
    hosts.connect(
        coordinator=values.coordinator,
        num_processes=values.num_processes,
        process_id=values.process_id,
        detect=values.detect_hosts,
        timeout=values.initialization_timeout,
        lost_after_seconds=values.lost_after_seconds,
    )
    with ending.together(values.lost_after_seconds):
        return main(*arguments)


def _parse(argv, required, positional):
    """Parses the flags; what config files raise becomes one sentence."""
    flags.FLAGS.set_gnu_getopt(True)  # Flags may come after other arguments.
    try:
        rest = _parse_flags(argv)
        values = {name: flags.FLAGS[name].value for name in required}
        for name in flags.FLAGS:  # A config that cannot be loaded raises only now.
            hasattr(flags.FLAGS[name].value, "keys")
    except arguments.BAD_FLAGS as error:
        raise UserError(arguments.explain(error)) from error
    if len(rest) > 1 and not positional:
        raise UserError(f"unexpected argument {rest[1]!r}; see {rest[0]} --help.")
    for name, value in values.items():
        if value is None:
            raise UserError(f"--{name} is missing; see {rest[0]} --help.")
    return rest[1:]


def _parse_flags(argv):
    try:
        return flags.FLAGS(argv)
    except SystemExit:  # After --help, with status 1.
        sys.exit(0)
