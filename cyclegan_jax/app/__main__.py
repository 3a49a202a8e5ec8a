r"""Opens trained runs as a web page on this machine, to try them with photographs.

    python -m cyclegan_jax.app --workdir=runs/horse2zebra
    python -m cyclegan_jax.app --workdir=runs/lsgan runs/wgan --port=8000

Several runs are shown side by side; a run with several checkpoints has a slider over
the training. It needs Gradio: pip install '.[app]'.
"""

import argparse

from cyclegan_jax import cli
from cyclegan_jax.cli.arguments import Parser, at_least


def parser(prog: str = "python -m cyclegan_jax.app") -> Parser:
    """Returns the parser of the command's flags."""
    flags = Parser(prog=prog, description=__doc__)
    add = flags.add_argument
    add("--workdir", required=True, action="append", help="the run's folder")
    add("files", nargs="*", metavar="RUN", help="folders of more runs")
    add(
        "--host",
        default="127.0.0.1",
        help="address to serve on; 0.0.0.0 lets others in, without a password",
    )
    add("--port", type=at_least(1), help="by default the first free one from 7860 on")
    add("--max_mb", type=at_least(1), default=32, help="largest file (32)")
    flags.add_bool("average", True, "moving averages where they exist")
    return flags


def main(values: argparse.Namespace) -> int:
    """Serves the page until it is interrupted."""
    # After the flags: they are slow.
    from cyclegan_jax.app import interface
    from cyclegan_jax.app.service import Service

    interface.check_gradio()
    service = Service([*values.workdir, *values.files], average=values.average)
    demo = interface.build(service)
    address = interface.launch(
        demo, host=values.host, port=values.port, max_mb=values.max_mb
    )
    print(f"Translating with {', '.join(service.runs)} at {address} (Ctrl+C: stop)")
    demo.block_thread()
    return 0


if __name__ == "__main__":
    cli.run_argparse(parser(), main)
