"""Contact sheets hold every row once, in order."""

import numpy as np
import pytest

from portrait3d import Portrait, Portrait3D
from portrait3d.export.portrait_rows import LARGE, portrait_sheets, turn_row


def row(value: int) -> list:
    return [(f"{value}", np.full((20, 20, 3), value, np.uint8))] * 4


def test_rows_are_split_over_sheets() -> None:
    sheets = list(portrait_sheets((row(10 * number) for number in range(5)), rows_per_sheet=2))
    heights = [len(sheet) for sheet in sheets]
    assert len(sheets) == 3
    assert heights[0] == heights[1] > heights[2]
    assert len({sheet.shape[1] for sheet in sheets}) == 1


@pytest.mark.slow
def test_a_row_of_turns_shows_the_photo_itself_in_the_middle(model: Portrait3D, portrait: Portrait) -> None:
    labels, pictures = zip(*turn_row(model, portrait, "astronaut"), strict=True)
    assert labels[0] == "astronaut -30°"
    assert labels[1:] == (*(f"yaw {a:+d}°" for a in (-20, -10, 0, 10, 20, 30)), "pitch -15°", "pitch +15°")
    assert min(picture.shape[0] for picture in pictures) == max(picture.shape[1] for picture in pictures)
    assert 500 <= len(pictures[0]) < LARGE
    apart = [float(np.abs(picture.astype(int) - pictures[3]).mean()) for picture in pictures]
    assert apart[0] > apart[1] > apart[2] > 1
    assert apart[6] > apart[5] > apart[4] > 1


def test_panels_are_as_large_as_asked() -> None:
    sheets = [next(portrait_sheets([row(3)], cell=cell)) for cell in (100, 300)]
    assert sheets[1].shape[1] - sheets[0].shape[1] == 4 * 200


def test_no_rows_give_no_sheet() -> None:
    assert list(portrait_sheets([])) == []
