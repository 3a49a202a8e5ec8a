"""A picture that is uploaded, given as the file that came."""

from typing import Any

import gradio as gr


def upload(label: str, **options: Any) -> Any:
    """Makes a `gr.Image` whose file we read, with our rules and our messages.

    Gradio itself would decode it with Pillow's, and fetch what an address names. (The
    methods are replaced, since it writes a file beside the source of a subclass.)

    Args:
      label: of the picture.
      options: for `gr.Image`.
    """
    picture = gr.Image(type="filepath", image_mode=None, label=label, **options)
    keep = picture.async_move_resource_to_block_cache

    async def keep_files(url_or_file_path):
        if "://" in str(url_or_file_path or ""):
            reason = "a picture is uploaded, not named by its address."
            raise gr.Error(reason, print_exception=False)
        return await keep(url_or_file_path)

    picture.async_move_resource_to_block_cache = keep_files
    picture.preprocess = lambda payload: payload.path if payload else None
    return picture
