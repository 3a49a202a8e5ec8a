"""The one exception that stands for a user's mistake, and how memory runs out."""


class UserError(Exception):
    """Bad input: one clear sentence: what is wrong, where, and what to do.

    The command-line programs print it after `error: ` and exit with status 2;
    they never show a traceback for it.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory did not suffice, here or on a device."""
    return isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error)
