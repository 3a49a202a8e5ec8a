"""All commands: `cyclegan-jax COMMAND ...`, or `python -m cyclegan_jax COMMAND ...`."""

import importlib
import sys

from cyclegan_jax import __version__

# Command -> its package, and what it does; their `__main__` take long to import.
COMMANDS = {
    "train": ("training", "trains a run, or resumes it"),
    "evaluate": ("evaluation", "measures a run and shows all its images"),
    "translate": ("translation", "translates pictures, folders and videos"),
    "configs": ("list_configs", "lists the configs that come with the package"),
    "app": ("app", "opens runs in the browser, to try them with photographs"),
    "export": ("export", "writes a generator as one file, or as a web page"),
    "weights": ("torch_weights", "imports and exports PyTorch's weights"),
    "from_pytorch": ("from_pytorch", "turns train_opt.txt into a config"),
    "plan": ("plan", "says what a training needs on TPUs or GPUs"),
    "study": ("study", 'makes and scores a "real or fake?" study'),
    "tables": ("tables", "trains and scores the rows of the paper's tables"),
    "fingerprint": ("fingerprint", "says where two runs part"),
    "train_fcn": ("train_fcn", "trains the network that scores photographs"),
}
_PROGRAM = "cyclegan-jax"


def main() -> None:
    """Runs the command that the first argument names, and exits with its status."""
    command, *rest = sys.argv[1:] or ["--help"]
    if command in ("--help", "-h", "help"):
        print(_usage())
    elif command in ("--version", "version"):
        print(f"cyclegan_jax {__version__}")
    elif command in COMMANDS:
        sys.argv = [f"{sys.argv[0]} {command}", *rest]
        run(command, f"{_PROGRAM} {command}")
    else:
        from cyclegan_jax.errors import did_you_mean  # Not for old Pythons.

        hint = did_you_mean(command, COMMANDS) or f"; {_PROGRAM} --help lists them"
        print(f"error: there is no command {command!r}{hint}", file=sys.stderr)
        sys.exit(2)


def run(command: str, prog: str) -> None:
    """Runs a command with the flags of this process, and exits with its status.

    Args:
      command: one of `COMMANDS`.
      prog: what it is called in messages, such as train.py.
    """
    from cyclegan_jax import cli  # First of all: it ends where packages are missing.

    module = importlib.import_module(f"cyclegan_jax.{COMMANDS[command][0]}.__main__")
    cli.run_argparse(module.parser(prog), module.main)


def _usage():
    lines = [f"  {name:12s} {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {_PROGRAM} COMMAND [--flag=value ...]",
            "",
            *lines,
            "",
            f"{_PROGRAM} COMMAND --help describes the flags, {_PROGRAM} --version names"
            " the version.",
        ]
    )


if __name__ == "__main__":
    main()
