"""Scores of the parsing network."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.parsing.label_sets import exact_sets
from portrait3d.data.photos.compositions import StoredPhoto
from portrait3d.evaluation.parsing.report import box_rows, disturb, grouped, time_rows, wide_rows
from portrait3d.evaluation.parsing.scores import (
    WIDE,
    border_score,
    count_borders,
    count_overlap,
    intersection_over_union,
    widened,
)
from portrait3d.evaluation.parsing.sheets import PALETTE, cut_out, paint, write_sheet
from portrait3d.models.head_parsing import ParsingExperts
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.parsing_classes import PARSING_CLASSES
from portrait3d.preprocessing.alignment import Crop


class RedIsFace(ParsingNet):
    """Finds face where the picture is red."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(crop), 9, *crop.shape[-2:]), -20.0)
        logits[:, 0] = 0.0
        logits[:, 1] = 40 * (crop[:, 0] - crop[:, 1] - 0.5)
        return logits


EXPERTS = ParsingExperts([RedIsFace(0.25, (8,) * 5)]).eval()


@pytest.fixture
def photo() -> StoredPhoto:
    """A red face in the middle of a dark photo, labelled."""
    pixels, labels = np.full((100, 100, 3), 20, np.uint8), np.zeros((100, 100), np.uint8)
    pixels[30:70, 35:65], labels[30:70, 35:65] = (250, 0, 0), 1
    crop = Crop((50.0, 50.0), 100.0, 0.0, 256, 2.0)
    return StoredPhoto(
        pixels, exact_sets(labels), np.full((468, 2), 50, np.float32), crop, "portraits", False
    )


def test_equal_borders_score_one_and_shifted_ones_by_the_tolerance() -> None:
    given = np.zeros((40, 40), np.uint8)
    given[10:30, 10:30] = 1
    found = np.roll(given, 2, axis=1)
    assert border_score([count_borders(given, given, 0)])["face"] == 1
    assert border_score([count_borders(found, given, 2)])["face"] == 1
    # Of 76 border pixels the two edges of 20 that moved have nothing within a pixel, but for their ends.
    assert border_score([count_borders(found, given, 1)])["face"] == pytest.approx(38 / 76, abs=0.05)
    assert math.isnan(border_score([count_borders(given, given, 1)])["hair"])


def test_a_border_that_is_not_there_counts_as_wrong() -> None:
    empty, given = np.zeros((20, 20), np.uint8), np.zeros((20, 20), np.uint8)
    given[5:15, 5:15] = 2
    assert border_score([count_borders(empty, given, 3)])["hair"] == 0
    assert border_score([count_borders(given, empty, 3)])["hair"] == 0


def test_a_network_that_sees_red_finds_the_red_face_anywhere(photo: StoredPhoto) -> None:
    near, far = wide_rows(EXPERTS, [photo, photo])
    assert near["face"] > 0.97
    assert far["face"] > 0.8
    assert far["photos"] == 2


def test_the_wide_picture_is_the_same_every_time(photo: StoredPhoto) -> None:
    first, again, other = (widened(photo, photo, number) for number in (1, 1, 2))
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.labels.shape == (100 * WIDE, 100 * WIDE)
    assert (first.labels == 1).sum() == 30 * 40
    assert not np.array_equal(first.pixels, other.pixels)


def test_wrong_boxes_are_larger_or_elsewhere_by_parts_of_the_landmarks_box() -> None:
    crop = Crop((50.0, 50.0), 320.0, math.pi / 2, 256, 2.0)
    assert disturb(crop, (1.25, 0.0, 0.0)).side == 400
    x, y = disturb(crop, (1.0, 0.1, 0.0)).centre
    assert (x, y) == (pytest.approx(50), pytest.approx(60))  # the face's right is the photo's bottom


def test_the_worst_drop_is_that_of_the_worst_box(photo: StoredPhoto) -> None:
    first, *others, drop = box_rows(EXPERTS, [photo])
    assert len(others) == 6
    assert drop["face"] == max(first["face"] - row["face"] for row in others)
    assert drop["face"] < 0.05


def test_groups_are_all_folders_and_long_hair(photo: StoredPhoto) -> None:
    groups = grouped([photo, photo])
    assert groups == {"all": [0, 1], "portraits": [0, 1]}


def test_times_are_measured(photo: StoredPhoto) -> None:
    rows = time_rows(EXPERTS, photo, runs=3)
    assert all(row["ms"] >= row["shortest"] > 0 for row in rows)


def test_a_sheet_shows_every_photo(photo: StoredPhoto, tmp_path: Path) -> None:
    write_sheet(EXPERTS, [photo] * 3, tmp_path / "deep" / "sheet.png")
    with Image.open(tmp_path / "deep" / "sheet.png") as sheet:
        assert sheet.size == (1600, 400)


def test_what_is_cut_out_keeps_its_colours_and_the_rest_is_green() -> None:
    pixels = np.full((1, 2, 3), 100, np.uint8)
    shown = cut_out(pixels, np.array([[1.0, 0.0]], np.float32))
    assert shown[0, 0].tolist() == [100, 100, 100]
    assert shown[0, 1].tolist() == [70, 200, 90]


def test_overlap_is_counted_class_by_class() -> None:
    found = np.array([[1, 1, 2, 0]], np.uint8)
    given = np.array([[1, 2, 2, 0]], np.uint8)
    both, union = count_overlap(found, given)
    assert both[:3].tolist() == [1, 1, 1]
    assert union[:3].tolist() == [1, 2, 2]


def test_equal_labels_overlap_fully_and_absent_classes_have_no_score() -> None:
    labels = np.random.default_rng(0).integers(0, 5, (9, 9)).astype(np.uint8)
    iou = intersection_over_union([count_overlap(labels, labels)])
    assert [iou[name] for name in PARSING_CLASSES[:5]] == [1.0] * 5
    assert math.isnan(iou["headwear"])


def test_pixels_are_summed_over_photos_before_dividing() -> None:
    large = count_overlap(np.ones((3, 3), np.uint8), np.ones((3, 3), np.uint8))
    small = count_overlap(np.ones((1, 1), np.uint8), np.zeros((1, 1), np.uint8))
    assert intersection_over_union([large, small])["face"] == pytest.approx(9 / 10)


def test_ears_count_together_but_not_when_exchanged() -> None:
    given = np.array([[3, 3, 4]], np.uint8)
    assert intersection_over_union([count_overlap(given, given)])["ears"] == 1
    exchanged = np.array([[4, 4, 3]], np.uint8)
    assert intersection_over_union([count_overlap(exchanged, given)])["ears"] == 0


def test_painting_keeps_the_size_and_shows_the_class() -> None:
    labels = np.array([[0, 2]], np.uint8)
    painted = paint(np.zeros((1, 2, 3), np.uint8), labels)
    np.testing.assert_array_equal(painted[0, 1], PALETTE[2] // 2)
    assert len(PALETTE) == len(PARSING_CLASSES)


def test_headwear_is_no_ear() -> None:
    given = np.zeros((10, 10), np.uint8)
    given[:2], given[4:6], given[8:] = 3, 4, 8
    found = np.where(given == 8, 0, given)
    scores = intersection_over_union([count_overlap(found, given)])
    assert scores["headwear"] == 0
    assert scores["ears"] == 1
