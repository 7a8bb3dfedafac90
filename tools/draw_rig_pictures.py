"""Draw the documentation's pictures of a rigged head: its expressions, its pieces, and the viewer.

    python tools/draw_rig_pictures.py        # the viewer's picture needs playwright and Chromium

Everything is made from the portrait that scikit-image ships.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from glb.browsers import page
from portrait3d import Portrait3D
from portrait3d.export.images import save_image
from portrait3d.export.meshes import encode_glb
from portrait3d.export.rig import PIECE_NAMES
from portrait3d.export.sheets import contact_sheet
from portrait3d.export.viewer import viewer_html
from portrait3d.geometry.mesh import HeadMesh, HeadPiece
from portrait3d.models.expressions import expression_displacement
from portrait3d.rendering.view import frame_head, render_view

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = 300
"""Pixels of a panel's side."""
EXPRESSIONS = {
    "the photo's own": {},
    "jawOpen 1": {"jawOpen": 1.0},
    "mouthPucker 1": {"mouthPucker": 1.0},
    "eyeBlinkLeft 1": {"eyeBlinkLeft": 1.0},
    "eyeLookOutLeft 1, eyeLookInRight 1": {"eyeLookOutLeft": 1.0, "eyeLookInRight": 1.0},
    "browInnerUp 1, jawOpen 0.3": {"browInnerUp": 1.0, "jawOpen": 0.3},
}


def main() -> None:
    """Write `rig.jpg` and `viewer.jpg` to the documentation."""
    head = Portrait3D.from_pretrained().reconstruct(astronaut()).head
    pictures = [draw(head, weights) for weights in EXPRESSIONS.values()]
    pictures += [draw(head, {"jawOpen": 1.0}, yaw=40.0), draw(pieces(head), {}, yaw=40.0)]
    labels = [*EXPRESSIONS, "jawOpen 1, from the side", ", ".join(list(PIECE_NAMES.values())[1:])]
    save_image(contact_sheet(pictures, 4, labels), IMAGES / "rig.jpg")
    with page(1000, 640) as (shown, _):
        shown.set_content(viewer_html(encode_glb(head), "portrait3d"))
        shown.wait_for_selector("body[data-state=ready]")
        shown.locator("input[name=jawOpen]").fill("0.7")
        shown.keyboard.press("Tab")
        for _ in range(4):
            shown.locator("canvas").press("ArrowRight")
        picture = Image.open(io.BytesIO(shown.screenshot()))
    save_image(np.array(picture.convert("RGB")), IMAGES / "viewer.jpg")


def draw(head: HeadMesh, weights: dict[str, float], yaw: float = 15.0) -> np.ndarray:
    """The head with an expression, its frame that of the head at rest."""
    pose, camera = frame_head(head, yaw, 0.0, SIZE)
    return render_view(head.displaced(expression_displacement(weights)), pose, camera)


def pieces(head: HeadMesh) -> HeadMesh:
    """Eyes and mouth without the surface around them."""
    return head.kept(~np.isin(head.piece[head.faces[:, 0]], (HeadPiece.SURFACE, HeadPiece.HAIR)))


if __name__ == "__main__":
    main()
