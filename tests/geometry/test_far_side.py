"""Hair behind the far cheek of a turned head."""

import numpy as np
import pytest
from scipy import ndimage

from portrait3d.geometry.far_side import BEFORE, CLOSE, TEMPLE, THICK, far_hairline, put_hair_behind
from portrait3d.geometry.scene import Scene
from portrait3d.geometry.skin import FittedHead
from portrait3d.models.head_model import HeadModel
from synthetic_head import fitted_head

CURTAIN = 60.0
"""How far the predicted hair is before the hairline by the far ear, mm."""


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def by_ear(head: FittedHead) -> float:
    return max(float(far_hairline(head, np.zeros(1), side)[0]) for side in (-1, 1))


def beside_both_cheeks(head: FittedHead, width: int = 14) -> tuple[np.ndarray, ...]:
    """Depth, labels, region and covered pixels of a head with so many pixels of hair on either side."""
    covered = np.isfinite(head.depth)
    wide = ndimage.binary_dilation(covered, np.ones((1, 3)), iterations=width)
    labels = np.where(covered, 1, np.where(wide, 2, 0)).astype(np.uint8)
    return np.where(covered, head.depth, by_ear(head) - CURTAIN), labels, wide, covered


@pytest.mark.parametrize(("yaw", "width"), [(-25.0, 14), (25.0, 14), (25.0, 36)])
def test_hair_beside_the_far_cheek_begins_at_the_far_hairline(
    model: HeadModel, yaw: float, width: int
) -> None:
    head = fitted_head(model, yaw)
    depth, labels, region, covered = beside_both_cheeks(head, width)
    result = put_hair_behind(head, depth, labels, region, covered)
    back = result.depth - depth
    far = (np.arange(len(covered)) > np.nonzero(covered)[1].mean()) == (yaw > 0)
    moved = back > 1.0
    assert moved[:, far].sum() > 200
    row = int(head.pixels(head.to_camera(np.zeros((1, 3))))[0, 1])
    expected = CURTAIN - max(BEFORE, THICK * width * 900 / head.focal)
    assert back[row][moved[row]] == pytest.approx(expected, abs=3.0)
    assert (back[:, ~far] == 0).all()
    assert (back[labels != 2] == 0).all()
    heights = np.array([[0.0, TEMPLE, 0.0], [0.0, -20.0, 0.0], [0.0, 60.0, 0.0]])
    top, eyes, bottom = head.pixels(head.to_camera(heights))[:, 1].astype(int)
    assert not moved[: top - 15].any()
    assert moved[eyes:bottom].any(axis=1).all()
    near = ndimage.distance_transform_edt(~covered) < CLOSE
    assert (result.edge == moved & near)[eyes:bottom].all()


def test_a_head_that_looks_straight_on_stays_as_it_is(model: HeadModel) -> None:
    head = fitted_head(model, 2.0)
    depth, *rest = beside_both_cheeks(head)
    result = put_hair_behind(head, depth, *rest)
    assert (result.depth == depth).all()
    assert not result.edge.any()


def test_hair_that_hangs_behind_the_far_hairline_stays_there(model: HeadModel) -> None:
    head = fitted_head(model, 25.0)
    depth, labels, region, covered = beside_both_cheeks(head)
    deep = np.where(covered, depth, head.vertices[:, 2].max() + 50.0)
    assert (put_hair_behind(head, deep, labels, region, covered).depth == deep).all()


def test_a_head_without_hair_stays_as_it_is(model: HeadModel) -> None:
    head = fitted_head(model, 25.0)
    depth, labels, _, covered = beside_both_cheeks(head)
    bald = np.where(labels == 2, 0, labels).astype(np.uint8)
    result = put_hair_behind(head, depth, bald, covered, covered)
    assert (result.depth == depth).all()
    assert not result.edge.any()


def test_colours_of_hair_behind_the_cheek_are_not_baked_into_it() -> None:
    labels = np.repeat(np.where(np.arange(32) < 16, 2, 1)[None], 32, axis=0).astype(np.uint8)
    picture, coverage = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32))
    behind = labels == 2

    on_skin = Scene.of(picture, labels, coverage).skin_and_hairline
    beside = Scene.of(picture, labels, coverage, behind).skin_and_hairline

    assert (on_skin[4:-4, 14:20] == 1).all()
    assert (beside[:, :16] == 0).all()
    assert (np.diff(beside[16, 15:20]) >= 0).all()
    assert beside[16, 22] == 1
