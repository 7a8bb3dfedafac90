"""Groups of people: ages and genders from the index, skin and hair from the pixels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage.color import lab2rgb

from portrait3d.data.photos.groups import (
    age_band,
    groups_of,
    has_grey_hair,
    is_old,
    load_or_group,
    tone_of,
    typology_angle,
)
from portrait3d.data.photos.labelled import PhotoFolder
from portrait3d.models.head_model import HeadModel
from tiny_photos import photo_folder

MARKS = np.stack([np.linspace(40, 120, 68), np.linspace(30, 130, 68)], axis=1).astype(np.float32)
MARKS[36:42], MARKS[42:48] = (60, 60), (100, 60)
MARKS[48], MARKS[54], MARKS[2], MARKS[14] = (65, 105), (95, 105), (42, 80), (118, 80)


def skin_picture(left: tuple[float, float, float], right: tuple[float, float, float]) -> np.ndarray:
    """Skin of two CIELAB colours, left and right, with one white corner."""
    lab = np.empty((160, 160, 3))
    lab[:, :80], lab[:, 80:] = left, right
    rgb = (lab2rgb(lab) * 255).round().astype(np.uint8)
    rgb[:20, :20] = 255
    return rgb


def test_the_angle_is_that_of_lightness_over_yellow() -> None:
    pixels = skin_picture((65, 12, 15), (65, 12, 15))
    assert typology_angle(pixels, MARKS, 0.0) == pytest.approx(45, abs=1.0)


def test_a_darker_exposure_of_the_same_skin_has_about_the_same_angle() -> None:
    pixels = skin_picture((65, 12, 15), (65, 12, 15))
    dark = (pixels * 0.6).astype(np.uint8)
    assert typology_angle(dark, MARKS, 0.0) == pytest.approx(45, abs=2.0)


def test_of_a_turned_face_the_near_cheek_is_measured() -> None:
    pixels = skin_picture((65, 12, 15), (35, 12, 15))
    assert typology_angle(pixels, MARKS, 0.6) == pytest.approx(45, abs=1.0)
    assert typology_angle(pixels, MARKS, -0.6) == pytest.approx(-45, abs=1.0)


def test_cheeks_off_the_picture_have_no_angle() -> None:
    assert typology_angle(np.zeros((10, 10, 3), np.uint8), MARKS, 0.0) is None


def test_bands_of_skin_meet() -> None:
    names = [tone_of(angle) for angle in (60, 50, 30, 20, 0, -40, -90)]
    assert names == ["very light", "light", "intermediate", "tan", "brown", "dark", "dark"]


def test_grey_hair_is_told_from_black_and_brown() -> None:
    hair, box = np.ones((40, 40), bool), (0, 0, 40, 40)
    colours = {"grey": (150, 150, 152), "black": (25, 24, 24), "brown": (110, 75, 50)}
    found = {
        name: has_grey_hair(np.full((40, 40, 3), colour, np.uint8), hair, box)
        for name, colour in colours.items()
    }
    assert found == {"grey": True, "black": False, "brown": False}
    assert has_grey_hair(np.zeros((40, 40, 3), np.uint8), ~hair, box) is None


def test_old_is_who_the_index_says_or_has_grey_hair() -> None:
    assert [age_band(years) for years in (3, 12.5, 45, 60, 88)] == [
        "0 to 12", "0 to 12", "40 to 59", "60 and more", "60 and more",
    ]  # fmt: skip
    assert is_old({"age": "60 and more"})
    assert not is_old({"age": "40 to 59", "hair": "grey"})
    assert is_old({"hair": "grey"})
    assert not is_old({})


def test_groups_come_from_index_and_pixels_and_are_kept(tmp_path: Path) -> None:
    photo = next(iter(PhotoFolder(photo_folder(tmp_path, HeadModel.load()))))
    named = replace(photo, age=71.0, gender="female")
    groups = groups_of(named)
    assert groups["age"] == "60 and more"
    assert groups["gender"] == "female"
    assert "hair" not in groups
    (tmp_path / "portraits" / "hair").mkdir()
    Image.fromarray(np.full((200, 200), 255, np.uint8)).save(str(photo.map_path("hair")))
    assert groups_of(photo)["hair"] in ("grey", "other colours")
    kept = load_or_group([named], tmp_path / "cache")
    Path(str(photo.map_path("hair"))).unlink()
    assert load_or_group([named], tmp_path / "cache") == kept
    assert "hair" in kept[0]
