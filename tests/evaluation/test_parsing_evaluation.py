"""Scores of the parsing network."""

import math

import numpy as np
import pytest

from portrait3d.evaluation.parsing import PALETTE, count_overlap, intersection_over_union, paint
from portrait3d.models.parsing_net import PARSING_CLASSES


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
