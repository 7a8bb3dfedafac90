"""Photos put together anew."""

from dataclasses import replace

import numpy as np
import pytest

from portrait3d.data.parsing.headwear import OVAL
from portrait3d.data.parsing.label_sets import exact_sets
from portrait3d.data.photos.compositions import (
    StoredPhoto,
    add_object,
    add_person,
    change_backdrop,
    draw_backdrop,
    put_on_headwear,
    widen,
)
from portrait3d.preprocessing.alignment import Crop


def person(color: tuple[int, int, int], behind: int = 40) -> StoredPhoto:
    """A face of one colour with hair above it, 120 x 100."""
    pixels, labels = np.full((120, 100, 3), behind, np.uint8), np.zeros((120, 100), np.uint8)
    pixels[40:80, 35:65], labels[40:80, 35:65] = color, 1
    pixels[25:40, 30:70], labels[25:40, 30:70] = 90, 2
    points = np.tile(np.array([[50.0, 60.0]], np.float32), (468, 1))
    angles = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points[OVAL] = np.stack([50 + 15 * np.sin(angles), 60 - 20 * np.cos(angles)], 1)
    return StoredPhoto(
        pixels, exact_sets(labels), points, Crop((50.0, 60.0), 128.0, 0.0, 256, 2.0), "portraits", False
    )


@pytest.fixture
def photo() -> StoredPhoto:
    return person((255, 0, 0))


def test_before_another_backdrop_only_the_person_is_left(photo: StoredPhoto) -> None:
    backdrop = np.full((200, 300, 3), (0, 0, 255), np.uint8)
    moved = change_backdrop(photo, backdrop, 120, 60)
    assert moved.labels.shape == (200, 300)
    np.testing.assert_array_equal(moved.labels[60:180, 120:220], photo.labels)
    assert (moved.labels > 0).sum() == (photo.labels > 0).sum()
    assert (moved.pixels[moved.labels == 0][:, 2] > 200).mean() > 0.98
    assert (moved.pixels[110:130, 160:180, 0] == 255).all()
    assert moved.crop.centre == (170.0, 120.0)
    np.testing.assert_allclose(moved.points - photo.points, [[120, 60]] * 468, atol=1e-4)


def test_what_lies_beyond_the_backdrop_is_cut_off(photo: StoredPhoto) -> None:
    moved = change_backdrop(photo, np.zeros((50, 50, 3), np.uint8), -30, 20)
    assert moved.labels.shape == (50, 50)
    np.testing.assert_array_equal(moved.labels[20:], photo.labels[:30, 30:80])


def test_a_widened_photo_holds_the_person_at_the_same_size(photo: StoredPhoto) -> None:
    random = np.random.default_rng(0)
    lowest = 0
    for _ in range(12):
        wide = widen(photo, np.zeros((8, 8, 3), np.uint8), 2.5, random)
        assert wide.labels.shape == (300, 250)
        assert (wide.labels == 1).sum() == (photo.labels == 1).sum()
        x, y = wide.crop.centre
        assert wide.labels[int(y), int(x)] == 1
        lowest += y == 300 - 60
    assert 4 <= lowest < 12


def test_backdrops_are_pictures_of_many_kinds(photo: StoredPhoto) -> None:
    random = np.random.default_rng(1)
    drawn = [draw_backdrop(photo, person((0, 255, 0)), random) for _ in range(20)]
    assert all(backdrop.dtype == np.uint8 and backdrop.shape[2] == 3 for backdrop in drawn)
    assert len({backdrop.tobytes() for backdrop in drawn}) == 20
    assert len({backdrop.shape for backdrop in drawn}) > 5


def test_somebody_else_is_seen_and_not_labelled(photo: StoredPhoto) -> None:
    other, random = person((0, 255, 0)), np.random.default_rng(2)
    other.pixels[40:80], other.sets[40:80] = (0, 255, 0), 1 << 7  # broad shoulders
    before = behind = 0
    for _ in range(20):
        both = add_person(photo, other, random)
        assert not ((both.labels > 0) & (photo.labels == 0)).any()
        green = (both.pixels[..., 1] > 245) & (both.pixels[..., 0] < 10)
        assert not (both.labels[green] > 0).any()
        covered = ((photo.labels > 0) & (both.labels == 0)).any()
        before, behind = before + covered, behind + (green.any() and not covered)
    assert before
    assert behind


def test_things_before_the_face_are_background(photo: StoredPhoto) -> None:
    random = np.random.default_rng(3)
    results = [add_object(photo, random) for _ in range(12)]
    assert any(((result.labels == 0) & (photo.labels > 0)).any() for result in results)
    for result in results:
        kept = result.labels > 0
        np.testing.assert_array_equal(result.labels[kept], photo.labels[kept])
        gone = (photo.labels == 1) & ~kept
        assert not gone.any() or (result.pixels[gone] != photo.pixels[gone]).any(-1).mean() > 0.9


def test_headwear_is_drawn_where_its_label_is(photo: StoredPhoto) -> None:
    random, count = np.random.default_rng(4), 0
    for _ in range(10):
        dressed = put_on_headwear(photo, random)
        worn = dressed.labels == 8
        count += worn.any()
        changed = np.abs(dressed.pixels.astype(int) - photo.pixels).max(-1) > 2
        assert not worn.any() or np.mean(changed[np.nonzero(worn)]) > 0.7
        rest = ~worn
        np.testing.assert_array_equal(dressed.labels[rest], photo.labels[rest])
    assert count >= 8


def test_the_photo_itself_is_never_changed(photo: StoredPhoto) -> None:
    random, kept = (
        np.random.default_rng(5),
        replace(photo, pixels=photo.pixels.copy(), sets=photo.sets.copy()),
    )
    for change in (
        lambda: widen(photo, photo.pixels, 2, random),
        lambda: add_person(photo, person((0, 255, 0)), random),
        lambda: add_object(photo, random),
        lambda: put_on_headwear(photo, random),
    ):
        change()
        np.testing.assert_array_equal(photo.pixels, kept.pixels)
        np.testing.assert_array_equal(photo.labels, kept.labels)
