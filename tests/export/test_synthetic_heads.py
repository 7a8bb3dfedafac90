"""The preview of synthetic heads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.cli.synthetic import preview
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.export.sheets import GAP, LABEL_HEIGHT
from portrait3d.export.synthetic_heads import synthetic_sheet


def test_every_head_has_two_views_and_its_depth_and_a_seed_draws_it_again() -> None:
    styles = {"bob": STYLES_TRAIN["bob"]}
    sheet = synthetic_sheet(styles, seed=4, people=1, columns=1)
    assert sheet.shape == (256 + LABEL_HEIGHT + 2 * GAP, 3 * (256 + GAP) + GAP, 3)
    np.testing.assert_array_equal(sheet, synthetic_sheet(styles, seed=4, people=1, columns=1))


def test_the_command_draws_a_style_and_names_the_styles_there_are(tmp_path: Path) -> None:
    out = tmp_path / "heads.png"
    preview(out, ["bald"])
    with Image.open(out) as sheet:
        assert sheet.size[0] > 3 * 256
    with pytest.raises(ValueError, match="no hair style mullet; there are bald, "):
        preview(out, ["mullet"])
