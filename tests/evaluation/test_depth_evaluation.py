"""Errors of depth, measured on heads whose depth is known."""

import math

import pytest
import torch

from portrait3d.data.depth_samples import pair_tensors
from portrait3d.data.depth_views import DepthViews
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.data.synthetic_views import head_view
from portrait3d.evaluation.depth import (
    bare_face,
    constant_predictor,
    evaluate_depth,
    measure,
    nearest_face_predictor,
    score_depth,
)
from portrait3d.models.depth_net import DepthNet


@pytest.fixture(scope="module")
def views() -> DepthViews:
    pair = SyntheticHeads(seed=6, size=64).pair(0)
    return DepthViews.collect(["a", "b"], [head_view(pair.first), head_view(pair.second)], [(0, 1)])


def test_the_truth_has_no_error(views: DepthViews) -> None:
    scores = measure(lambda batch: batch["depth"], "heads", "truth", views)
    assert scores.pixel == 0.0
    assert scores.surface < 1e-2
    assert scores.coverage > 0.5


def test_depth_that_is_too_far_is_off_by_as_much_per_pixel(views: DepthViews) -> None:
    scores = measure(lambda batch: batch["depth"] + 8.0, "heads", "shifted", views)
    assert scores.pixel == pytest.approx(8.0, abs=1e-3)
    assert scores.surface < 8.0, "the surface may be nearer to the side"


def test_true_depth_explains_the_other_view_better_than_a_plane(views: DepthViews) -> None:
    truth = measure(lambda batch: batch["depth"], "heads", "truth", views)
    plane = measure(constant_predictor, "heads", "plane", views)
    assert truth.color < plane.color
    assert plane.pixel > 10


def test_baselines_keep_the_face(views: DepthViews) -> None:
    batch = pair_tensors(views, (0, 1))
    bare = bare_face(batch)
    for predict in (constant_predictor, nearest_face_predictor):
        depth = predict(batch)
        torch.testing.assert_close(depth[bare], batch["face_depth"][bare])
        assert (depth[batch["region"]] > 500).all()


def test_every_method_is_measured_on_every_source(views: DepthViews) -> None:
    scores = list(evaluate_depth(DepthNet(0.125).eval(), {"synthetic": views}))
    assert [s.method for s in scores] == ["network", "constant face depth", "nearest face depth"]
    assert all(math.isfinite(s.pixel) and math.isfinite(s.color) for s in scores)


def test_the_score_falls_with_the_error(views: DepthViews) -> None:
    result = score_depth(DepthNet(0.125).eval(), {"synthetic": views})
    assert result["score"] == pytest.approx(-result["synthetic_rest_mm"])
