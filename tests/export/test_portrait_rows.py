"""Contact sheets hold every row once, in order."""

import numpy as np

from portrait3d.export.portrait_rows import COLUMNS, portrait_sheets


def row(value: int) -> list:
    return [(f"{value}", np.full((20, 20, 3), value, np.uint8))] * COLUMNS


def test_rows_are_split_over_sheets() -> None:
    sheets = list(portrait_sheets((row(10 * number) for number in range(5)), rows_per_sheet=2))
    heights = [len(sheet) for sheet in sheets]
    assert len(sheets) == 3
    assert heights[0] == heights[1] > heights[2]
    assert len({sheet.shape[1] for sheet in sheets}) == 1


def test_no_rows_give_no_sheet() -> None:
    assert list(portrait_sheets([])) == []
