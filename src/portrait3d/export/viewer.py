"""A web page that shows a head and needs nothing else: no network, no second file."""

import base64
import html
import re
from importlib.resources import files

from portrait3d import arguments
from portrait3d.names import as_text


def viewer_html(glb: bytes, title: str = "portrait3d") -> str:
    """The page (HTML with WebGL 2) around a GLB as `encode_glb` writes it, which it also offers to save.

    Drag, scroll and pinch turn and scale the head; sliders move its morph targets, if it has any. It stands
    alone or in a frame (`srcdoc`). A link may name the first view after `#`: `yaw`, `pitch` (degrees),
    `zoom`, `mode` (0 photo, 1 soft light, 2 shape only) and weights of morph targets by their names.

    Raises `TypeError` for what is no bytes or text, `ValueError` for bytes that are no GLB.
    """
    if not arguments.instance(glb, bytes, "glb").startswith(b"glTF"):
        raise ValueError("glb must be the content of a GLB file, which begins with glTF.")
    arguments.text(title, "title")
    template = files("portrait3d.export").joinpath("viewer.html").read_text(encoding="utf-8")
    content = {"title": html.escape(as_text(title)), "glb": base64.b64encode(glb).decode()}
    return re.sub(r"\{\{(title|glb)\}\}", lambda place: content[place[1]], template)
