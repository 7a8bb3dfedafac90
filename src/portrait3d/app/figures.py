"""The page's pictures and links as HTML, each picture with a text for those who can't see it."""

import base64
import html
import io
import json
from urllib.parse import urlencode

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from portrait3d.app.session import Controls, Findings
from portrait3d.models.fit_quality import LEAST_QUALITY
from portrait3d.portrait import HeadAngles

QUALITY = 88
"""Of the page's JPEGs: they travel with every move of a slider; files have all the photo's quality."""
BOX_SIDE = 480
"""Longest side (pixels) of the picture in which faces are chosen."""


def picture(pixels: UInt8[np.ndarray, "H W 3"], text: str, caption: str = "") -> str:
    """A picture inside the page itself; `text` is its alternative text."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=QUALITY)
    data = base64.b64encode(stream.getvalue()).decode()
    height, width = pixels.shape[:2]
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{html.escape(text)}" '
        f'width="{width}" height="{height}" decoding="sync">{below}</figure>'
    )


def turned_figure(pixels: UInt8[np.ndarray, "h w 3"], controls: Controls) -> str:
    """The turned photo."""
    return picture(pixels, f"The photo with the head turned: {describe(controls)}.")


def findings_figures(found: Findings, quality: float) -> str:
    """Landmarks, parsing and depth beside each other, and a warning below a face that was fitted badly."""
    poor = f"The face may be fitted badly: quality {quality:.2f} of 1." if quality < LEAST_QUALITY else ""
    return (
        picture(found.landmarks, "The 68 landmarks drawn over the face.", "Landmarks")
        + picture(found.parsing, "Face, hair, ears, neck and clothes in a colour each.", "Parsing")
        + picture(found.depth, "Depth of the head, near in yellow, far in violet.", "Depth")
        + (f'<p class="warning">{poor}</p>' if poor else "")
    )


def faces_figure(pixels: UInt8[np.ndarray, "H W 3"], boxes: Float[np.ndarray, "N 4"], chosen: int) -> str:
    """The photo with a numbered frame around every face, the chosen one's in orange."""
    image = Image.fromarray(pixels)
    image.thumbnail((BOX_SIDE, BOX_SIDE), Image.Resampling.LANCZOS)
    draw, scale = ImageDraw.Draw(image), image.width / pixels.shape[1]
    for number, box in enumerate(boxes * scale):
        colour = (255, 176, 46) if number == chosen else (255, 255, 255)
        draw.rectangle(box.tolist(), outline=colour, width=3)
        place = (float(box[0]) + 6, float(box[1]) + 3)
        draw.text(place, str(number + 1), colour, font_size=18, stroke_width=2, stroke_fill=(0, 0, 0))
    return picture(np.array(image), f"The photo with numbers on its {len(boxes)} faces.")


def head_frame(key: str, pose: HeadAngles) -> str:
    """The 3D head in a frame of its own, which can reach nothing of the page; it begins in that pose."""
    view = urlencode({"yaw": f"{pose.yaw:.1f}", "pitch": f"{pose.pitch:.1f}", "roll": f"{pose.roll:.1f}"})
    return (
        f'<iframe src="heads/{key}/viewer.html#{view}" title="The 3D head; drag it to see it from all sides" '
        'sandbox="allow-scripts allow-downloads"></iframe>'
    )


def message(text: str) -> str:
    """A failure, where screen readers announce it; nothing for no text."""
    return f'<p role="alert">{html.escape(text)}</p>' if text else ""


def downloads(key: str, controls: Controls) -> str:
    """Links to the files of an open photo; the turned photo's says how it is turned."""
    angles = controls.angles
    query = {"yaw": angles.yaw, "pitch": angles.pitch, "roll": angles.roll}
    strengths = {name: value for name, value in controls.expression.items() if value > 0}
    turned = urlencode(query | ({"expression": json.dumps(strengths)} if strengths else {}))
    files = {
        "head.glb": "3D head (GLB)",
        f"turned.png?{turned}": "Turned photo (PNG)",
        "viewer.html": "Viewer (HTML)",
    }
    return "".join(
        f'<a href="heads/{key}/{html.escape(file)}" download="{file.partition("?")[0]}">{label}</a>'
        for file, label in files.items()
    )


def describe(controls: Controls) -> str:
    """Pose and expression in words."""
    angles = controls.angles
    words = [f"yaw {angles.yaw:.0f}, pitch {angles.pitch:.0f}, roll {angles.roll:.0f} degrees"]
    words += [f"{name.lower()} {value:.0%}" for name, value in controls.expression.items() if value > 0]
    return ", ".join(words)
