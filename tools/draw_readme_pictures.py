"""Draw the pictures of the README from the portrait that scikit-image ships.

python tools/draw_readme_pictures.py
"""

from pathlib import Path

import numpy as np
import torch
from skimage.data import astronaut

from portrait3d import Portrait, Portrait3D
from portrait3d.data.synthetic.drawing import Drawing
from portrait3d.data.synthetic.earrings import Earring, Material, Piece, hang_on
from portrait3d.data.synthetic.glasses import Glasses, put_on
from portrait3d.export import save_image
from portrait3d.export.overview import overview, side_view
from portrait3d.export.sheets import contact_sheet
from portrait3d.geometry.pictures import as_bytes, as_planes
from portrait3d.models.earrings import lobes
from portrait3d.rendering.rasterizer import rasterize

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)
BLACK = Glasses(
    25, 18, 3.2, 2.4, np.full(3, 0.06), np.ones(3), 0.0, brow=1.5, gloss=0.4, tilt=0.1, bend=300, shadow=0.2
)
METAL = Material(np.array([0.83, 0.64, 0.34]), 0.3, 0.8, 0.0)
GOLD = Earring(
    (
        Piece((0, 1), (3.5, 3.5), 2, 0.0, 0, 0.0, METAL),
        Piece((0, 8), (0.5, 4), 4, 0.0, 0, 0.0, METAL),
        Piece((0, 18), (6, 7), 2, 0.0, 0, 0.4, METAL),
    ),
    0.2,
    0.0,
)


def main() -> None:
    """Write docs/images/overview.jpg, turned.jpg, head.jpg, glasses.jpg and earrings.jpg."""
    model = Portrait3D.from_pretrained()
    portrait = model.reconstruct(astronaut())
    pictures = {yaw: model.repose(portrait, yaw=yaw) for yaw in (-20.0, 20.0)}
    save_image(overview(portrait, pictures), IMAGES / "overview.jpg")

    turned = [near_head(portrait, model.repose(portrait, yaw=yaw)) for yaw in YAWS]
    labels = [f"yaw {yaw:+.0f}°" for yaw in YAWS]
    save_image(contact_sheet(turned, len(YAWS), labels, cell=(320, 320)), IMAGES / "turned.jpg")

    sides = [
        np.concatenate([side_view(portrait, yaw), side_view(portrait, yaw, "clay")]) for yaw in (*YAWS, 60.0)
    ]
    save_image(contact_sheet(sides, len(sides), cell=(200, 400)), IMAGES / "head.jpg")

    glasses = model.reconstruct(dressed(portrait, "glasses"))
    save_image(worn_sheet(model, glasses, "drawn glasses", 60.0), IMAGES / "glasses.jpg")
    earrings = model.reconstruct(dressed(portrait, "earrings"))
    save_image(worn_sheet(model, earrings, "drawn earrings", -70.0), IMAGES / "earrings.jpg")


def dressed(portrait: Portrait, kind: str) -> np.ndarray:
    """The portrait's photo with glasses or earrings drawn on the fitted head."""
    model, pixels = portrait.head_model, portrait.photo.pixels
    vertices = model.vertices(portrait.coefficients.batched)
    screen = portrait.camera.screen(portrait.camera_from_model.apply(vertices))
    depth = rasterize(screen, model.faces, *pixels.shape[:2]).depth[0]
    view = Drawing(as_planes(pixels), depth, torch.zeros(pixels.shape[:2], dtype=torch.uint8))
    place = portrait.camera_from_model, portrait.camera
    if kind == "glasses":
        return as_bytes(put_on(view, BLACK, model.landmarks(vertices)[0], *place))
    return as_bytes(hang_on(view, GOLD, lobes(model, vertices[0]).double().numpy(), *place))


def worn_sheet(model: Portrait3D, wearer: Portrait, title: str, yaw: float) -> np.ndarray:
    """Photo, what is found, the photo without, turns, and the head from a side."""
    assert wearer.worn is not None
    found = wearer.photo.pixels + wearer.worn[..., None] * (np.array([255, 0, 0]) - wearer.photo.pixels)
    seen = [wearer.photo.pixels, found.astype(np.uint8), wearer.bare_pixels]
    seen += [model.repose(wearer, yaw=yaw) for yaw in YAWS if yaw]
    cells = [near_head(wearer, picture) for picture in seen] + [side_view(wearer, yaw)]
    labels = [title, "found", "the photo without", *(f"yaw {yaw:+.0f}°" for yaw in YAWS if yaw), "head"]
    return contact_sheet(cells, 4, labels, cell=(320, 320))


def near_head(portrait: Portrait, pixels: np.ndarray) -> np.ndarray:
    """The part of a photo around the head, as large as the photo has it."""
    x, y = portrait.head_crop.centre
    reach = 0.42 * portrait.head_crop.side
    top, left = (max(0, round(middle - reach)) for middle in (y, x))
    return pixels[top : round(y + reach), left : round(x + reach)]


if __name__ == "__main__":
    main()
