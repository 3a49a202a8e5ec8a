"""What the command-line programs share: flags in, one clear sentence out."""

import sys
from collections.abc import Callable, Sequence

from absl import flags, logging

from cyclegan_jax.errors import UserError


def run(main: Callable[[], int], *, required: Sequence[str] = ()) -> None:
    """Parses the flags, runs `main`, and exits with its status.

    Args:
      main: returns the exit status. A `UserError` becomes one sentence on standard
        error and status 2.
      required: flags that must be given.
    """
    logging.use_absl_handler()
    try:
        rest = flags.FLAGS(sys.argv)
        if len(rest) > 1:
            raise UserError(f"unexpected argument {rest[1]!r}; see {rest[0]} --help.")
        for name in required:
            if flags.FLAGS[name].value is None:
                raise UserError(f"--{name} is missing; see {rest[0]} --help.")
        status = main()
    except (UserError, flags.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    sys.exit(status)
