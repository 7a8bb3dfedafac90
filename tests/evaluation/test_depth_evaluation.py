"""Errors of depth on prepared validation views, as training watches them."""

import pytest

from portrait3d.data.depth_views import DepthViews
from portrait3d.data.synthetic import SyntheticHeads
from portrait3d.data.synthetic_views import head_view
from portrait3d.evaluation.depth import measure, score_depth
from portrait3d.models.depth_net import DepthNet


@pytest.fixture(scope="module")
def views() -> DepthViews:
    pair = SyntheticHeads(seed=6, size=64).pair(0)
    return DepthViews.collect(["a", "b"], [head_view(pair.first), head_view(pair.second)], [(0, 1)])


def test_the_truth_has_no_error(views: DepthViews) -> None:
    scores = measure(lambda batch: batch["depth"], views)
    assert scores.pixel == 0.0
    assert scores.coverage > 0.5


def test_depth_that_is_too_far_is_off_by_as_much_per_pixel(views: DepthViews) -> None:
    scores = measure(lambda batch: batch["depth"] + 8.0, views)
    assert scores.pixel == pytest.approx(8.0, abs=1e-3)


def test_true_depth_explains_the_other_view_better_than_a_plane(views: DepthViews) -> None:
    truth = measure(lambda batch: batch["depth"], views)
    plane = measure(lambda batch: 0 * batch["depth"] + 900.0, views)
    assert truth.color < plane.color
    assert plane.pixel > 10


def test_the_score_falls_with_the_error(views: DepthViews) -> None:
    result = score_depth(DepthNet(0.125).eval(), {"synthetic": views})
    assert result["score"] == pytest.approx(-result["synthetic_rest_mm"])
