"""Pictures, labels and depth as files."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.export.images import PARSING_COLOURS, encode_depth, encode_parsing, save_image
from portrait3d.export.sheets import GAP, LABEL_HEIGHT, contact_sheet


@pytest.mark.parametrize(("name", "tolerance"), [("a.png", 0), ("a.PNG", 0), ("a.jpg", 12), ("a.webp", 16)])
def test_a_saved_picture_reads_back(
    tmp_path: Path, astronaut: np.ndarray, name: str, tolerance: float
) -> None:
    pixels = astronaut[100:160, 200:280]
    path = save_image(pixels, tmp_path / name)
    with Image.open(path) as image:
        assert np.abs(np.array(image.convert("RGB")).astype(float) - pixels).mean() <= tolerance


def test_a_picture_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must end in"):
        save_image(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.exe")
    assert not list(tmp_path.iterdir())


def test_labels_are_the_values_of_a_palette_picture() -> None:
    labels = np.arange(9, dtype=np.uint8).reshape(3, 3)
    with Image.open(io.BytesIO(encode_parsing(labels))) as image:
        assert image.mode == "P"
        assert (np.array(image) == labels).all()
        colours = np.array(image.convert("RGB")).reshape(9, 3)
    assert [tuple(colour) for colour in colours.tolist()] == list(PARSING_COLOURS)


def test_depth_is_in_tenths_of_a_millimetre_and_zero_where_unknown() -> None:
    depth = np.array([[1234.56, 0.0, 1e5, 1500.0]], np.float32)
    valid = np.array([[True, True, True, False]])
    with Image.open(io.BytesIO(encode_depth(depth, valid))) as image:
        assert image.mode == "I;16"
        assert np.array(image).tolist() == [[12346, 1, 65535, 0]]


def test_a_contact_sheet_has_a_row_for_every_few_pictures() -> None:
    images = [np.full((20, 30, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet(images, 2)
    assert sheet.shape == (2 * (20 + GAP) + GAP, 2 * (30 + GAP) + GAP, 3)
    assert (sheet[GAP : GAP + 20, GAP : GAP + 30] == 10).all()
    assert (sheet[GAP : GAP + 20, 30 + 2 * GAP : 60 + 2 * GAP] == 20).all()
    assert (sheet[20 + 2 * GAP : 40 + 2 * GAP, GAP : GAP + 30] == 30).all()


def test_pictures_of_a_sheet_fit_their_cells_and_have_labels() -> None:
    images = [np.zeros((100, 50, 3), np.uint8), np.zeros((10, 40, 3), np.uint8)]
    sheet = contact_sheet(images, 1, ["tall", "wide"], cell=(40, 40))
    row = 40 + LABEL_HEIGHT + GAP
    assert sheet.shape == (2 * row + GAP, 40 + 2 * GAP, 3)
    first = (sheet[GAP : GAP + 40, GAP : GAP + 40] == 0).all(-1)
    assert first.sum() == 40 * 20
    assert (sheet[GAP + 40 : row, GAP : GAP + 40] < 100).any()


def test_a_sheet_without_pictures_or_with_too_few_labels_is_refused() -> None:
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([], 2)
    with pytest.raises(ValueError, match="needs a label"):
        contact_sheet([np.zeros((2, 2, 3), np.uint8)], 1, ["a", "b"])
