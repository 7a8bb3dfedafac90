"""A web page that shows a head and needs nothing else: no network, no second file."""

import base64
import html
from importlib.resources import files


def viewer_page(glb: bytes, title: str = "portrait3d") -> bytes:
    """The page (HTML with WebGL 2) around a GLB as `glb_bytes` writes it, which it also offers to save."""
    template = files("portrait3d.export").joinpath("viewer.html").read_text(encoding="utf-8")
    page = template.replace("{{title}}", html.escape(title))
    return page.replace("{{glb}}", base64.b64encode(glb).decode()).encode()
