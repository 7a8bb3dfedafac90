"""Serving the page to this computer alone, from a temporary folder that goes when the server does."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from portrait3d import arguments
from portrait3d.app.folder import ended_by_signals, upload_folder
from portrait3d.app.guard import Guard, read_json
from portrait3d.app.session import (
    EXPRESSIONS,
    MAX_FILE_BYTES,
    Controls,
    ExpiredError,
    Session,
    Sessions,
    head_file,
    turned_photo,
    viewer_file,
)
from portrait3d.export.images import encode_image
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import HeadAngles

HOST = "127.0.0.1"
"""The loopback address: no other computer can connect."""
HOST_NAMES = [HOST, "localhost"]
"""What browsers may call the server; other names come from pages that try to reach it behind one's back."""
SETTINGS = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Environment in which Gradio calls nobody; it reads it as it is imported."""


def serve(model: Portrait3D, port: int, announce: Callable[[str], Any]) -> None:
    """Serve the page until the program is interrupted or terminated, which ends the process at once.

    Args:
        model: The networks.
        port: 0 takes any free one.
        announce: Called with the page's address once it can be opened.

    Raises:
        OSError: The port is taken.
    """
    import uvicorn

    with open_port(port) as listener, upload_folder() as folder, ended_by_signals(folder):
        config = uvicorn.Config(web_app(model, folder), log_level="warning", proxy_headers=False)
        server = uvicorn.Server(config)
        # Left to uvicorn, signals would wait for whatever is going on.
        server.capture_signals = nullcontext  # pyright: ignore[reportAttributeAccessIssue]
        announce(f"http://{HOST}:{listener.getsockname()[1]}/")
        server.run(sockets=[listener])


def web_app(model: Portrait3D, folder: Path) -> Any:
    """The page and the files of its open photos as an ASGI application; uploads go to `folder`.

    Gradio moves and opens no file outside the folder: `Guard` refuses requests that name one.
    """
    arguments.instance(model, Portrait3D, "model")
    folder = Path(arguments.path(folder, "folder")).resolve()
    os.environ |= SETTINGS | {"GRADIO_TEMP_DIR": str(folder)}
    import gradio as gr
    from fastapi import FastAPI
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from portrait3d.app.examples import write_examples
    from portrait3d.app.page import Page, style, theme

    sessions = Sessions()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Guard, folder=folder, max_upload=MAX_FILE_BYTES)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=HOST_NAMES)
    add_files(app, sessions)
    page = Page(model, sessions, write_examples(folder), folder)
    return gr.mount_gradio_app(
        app,
        page.blocks,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,
        show_error=True,
        max_file_size=MAX_FILE_BYTES,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=theme(),
        css=style(),
    )


def add_files(app: Any, sessions: Sessions) -> None:
    """Routes to the files of every open photo, below `/heads/KEY/`."""
    from fastapi import HTTPException, Response

    def session(key: str) -> Session:
        try:
            return sessions.get(key)
        except ExpiredError as error:
            raise HTTPException(404, str(error)) from error

    @app.get("/heads/{key}/head.glb")
    def head(key: str) -> Response:
        return Response(head_file(session(key)), media_type="model/gltf-binary")

    @app.get("/heads/{key}/viewer.html")
    def viewer(key: str) -> Response:
        return Response(viewer_file(session(key)), media_type="text/html")

    @app.get("/heads/{key}/turned.png")
    def turned(key: str, yaw: float, pitch: float, roll: float, expression: str = "{}") -> Response:
        opened = session(key)
        try:
            controls = Controls(angles=HeadAngles(yaw, pitch, roll), expression=strengths(expression))
            pixels = turned_photo(opened, controls)
        except ValueError as error:
            raise HTTPException(400, str(error)) from error
        return Response(encode_image(pixels), media_type="image/png")


def strengths(text: str) -> dict[str, float]:
    """Strengths by the names of `EXPRESSIONS` from JSON; raises `ValueError` for anything else."""
    values = read_json(text)
    if not isinstance(values, dict) or not all(
        name in EXPRESSIONS and isinstance(value, int | float) and 0 <= value <= 1
        for name, value in values.items()
    ):
        raise ValueError(f"Expressions are numbers from 0 to 1 by {', '.join(EXPRESSIONS)}, got {text}.")
    return values


@contextmanager
def open_port(port: int) -> Iterator[socket.socket]:
    """A socket that listens on this computer's own address alone."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise OSError(f"Port {port} can't be used ({error.strerror}); 0 takes any free one.") from error
        listener.listen()
        yield listener
