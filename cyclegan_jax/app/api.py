"""The HTTP API, and what it shares with the page."""

from typing import Any

import numpy as np

from cyclegan_jax import images
from cyclegan_jax.app.service import Service, Translation
from cyclegan_jax.errors import explain

ONE_AT_A_TIME: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "device"}
"""Of events that translate: one queue for all, since a job has all devices."""


def add(gr: Any, service: Service) -> None:
    """Adds what programs call, /translate and /runs, inside `gr.Blocks`.

    Args:
      gr: the package gradio.
      service: with the runs.
    """
    from cyclegan_jax.app.picture import upload

    def translate(
        picture, run, direction, size="keep", longest_side=0, tile_size=512, step=0
    ):
        """Translates a picture with a run; step 0 is its newest checkpoint."""
        done = translated(
            service,
            picture,
            run,
            direction,
            size=size,
            longest_side=longest_side,
            tile_size=tile_size,
            step=step,
        )
        return shown(done.after), done.note

    def runs() -> dict:
        """Lists the runs, with their directions and the steps of their checkpoints."""
        return {
            name: {"directions": service.directions[name], "steps": service.steps[name]}
            for name in service.runs
        }

    names = list(service.runs)
    with gr.Row(visible=False):
        values = [
            upload("picture"),
            gr.Textbox(names[0], label="run: its name"),
            gr.Textbox("AtoB", label="direction: AtoB or BtoA"),
            gr.Textbox("keep", label="size: keep, resize or tile"),
            gr.Number(
                0, label="longest side in pixels; 0: the picture's own", precision=0
            ),
            gr.Number(512, label="side of the tiles in pixels", precision=0),
            gr.Number(0, label="step of the checkpoint; 0: the newest", precision=0),
        ]
        outputs = [
            gr.Image(label="translation", format="png"),
            gr.Textbox(label="about it"),
        ]
        gr.Button().click(
            translate, values, outputs, api_name="translate", **ONE_AT_A_TIME
        )
    gr.api(runs, api_name="runs")


def translated(
    service: Service, path: str | None, name: str, direction: str, **options: Any
) -> Translation:
    """Translates as `Service.translate`.

    Raises:
      gradio.Error: one sentence on what the user can do something about.
    """
    import gradio as gr

    try:
        return service.translate(path, name, direction, **options)
    except Exception as error:
        if (explained := explain(error)) is None:
            raise
        raise gr.Error(explained[0], print_exception=False) from error


def shown(pixels: np.ndarray) -> np.ndarray:
    """Makes uint8 [H, W, C] what browsers show: 3 channels, or 4 with transparency."""
    return pixels if pixels.shape[-1] == 4 else images.as_rgb(pixels)
