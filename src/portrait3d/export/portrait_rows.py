"""Contact sheets of reconstructions: one photo a row, from the landmarks to the turned photo."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from portrait3d.export.overview import close_up, draw_landmarks, side_view, tint_classes
from portrait3d.export.sheets import contact_sheet
from portrait3d.pipeline import Portrait3D
from portrait3d.portrait import Portrait

SIDES = (0.0, -30.0, 30.0)
"""Yaws that the head alone is shown from, degrees."""
TURNS = (-15.0, 15.0)
"""Yaws that the photo is turned to, degrees."""
COLUMNS = 3 + len(SIDES) + len(TURNS)
CELL = 200
"""Pixels of a panel's side."""
MARGIN = 0.14
"""Part of the head crop that is cut off at each side, where most photos show little."""

Panel = tuple[str, UInt8[np.ndarray, "_ _ 3"]]


def portrait_row(model: Portrait3D, portrait: Portrait, name: str) -> list[Panel]:
    """The panels of one photo with their labels."""
    pixels = portrait.photo.pixels
    return [
        (name, closer(close_up(portrait, pixels))),
        ("landmarks", closer(draw_landmarks(portrait))),
        ("parsing", closer(close_up(portrait, tint_classes(pixels, portrait.parsing)))),
        *((f"head {yaw:+.0f}°", side_view(portrait, yaw)) for yaw in SIDES),
        *((f"yaw {yaw:+.0f}°", closer(close_up(portrait, model.repose(portrait, yaw=yaw)))) for yaw in TURNS),
    ]


def closer(panel: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "T T 3"]:
    """The middle of a close-up."""
    cut = round(MARGIN * len(panel))
    return panel[cut : len(panel) - cut, cut : len(panel) - cut]


def portrait_sheets(
    rows: Iterable[Sequence[Panel]], rows_per_sheet: int = 10
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Rows of `portrait_row` on one picture after the other."""
    waiting: list[Panel] = []
    for row in rows:
        waiting.extend(row)
        if len(waiting) >= rows_per_sheet * COLUMNS:
            yield _sheet(waiting)
            waiting = []
    if waiting:
        yield _sheet(waiting)


def _sheet(panels: Sequence[Panel]) -> UInt8[np.ndarray, "H W 3"]:
    labels, images = zip(*panels, strict=True)
    return contact_sheet(images, COLUMNS, labels, cell=(CELL, CELL))
