"""The page, with Gradio."""

import atexit
import functools
import importlib.util
import math
import os
import pathlib
import tempfile
from typing import Any

from cyclegan_jax.app import api
from cyclegan_jax.app.examples import write_examples
from cyclegan_jax.app.service import Service
from cyclegan_jax.directions import DIRECTIONS
from cyclegan_jax.errors import UserError

SIDE = 512
"""Pixels: larger pictures are shrunk to it unless the user wants otherwise."""

_WAITING = 32  # Jobs in the queue; more are refused.
_SIZES = [
    ("its own", "keep"),
    ("the square of the training, as in published results", "resize"),
    ("its own, in tiles that fit into memory", "tile"),
]
_PRIVATE_SECONDS = 3600  # After which pictures are deleted.
_FIRST_PORTS = range(7860, 7960)


def check_gradio() -> None:
    """Raises a `UserError` where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the app needs a package: pip install '.[app]'")


def build(service: Service) -> Any:
    """Lays out the page.

    Args:
      service: with the runs.

    Returns:
      `gradio.Blocks`; `launch` serves it.
    """
    # Read when it is imported.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_OFFLINE": "1"}
    import gradio as gr

    from cyclegan_jax.app.picture import upload

    cache = (_PRIVATE_SECONDS, _PRIVATE_SECONDS)
    title = ", ".join(service.runs)
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=cache) as demo:
        gr.Markdown(f"# {title}")
        with gr.Row():
            with gr.Column():
                picture = upload("picture", sources=["upload", "webcam", "clipboard"])
            with gr.Column():
                known = [
                    d
                    for d in DIRECTIONS
                    if any(d in k for k in service.directions.values())
                ]
                direction = gr.Radio(known, value=known[0], label="direction")
                size = gr.Dropdown(_SIZES, value="keep", label="size")
                longest = gr.Slider(
                    0,
                    4096,
                    SIDE,
                    step=64,
                    precision=0,
                    label="longest side in pixels (0: no limit)",
                )
                tile = gr.Number(
                    512, label="tile size in pixels", precision=0, visible=False
                )
                button = gr.Button("Translate", variant="primary")
        size.change(
            lambda value: gr.Number(visible=value == "tile"),
            size,
            tile,
            api_visibility="private",
        )
        _add_examples(gr, service, picture, direction)
        settings = [picture, direction, size, longest, tile]
        with gr.Row():
            for name in service.runs:
                _add_run(gr, service, name, settings, button)
        api.add(gr, service)
    return demo.queue(max_size=_WAITING)


def launch(
    demo: Any, *, host: str = "127.0.0.1", port: int | None = None, max_mb: int = 32
) -> str:
    """Serves a page from a thread of its own.

    Args:
      demo: from `build`.
      host: address to serve on.
      port: None for the first free one from 7860 on.
      max_mb: size of the largest file that is taken, in MB.

    Returns:
      Its address.

    Raises:
      UserError: the address cannot be used.
    """
    import gradio as gr

    system = ["system-ui", "sans-serif"]  # Not Google's, which browsers would fetch.
    mono = ["ui-monospace", "monospace"]
    ports = [port] if port else _FIRST_PORTS
    for number in ports:
        try:
            _, address, _ = demo.launch(
                server_name=host,
                server_port=number,
                prevent_thread_lock=True,
                quiet=True,
                show_error=True,
                share=False,
                max_file_size=f"{max_mb}mb",
                theme=gr.themes.Default(font=system, font_mono=mono),
                footer_links=["api"],
                run_history=False,
                enable_monitoring=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
            )
        except OSError:
            continue
        return str(address).rstrip("/")
    raise UserError(
        f"{host}:{ports[0]} cannot be served on; it is in use, or no address of this"
        " machine: name others with --host and --port."
    )


def _add_run(gr, service, name, settings, button):
    """A column with what one run makes of the picture."""
    steps = service.steps[name]
    with gr.Column(min_width=320):
        if len(service.runs) > 1:
            gr.Markdown(f"### {name}")
        result = gr.ImageSlider(
            label="before and after", format="png", interactive=False, max_height=640
        )
        note = gr.Markdown()
        if several := len(steps) > 1:
            step = gr.Slider(
                steps[0],
                steps[-1],
                steps[-1],
                step=math.gcd(*(s - steps[0] for s in steps)),
                label="step of the training",
            )
        else:
            step = gr.Number(steps[-1], visible=False)

    def show(path, direction, size, longest, tile, step):
        step = min(steps, key=lambda known: abs(known - step))  # The slider is finer.
        if direction not in service.directions[name]:
            return None, f"{name} has no generator {direction}.", step
        done = api.translated(
            service,
            path,
            name,
            direction,
            size=size,
            longest_side=longest,
            tile_size=tile,
            step=step,
        )
        return (api.shown(done.before), api.shown(done.after)), done.note, step

    link = functools.partial(
        gr.on,
        fn=show,
        inputs=[*settings, step],
        outputs=[result, note, step],
        api_visibility="private",
        **api.ONE_AT_A_TIME,
    )
    link(triggers=[button.click])
    if several:
        link(triggers=[step.release])


def _add_examples(gr, service, picture, direction):
    """Test images of the first run's data, where these are on this machine."""
    folder = tempfile.TemporaryDirectory(prefix="cyclegan_jax_examples_")
    atexit.register(folder.cleanup)
    run = service.run(next(iter(service.runs)))
    examples, reason = write_examples(run, pathlib.Path(folder.name))
    if reason:
        print(f"no examples: {reason}")
    for one, paths in examples.items():
        shown = gr.Examples(
            paths,
            picture,
            label=f"test images, {one}",
            examples_per_page=len(paths),
            api_visibility="private",
        )
        shown.dataset.click(
            functools.partial(str, one),
            None,
            direction,
            api_visibility="private",
        )
