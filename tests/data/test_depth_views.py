"""Prepared views on disk and the samples that training draws from them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.data.depth_samples import DepthAugmentation, DepthPairs, augment, pair_tensors
from portrait3d.data.depth_views import DepthViews, load_sources
from portrait3d.data.turning import HeadView
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.depth import DepthMap
from portrait3d.geometry.pose import Pose
from portrait3d.geometry.warping import relative_motion
from portrait3d.rendering.warping import warp

WINDOW = DepthAugmentation(window=(112, 96), shift=8)


@pytest.fixture(scope="module")
def views(frontal: HeadView, aside: HeadView) -> DepthViews:
    return DepthViews.collect(["frontal", "aside"], [frontal, aside], [(0, 1)])


def depth_error(sample: dict[str, torch.Tensor]) -> float:
    """Median distance between the first view's depth, moved into the second, and the second's own."""
    height, width = sample["depth"].shape[-2:]
    cameras = [
        Camera(sample["focal"][k][None], sample["principal"][k][None], height, width) for k in range(2)
    ]
    poses = [Pose(sample["rotation"][k][None], sample["translation"][k][None]) for k in range(2)]
    source = DepthMap(sample["depth"][0], sample["region"][0], cameras[0])
    moved = warp(sample["image"][:1], source, relative_motion(*poses), cameras[1])
    both = moved.visible[0] & sample["region"][1]
    assert both.sum() > 0.7 * sample["region"][1].sum()
    return float((moved.depth[0] - sample["depth"][1])[both].abs().median())


def test_what_is_saved_is_loaded(views: DepthViews, tmp_path: Path) -> None:
    views.save(tmp_path / "heads-00000.npz")
    views.save(tmp_path / "heads-00001.npz")
    loaded = load_sources(tmp_path)["heads"]
    assert len(loaded) == 4
    assert loaded.pairs.tolist() == [[0, 1], [2, 3]]
    np.testing.assert_array_equal(loaded.image[2:], views.image)
    np.testing.assert_array_equal(loaded.depth[:2], views.depth)


def test_an_empty_folder_has_no_sources(tmp_path: Path) -> None:
    assert load_sources(tmp_path) == {}
    with pytest.raises(FileNotFoundError, match="no prepared views"):
        DepthViews.load()


def test_tensors_have_absolute_depth_and_zero_where_there_is_none(views: DepthViews) -> None:
    sample = pair_tensors(views, (0, 1))
    known = sample["region"]
    assert (sample["depth"][known] > 800).all()
    assert (sample["depth"][~known] == 0).all()
    assert (sample["trust"][~known] == 0).all()
    assert sample["image"].shape == (2, 3, 128, 128)


def test_the_two_views_of_a_pair_fit_together(views: DepthViews) -> None:
    assert depth_error(pair_tensors(views, (0, 1))) < 0.5


@pytest.mark.parametrize("mirror", [0.0, 1.0])
def test_they_still_fit_after_augmentation(views: DepthViews, mirror: float) -> None:
    config = DepthAugmentation(window=(112, 96), shift=8, mirror=mirror)
    for seed in range(3):
        sample = augment(pair_tensors(views, (0, 1)), config, np.random.default_rng(seed))
        assert sample["image"].shape == (2, 3, 112, 96)
        assert depth_error(sample) < 0.5


def test_samples_depend_on_their_number_alone(views: DepthViews) -> None:
    pairs = DepthPairs({"heads": views}, {"heads": 1.0}, {"heads": 0.5}, WINDOW, seed=3)
    again = DepthPairs({"heads": views}, {"heads": 1.0}, {"heads": 0.5}, WINDOW, seed=3)
    first, other = pairs[7], pairs[8]
    for name, value in again[7].items():
        assert torch.equal(value, first[name]), name
    assert not torch.equal(first["image"], other["image"])


def test_sources_that_are_missing_are_left_out(views: DepthViews) -> None:
    pairs = DepthPairs({"heads": views}, {"heads": 0.2, "clips": 0.8}, {}, WINDOW)
    assert pairs.names == ["heads"]
    with pytest.raises(ValueError, match="No source has pairs"):
        DepthPairs({"heads": views}, {"clips": 1.0}, {}, WINDOW)
