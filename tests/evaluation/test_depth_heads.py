"""Synthetic heads for measuring depth, and what methods make of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.people.model_views import SkinModel
from portrait3d.evaluation.depth.errors import HeadErrors, head_errors
from portrait3d.evaluation.depth.heads import KnownHead, draw_head, load_or_draw
from portrait3d.evaluation.depth.methods import depth_methods, place_average_head, rest_of_head
from portrait3d.evaluation.depth.photos import measured_in, points_of
from portrait3d.evaluation.depth.report import (
    PHOTO,
    TRUE_FACE,
    Measured,
    head_regions,
    score_heads,
    score_regions,
    score_styles,
)
from portrait3d.evaluation.depth.sheets import error_colours, shade
from portrait3d.models.depth_net import DepthNet
from portrait3d.models.head_model import HeadModel
from portrait3d.preprocessing.alignment import Crop

WIDTHS = (8, 8, 8, 8)
BASELINES = ("constant", "nearest face", "average head")


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def skin(model: HeadModel) -> SkinModel:
    return SkinModel.from_head_model(model)


@pytest.fixture(scope="module")
def head() -> KnownHead:
    return draw_head(0)


def test_heads_are_drawn_once_and_kept(head: KnownHead, tmp_path: Path) -> None:
    drawn = load_or_draw(0, tmp_path)
    (file,) = tmp_path.rglob("*.npz")
    changed = file.stat().st_mtime_ns
    again = load_or_draw(0, tmp_path)
    assert file.stat().st_mtime_ns == changed
    for other in (drawn, again):
        assert other.style == head.style
        for name in ("picture", "labels", "depth", "face_depth", "identity", "rotation"):
            np.testing.assert_array_equal(getattr(other, name), getattr(head, name))


def test_the_true_depth_has_no_error(head: KnownHead, skin: SkinModel) -> None:
    view, truth = head.given(skin), head.truth(skin)
    depth = np.where(view.region, head.depth.astype(np.float64), np.inf)
    errors = head_errors(points_of(depth, view.region, view.head.focal), view.region, truth)
    assert errors.rest_pixel < 1e-6
    assert errors.rest < 1e-3


def test_baselines_keep_the_face_and_miss_the_hair(
    head: KnownHead, skin: SkinModel, model: HeadModel
) -> None:
    view, truth = head.given(skin), head.truth(skin)
    bare = view.bare_face
    methods = depth_methods(DepthNet(WIDTHS, 64).eval(), model)
    error = {}
    for name in BASELINES:
        depth = methods[name](view)
        np.testing.assert_allclose(depth[bare], view.face_depth[bare])
        found = points_of(depth, view.region, view.head.focal)
        error[name] = head_errors(found, view.region, truth).rest_pixel
    assert error["average head"] != error["constant"]
    assert min(error.values()) > 2


def test_the_network_is_given_what_it_wants(head: KnownHead, skin: SkinModel, model: HeadModel) -> None:
    net, view = DepthNet(WIDTHS, 64).eval(), head.given(skin)
    for parameter in net.head.parameters():
        torch.nn.init.zeros_(parameter)
    depth = depth_methods(net, model)["network"](view)
    assert depth.shape == head.labels.shape
    gap = (depth - view.face_depth)[view.bare_face]
    assert np.median(np.abs(gap)) < 2, "a network that adds nothing answers with the fitted head"


def test_the_average_head_meets_the_fitted_face(head: KnownHead, skin: SkinModel) -> None:
    fitted = head.given(skin).head
    placed = place_average_head(skin, fitted)
    face = skin.face_mask > 0.5
    gap = placed.vertices[face] @ placed.rotation.T + placed.translation
    gap = gap - (fitted.vertices[face] @ fitted.rotation.T + fitted.translation)
    assert np.linalg.norm(gap.mean(axis=0)) < 1e-6
    assert np.linalg.norm(gap, axis=1).mean() < 8


def test_regions_part_the_rest_of_the_head(head: KnownHead, skin: SkinModel) -> None:
    view = head.given(skin)
    regions = head_regions(view, skin)
    total = sum((mask.astype(int) for mask in regions.values()), np.zeros(view.labels.shape, int))
    np.testing.assert_array_equal(total, rest_of_head(view))


def test_measured_depth_is_seen_through_a_crop(head: KnownHead) -> None:
    size = len(head.labels)
    depth = np.where(head.region, head.depth.astype(np.float64), np.inf)
    same = measured_in(Crop((size / 2, size / 2), size, 0.0, size, 2.0), depth, head.camera)
    np.testing.assert_allclose(same[..., 2][head.region], depth[head.region])
    assert np.isnan(same[~head.region]).all()
    half = measured_in(Crop((size / 2, size / 2), 2 * size, 0.0, size, 2.0), depth, head.camera)
    assert np.isfinite(half[..., 2]).sum() == pytest.approx(head.region.sum() / 4, rel=0.05)


def test_tables_are_means_over_heads() -> None:
    def one(index: int, given: str, value: float) -> Measured:
        errors = HeadErrors(np.zeros((2, 2)), *(value,) * 7)
        return Measured(index, f"style {index}", given, "network", errors, {"ears": value})

    measured = [one(0, TRUE_FACE, 4.0), one(0, PHOTO, 9.0), one(1, TRUE_FACE, 6.0)]
    true_face, photo = score_heads(measured)
    assert (true_face.given, true_face.heads, true_face.rest_pixel) == (TRUE_FACE, 2, 5.0)
    assert (photo.given, photo.heads, photo.rest) == (PHOTO, 1, 9.0)
    assert [row["network"] for row in score_styles(measured)] == [4.0, 6.0]
    assert score_regions(measured[::2]) == [{"region": "ears", "heads": 2, "network": 5.0}]


def test_colours_say_how_far_off_depth_is() -> None:
    colours = error_colours(np.array([[0.0, 30.0, -30.0, np.nan]]))[0].tolist()
    assert colours == [[255, 255, 255], [255, 0, 0], [0, 0, 255], [0, 0, 0]]
    near, far = shade(np.array([[-55.0, 45.0]]), np.ones((1, 2), bool))[0]
    assert near[0] > far[0]
