"""The page that translates pictures in the visitor's browser."""

from collections.abc import Mapping, Sequence
from typing import Any

from cyclegan_jax.pages.report import ENVIRONMENT

FILES = ("worker.js", "index.html")
"""What `render` returns; the page comes last."""


def render(
    *,
    title: str,
    summary: Mapping[str, str],
    models: Sequence[Mapping[str, Any]],
    side: int,
    runtime: str,
) -> dict[str, bytes]:
    """Renders the page and its worker.

    Args:
      title: of the page.
      summary: heading -> short text about the run.
      models: of each direction its name `direction`, its ONNX `file`, the file's
        `bytes`, the `channels` in and out, the `multiple` and the `least` number of
        pixels of a side that the network takes, and the `most` pixels of a picture.
      side: of the pictures in training, in pixels.
      runtime: version of ONNX Runtime Web, which has to lie beside the page.

    Returns:
      Name, as in `FILES`: content.
    """
    content = {
        "title": title,
        "summary": summary,
        "models": models,
        "side": side,
        "runtime": runtime,
    }
    sources = {"worker.js": "translator_worker.js", "index.html": "translator.html"}
    return {
        name: ENVIRONMENT.get_template(sources[name]).render(**content).encode()
        for name in FILES
    }
