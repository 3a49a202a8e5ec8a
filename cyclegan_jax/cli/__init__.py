"""What the command-line programs share: flags in, one clear sentence out."""

import cyclegan_jax.cli.installed  # noqa: F401  First: the rest may be missing.

# isort: split
import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable

from absl import logging

from cyclegan_jax.cli import arguments
from cyclegan_jax.errors import explain, is_out_of_memory
from cyclegan_jax.machine import runtime

_OUT_OF_MEMORY = (
    "out of memory; what helps: in training config.remat=True or a larger"
    " config.accumulate, also in a run that is resumed, or in another run a smaller"
    " config.batch_size or config.data.crop_size; in translate.py --size=tile; with"
    " other programs on the device, stopping them."
)


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
        values = arguments.parse(parser, sys.argv[1:])
        runtime.configure(values.compilation_cache)
        if hasattr(values, "coordinator"):
            return _on_all_hosts(main, values)
        return main(values)

    sys.exit(_status(program))


def _status(program):
    """Runs a program; what users can mend becomes one sentence."""
    logging.use_absl_handler()
    if not sys.warnoptions:  # Libraries' warnings tell users nothing to be done.
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
            if not is_out_of_memory(error):  # JAX's own is a RuntimeError.
                raise
            explained = _OUT_OF_MEMORY, 2
        sentence, status = explained
        print(f"error: {sentence}", file=sys.stderr)
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
