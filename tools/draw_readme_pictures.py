"""Draw the pictures of the README from the portrait that scikit-image ships.

python tools/draw_readme_pictures.py
"""

from pathlib import Path

import numpy as np
from skimage.data import astronaut

from portrait3d import Portrait, Portrait3D
from portrait3d.export import save_image
from portrait3d.export.overview import overview, side_view
from portrait3d.export.sheets import contact_sheet

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
YAWS = (-30.0, -15.0, 0.0, 15.0, 30.0)


def main() -> None:
    """Write docs/images/overview.jpg, turned.jpg and head.jpg."""
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


def near_head(portrait: Portrait, pixels: np.ndarray) -> np.ndarray:
    """The part of a photo around the head, as large as the photo has it."""
    x, y = portrait.head_crop.centre
    reach = 0.42 * portrait.head_crop.side
    top, left = (max(0, round(middle - reach)) for middle in (y, x))
    return pixels[top : round(y + reach), left : round(x + reach)]


if __name__ == "__main__":
    main()
