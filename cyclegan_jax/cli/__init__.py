"""What the command-line programs share: parsing flags, and one-sentence errors."""

import cyclegan_jax.cli.installed  # noqa: F401  First: the rest may be missing.

# isort: split
import argparse
import io
import os
import signal
import sys
import warnings
from collections.abc import Callable

from absl import logging

from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import UserError, complain, explain
from cyclegan_jax.machine import runtime


def run_argparse(
    parser: arguments.Parser, main: Callable[[argparse.Namespace], int]
) -> None:
    """Parses a command's flags, runs `main`, and exits with its status.

    Args:
      parser: of the command; an argument called `files` takes all that is not a flag.
        With `Parser.add_hosts`, `main` runs as one process on each of several hosts.
      main: takes the values and returns the exit status. A `UserError` becomes one
        sentence on standard error and status 2.
    """

    def program():
        _check_folder()
        values = arguments.parse(parser, sys.argv[1:])
        runtime.configure(values.compilation_cache)
        if hasattr(values, "coordinator"):
            return _on_all_hosts(main, values)
        return main(values)

    sys.exit(_status(program))


def _check_folder():
    """Some libraries end the process where the current folder is gone."""
    try:
        os.getcwd()
    except OSError as error:
        raise UserError(
            f"the current folder cannot be used ({error.strerror}); cd to another one."
        ) from error


def _status(program):
    """Runs a program; an error that users can fix becomes one sentence."""
    logging.use_absl_handler()
    for name in ("stdout", "stderr"):  # A service may have closed them.
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (until the end)
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
        complain(sentence)
        return status


def _on_all_hosts(main, values):
    from cyclegan_jax.machine import ending, hosts

    hosts.connect(
        coordinator=values.coordinator,
        num_processes=values.num_processes,
        process_id=values.process_id,
        detect=values.detect_hosts,
        timeout=values.initialization_timeout,
        lost_after_seconds=values.lost_after_seconds,
    )
    with ending.together(values.lost_after_seconds):
        return main(values)
