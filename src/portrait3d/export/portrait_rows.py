"""Contact sheets: one photo a row, what was made of it, or the photo turned step by step."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

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
STEPS = (-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0)
"""Changes of yaw that `turn_row` shows, degrees."""
NODS = (-15.0, 15.0)
"""Changes of pitch that it shows, degrees."""
CELL = 200
"""Pixels of a panel's side."""
LARGE = 712
"""Pixels of a close-up that is shown as large as 512 px."""
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


def turn_row(model: Portrait3D, portrait: Portrait, name: str) -> list[Panel]:
    """The photo turned away from its own pose, step by step: yaw, then pitch."""
    now = portrait.pose
    targets = [
        (f"{name} {step:+.0f}°" if step == STEPS[0] else f"yaw {step:+.0f}°", now.yaw + step, now.pitch)
        for step in STEPS
    ]
    targets += [(f"pitch {step:+.0f}°", now.yaw, now.pitch + step) for step in NODS]
    return [
        (label, closer(close_up(portrait, model.repose(portrait, yaw=yaw, pitch=pitch), LARGE)))
        for label, yaw, pitch in targets
    ]


def closer(panel: UInt8[np.ndarray, "S S 3"]) -> UInt8[np.ndarray, "T T 3"]:
    """The middle of a close-up."""
    cut = round(MARGIN * len(panel))
    return panel[cut : len(panel) - cut, cut : len(panel) - cut]


def portrait_sheets(
    rows: Iterable[Sequence[Panel]], rows_per_sheet: int = 10, cell: int = CELL
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """Rows of `portrait_row` or `turn_row` on one picture after the other, panels `cell` pixels wide."""
    waiting: list[Sequence[Panel]] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == rows_per_sheet:
            yield _sheet(waiting, cell)
            waiting = []
    if waiting:
        yield _sheet(waiting, cell)


def _sheet(rows: Sequence[Sequence[Panel]], cell: int) -> UInt8[np.ndarray, "H W 3"]:
    labels, images = zip(*chain(*rows), strict=True)
    return contact_sheet(images, len(rows[0]), labels, cell=(cell, cell))
