"""`app`: the web page on this computer."""

from importlib.util import find_spec
from typing import Annotated

import typer

from portrait3d.cli.console import Models, say
from portrait3d.cli.portraits import load_model


def open_page(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to listen; 0 takes any free port.")
    ] = 7860,
    models: Models = None,
) -> None:
    """Open a page on this computer: drop a photo, turn the head, take the files home.

    Needs the extra `app`: pip install 'portrait3d[app]'. Only this computer can open the page, and no network
    is used. Ctrl-C ends it and deletes the uploads.
    """
    if find_spec("gradio") is None:
        raise OSError("The page needs Gradio: pip install 'portrait3d[app]'")
    from portrait3d.app.server import serve

    def announce(address: str) -> None:
        say(f"The page is at {address} (Ctrl-C ends it).")

    serve(load_model(models, quiet=False), port, announce)
