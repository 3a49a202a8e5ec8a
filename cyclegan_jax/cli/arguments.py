"""The flags of the `python -m` commands, with argparse."""

import argparse
import difflib
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import ml_collections
from absl import flags
from ml_collections import config_flags

from cyclegan_jax.errors import UserError
from cyclegan_jax.machine import runtime

# What a config file and its flags raise.
BAD_FLAGS = (
    flags.Error,
    *(AttributeError, KeyError, TypeError, OSError, SyntaxError, ImportError),
)


COMPILATION_CACHE = "folder to cache compiled programs in, for quicker starts; '': none"
"""Help of the flag of that name."""


class Parser(argparse.ArgumentParser):
    """The flags of a `python -m` command, for `cli.run_argparse`.

    Flags are written --name=value or --name value; mistakes are `UserError`s.
    """

    def __init__(self, **kwargs):
        """Takes what `argparse.ArgumentParser` takes, as do parsers of sub-commands."""
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(**{"formatter_class": formatter, **kwargs}, allow_abbrev=False)
        self.add_argument(
            "--compilation_cache",
            default=runtime.default_cache(),
            metavar="FOLDER",
            help=COMPILATION_CACHE,
        )

    def error(self, message: str) -> NoReturn:
        """Raises argparse's message as a `UserError`."""
        message = message.replace("the following arguments are required", "missing")
        raise UserError(f"{message}; see {self.prog} --help.")

    def add_bool(self, name: str, default: bool, text: str) -> None:
        """Adds --name and --noname; --name=false is the same as the latter."""
        self.add_argument(
            f"--{name}", nargs="?", const=True, default=default, type=_bool, help=text
        )
        self.add_argument(f"--no{name}", dest=name, action="store_false")

    def add_config(self, text: str, *, required: bool = False) -> None:
        """Adds --config=FILE[:VARIANT], which is read, and --config.SETTING=VALUE."""
        self.add_argument("--config", metavar="FILE", help=text, required=required)
        self.set_defaults(overrides=[])


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the flags of a `python -m` command.

    Raises:
      UserError: they are not those of the command.
    """
    known = _known_flags(parser)
    own, overrides, waiting = [], [], False
    for argument in arguments:
        if waiting or argument.startswith("--config."):
            overrides.append(argument)
            waiting = not waiting and "=" not in argument
            continue
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in known:  # Before missing flags.
            close = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {close[0]}?" if close else ""
            parser.error(f"there is no flag {name}{hint}")
        own.append(argument)
    values, rest = parser.parse_known_args(own)
    unexpected = [argument for argument in rest if argument.startswith("-")]
    if not hasattr(values, "overrides"):
        unexpected += overrides
    if hasattr(values, "files"):  # argparse takes those before the first flag only.
        values.files += [argument for argument in rest if argument not in unexpected]
    elif not unexpected:
        unexpected = rest
    if unexpected:
        parser.error(f"unexpected argument {unexpected[0]!r}")
    if overrides:
        values.overrides = overrides
    if getattr(values, "config", None):
        values.config = read_config(values.config, overrides)
    return values


def _known_flags(parser):
    """The flags of a parser and of all its sub-commands."""
    known = set(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            known = known.union(*map(_known_flags, action.choices.values()))
    return known


def at_least(least: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer that is at least this."""

    def parse_integer(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    parse_integer.__name__ = "integer"  # What argparse calls it.
    return parse_integer


def _bool(text):
    known = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in known:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return known[text.lower()]


def read_config(file: str, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """Reads the config of --config=FILE[:VARIANT] and its --config.SETTING=VALUE.

    Raises:
      UserError: there is no such file, variant or setting, or a value is invalid.
    """
    own, arguments = flags.FlagValues(), ["", f"--config={file}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=own, sys_argv=arguments)
    try:
        own(arguments)
        config = own["config"].value
        hasattr(config, "keys")  # A config that cannot be loaded raises only now.
    except BAD_FLAGS as error:
        raise UserError(explain(error)) from error
    return config


def explain(error: Exception) -> str:
    """Returns what is wrong with a config or its flags, from one of `BAD_FLAGS`."""
    text = str(error)
    if suggestion := re.search(r'Did you mean "(\w+)" instead of "(\w+)"', text):
        right, wrong = suggestion.groups()
        return f"there is no setting {wrong!r}; did you mean {right!r}?"
    if unknown := re.fullmatch(r"""['"]+(\w+)['"]+""", text):
        return f"there is no setting {unknown[1]!r}; configs/default.py has them all."
    # config_flags reports whole tracebacks as text; the last line is the reason.
    reason = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return reason.removeprefix("ValueError: ")
