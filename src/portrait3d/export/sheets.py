"""Contact sheets: many pictures on one, with labels."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from portrait3d.names import in_one_line

GAP = 8
"""Pixels between pictures and around them."""
LABEL_HEIGHT = 22
"""Pixels of the line under a picture."""
GROUND = (250, 250, 248)
INK = (40, 40, 44)


def contact_sheet(
    images: Sequence[UInt8[np.ndarray, "_ _ 3"]],
    columns: int,
    labels: Sequence[str] | None = None,
    *,
    cell: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """Lay pictures out in rows, each scaled to fit a cell of (width, height) pixels, labels underneath.

    Without `cell` the cells are as large as the largest picture.
    """
    if not images or columns < 1:
        raise ValueError(f"A contact sheet needs pictures and columns, got {len(images)} and {columns}.")
    if labels is not None and len(labels) != len(images):
        raise ValueError(f"Every picture needs a label, got {len(labels)} for {len(images)} pictures.")
    width, height = cell or (max(image.shape[1] for image in images), max(image.shape[0] for image in images))
    row_height = height + (LABEL_HEIGHT if labels else 0) + GAP
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) + GAP, rows * row_height + GAP), GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for index, pixels in enumerate(images):
        picture = Image.fromarray(pixels)
        scale = min(width / picture.width, height / picture.height)
        if cell is not None and scale != 1:
            size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            picture = picture.resize(size, Image.Resampling.LANCZOS)
        left, top = GAP + index % columns * (width + GAP), GAP + index // columns * row_height
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        if labels:
            middle = left + width / 2, top + height + LABEL_HEIGHT / 2
            draw.text(middle, in_one_line(labels[index]), INK, font, anchor="mm")
    return np.array(sheet)
