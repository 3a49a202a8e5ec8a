"""The flags of the `python -m` commands, with argparse."""

import argparse
import math
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

import ml_collections
from absl import flags
from ml_collections import config_flags

from cyclegan_jax.cli import config_files, pytorch_options
from cyclegan_jax.errors import UserError, closest
from cyclegan_jax.machine import runtime

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
            f"--{name}", default=default, type=_bool, metavar="true", help=text
        )
        self.add_argument(f"--no{name}", dest=name, action="store_false")

    def add_config(self, text: str, *, required: bool = False) -> None:
        """Adds --config=NAME[:VARIANT], which is read, and --config.SETTING=VALUE.

        NAME is that of a config of the package, or a file. The values have the config
        as `config`, and the file and variant as `config_file`.
        """
        self.add_argument("--config", metavar="NAME", help=text, required=required)
        self.set_defaults(overrides=[], config_file="")

    def add_hosts(self) -> None:
        """Adds what connects the processes of a job on several hosts."""
        add = self.add_argument
        add("--coordinator", default="", help="HOST:PORT of process 0 of several")
        add("--num_processes", type=int, help="with --coordinator: of the job")
        add("--process_id", type=int, help="with --coordinator: this one's, from 0")
        self.add_bool("detect_hosts", True, "look for Cloud TPU, GKE, Slurm, Open MPI")
        add(
            "--lost_after_seconds",
            type=positive,
            default=60.0,
            help="silence after which a process counts as lost (60)",
        )
        add(
            "--initialization_timeout",
            type=positive,
            default=300.0,
            help="seconds to wait for the other processes (300)",
        )


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """Parses the flags of a command.

    Raises:
      UserError: they are not those of the command.
    """
    known = known_flags(parser)
    own, overrides, waiting = [], [], False
    for number, argument in enumerate(arguments):
        setting = argument.startswith("--config.")
        if setting or (waiting and not argument.startswith("--")):
            overrides.append(argument)
            waiting = setting and "=" not in argument
            continue
        waiting = False
        name, equals, _ = argument.partition("=")
        if name.startswith("--") and name not in known:  # Before what is missing.
            raise _unknown(parser, name, known)
        if name in known and known[name].type is _bool and not equals:
            following = arguments[number + 1 : number + 2]
            if not following or following[0].lower() not in _BOOLS:
                argument += "=true"  # What follows is not its value.
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
        hint = _meant(unexpected[0], known)
        parser.error(f"unexpected argument {unexpected[0]!r}{hint}")
    if overrides:
        values.overrides = overrides
    if getattr(values, "config", None) is not None:
        values.config_file = config_files.locate(values.config)
        values.config = read_config(values.config_file, overrides)
    return values


def _meant(argument, known):
    """A hint for what lacks its dashes, or the name of its flag."""
    flag = "--" + argument.lstrip("-")
    name = flag.partition("=")[0]
    if name in known or (name.startswith("--config.") and "--config" in known):
        return f"; did you mean {flag}?"
    stem = argument.partition(":")[0].rpartition("/")[2].removesuffix(".py")
    if "--config" in known and stem in config_files.names():
        return f"; did you mean --config={argument}?"
    return ""


def _unknown(parser, name, known):
    """The error for a flag that the command does not have."""
    sentence = pytorch_options.explain(name, known)
    if sentence is None:
        sentence = f"there is no flag {name}"
        if nearest := closest(name, known):
            sentence += f"; did you mean {nearest}?"
            return UserError(f"{sentence} See {parser.prog} --help.")
    return UserError(f"{sentence}; see {parser.prog} --help.")


def known_flags(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Returns the flags of a parser and of all its sub-commands, by name."""
    known = dict(parser._option_string_actions)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                known |= known_flags(command)
    return known


def positive(text: str) -> float:
    """An argparse type: a finite number above 0."""
    if not 0 < float(text) < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a finite number above 0")
    return float(text)


positive.__name__ = "number"  # What argparse calls it.


def at_least(least: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer that is at least this."""

    def parse_integer(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    parse_integer.__name__ = "integer"  # What argparse calls it.
    return parse_integer


_BOOLS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


def _bool(text):
    if text.lower() not in _BOOLS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return _BOOLS[text.lower()]


def read_config(
    config: str, overrides: Sequence[str] = ()
) -> ml_collections.ConfigDict:
    """Reads the config of --config=NAME[:VARIANT] and its --config.SETTING=VALUE.

    Raises:
      UserError: there is no such file, variant or setting, or a value is invalid.
    """
    file = config_files.locate(config)
    own, arguments = flags.FlagValues(), ["", f"--config={file}", *overrides]
    config_flags.DEFINE_config_file("config", flag_values=own, sys_argv=arguments)
    try:
        own(arguments)
        values = own["config"].value
        hasattr(values, "keys")  # A config that cannot be loaded raises only now.
    except Exception as error:  # Whatever the code of a config raises.
        given = [text.partition("=")[0].removeprefix("--config.") for text in overrides]
        raise UserError(_explain(error, file, given)) from error
    if values is None:
        raise UserError(f"{file}: get_config() returns no config.")
    return values


def _explain(error, file, given):
    """Says what is wrong with a config or its settings."""
    text = str(error)
    if re.search(r'Did you mean "\w+" instead of "\w+"', text) or (
        re.fullmatch(r"""['"]+(\w+)['"]+""", text)
    ):
        known = list(read_config(file).to_dict() | _flat(read_config(file)))
        for name in given:
            if name not in known:
                return _nearest_setting(name, known)
    # The flags pass on whole tracebacks as text, whose last line says what is wrong.
    reason = [line.strip() for line in text.splitlines() if line.strip()][-1]
    return reason.removeprefix("ValueError: ")


def _flat(config, prefix=""):
    """The settings of a config by their whole names, such as data.path."""
    flat = {}
    for name, value in config.items():
        if isinstance(value, ml_collections.ConfigDict):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _nearest_setting(name, known):
    """The group may be missing or another: learning_rate, data.batch_size."""
    group, _, last = name.rpartition(".")
    full = {known_name.rpartition(".")[2]: known_name for known_name in reversed(known)}
    nearest = full.get(last) or full.get(closest(last, full))
    if nearest:
        return f"there is no setting {name!r}; did you mean {nearest!r}?"
    where = f" in {group}" if group else ""
    return f"there is no setting {last!r}{where}; configs/default.py has them all."
