"""The one exception that stands for a user's mistake."""


class UserError(Exception):
    """Bad input: one clear sentence that says what, where, and what to do.

    The command-line programs print it after `error: ` and exit with status 2;
    they never show a traceback for it.
    """
