"""Synthetic heads: pairs that agree with each other and with the head model."""

import numpy as np
import pytest
import torch

from portrait3d.data.synthetic import (
    STYLES_TRAIN,
    STYLES_VALIDATION,
    SyntheticHeads,
    SyntheticPair,
    head_camera,
)
from portrait3d.data.synthetic.light import directional, draw_light
from portrait3d.data.synthetic.scalp import map_scalp
from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.shading import spherical_harmonics

FACE, HAIR = 1, 2


@pytest.fixture(scope="module")
def long_hair() -> SyntheticPair:
    return SyntheticHeads(3, {"long_straight": STYLES_TRAIN["long_straight"]}).pair(1)


def test_a_pair_depends_on_seed_and_number_alone(long_hair):
    styles = {"long_straight": STYLES_TRAIN["long_straight"]}
    heads = SyntheticHeads(3, styles)
    heads.pair(0)
    again = heads.pair(1)
    assert torch.equal(again.first.image, long_hair.first.image)
    assert torch.equal(again.second.depth, long_hair.second.depth)
    other = SyntheticHeads(4, styles).pair(1)
    assert not torch.equal(other.first.image, long_hair.first.image)


def test_views_are_head_crops_with_all_labels_of_a_person(long_hair):
    view = long_hair.first
    assert view.image.shape == (3, 256, 256)
    assert view.image.min() >= 0
    assert view.image.max() <= 1
    assert {0, FACE, HAIR, 7} <= set(view.labels.unique().tolist())
    assert torch.equal(view.labels > 0, view.depth.isfinite())
    assert abs(view.center_depth - view.depth[view.labels == FACE].median()) < 150
    box = view.landmarks.amax(0) - view.landmarks.amin(0)
    assert 60 < box.prod().sqrt() < 105


def test_long_hair_hangs_beside_the_cheeks_and_below_the_chin(long_hair):
    view = long_hair.first
    hair = view.labels == HAIR
    chin = int(view.landmarks[8, 1])
    assert hair[chin + 8 :].sum() > 200
    jaw_row = int(view.landmarks[3, 1])
    columns = hair[jaw_row].nonzero().flatten()
    assert columns.min() < view.landmarks[:17, 0].min() + 6
    assert columns.max() > view.landmarks[:17, 0].max() - 6


def test_hanging_hair_is_a_volume_with_a_front_edge_beside_the_cheeks():
    """No pixel of hair between brows and mouth shows the far side of the hair behind the head."""
    heads = SyntheticHeads(3, {"bob": STYLES_TRAIN["bob"]})
    for index in range(3):
        view = heads.pair(index).first
        brow, mouth = int(view.landmarks[17:27, 1].mean()), int(view.landmarks[48:68, 1].mean())
        hair = view.labels[brow:mouth] == HAIR
        behind = view.depth[brow:mouth][hair] - view.center_depth
        assert (behind > 40).float().mean() < 0.02


def test_the_two_poses_differ_by_5_to_15_degrees(long_hair):
    for pair in (long_hair, SyntheticHeads(0, {"bald": STYLES_TRAIN["bald"]}).pair(5)):
        relative = pair.second.camera_from_model @ pair.first.camera_from_model.inverse()
        angle = torch.rad2deg(((relative.rotation.trace() - 1) / 2).clamp(-1, 1).acos())
        assert 4.5 < angle < 15.5


def test_depth_moved_by_the_relative_pose_lands_on_the_other_views_depth(long_hair):
    first, second = long_hair.first, long_hair.second
    camera = head_camera()
    rows, columns = (first.labels > 0).nonzero(as_tuple=True)
    pixels = torch.stack([columns, rows], dim=1) + 0.5
    points = camera.unproject(pixels, first.depth[rows, columns])
    moved = (second.camera_from_model @ first.camera_from_model.inverse()).apply(points)
    landed = camera.project(moved).floor().long()
    inside = ((landed >= 0) & (landed < 256)).all(1)
    gap = second.depth[landed[inside, 1], landed[inside, 0]] - moved[inside, 2]
    # A point is where it was, or something stands before it.
    assert (gap < 6).float().mean() > 0.93
    assert (gap.abs() < 3).float().mean() > 0.8


def test_bare_faces_have_the_depth_of_the_face_model():
    view = SyntheticHeads(0, {"bald": STYLES_TRAIN["bald"]}).pair(2).first
    seen = (view.labels == FACE) & view.face_depth.isfinite()
    assert seen.sum() > 1500
    assert (view.depth - view.face_depth)[seen].abs().median() < 0.05
    assert HAIR not in view.labels


def test_a_fringe_lies_before_the_forehead():
    view = SyntheticHeads(1, {"bob_fringe": STYLES_VALIDATION["bob_fringe"]}).pair(0).first
    before = (view.labels == HAIR) & view.face_depth.isfinite()
    assert before.sum() > 200
    assert (view.face_depth - view.depth)[before].median() > 2


@pytest.mark.parametrize("name", ["buzz", "afro", "ponytail", "bald_beard", "top_bun", "long_curly"])
def test_styles_draw_without_holes_in_the_head(name):
    view = SyntheticHeads(7, {name: {**STYLES_TRAIN, **STYLES_VALIDATION}[name]}).pair(0).first
    x, y = view.landmarks[30].long().tolist()
    assert view.labels[y, x] == FACE
    assert view.image.isfinite().all()
    assert (view.labels == HAIR).any() != (name == "bald_beard")


def test_validation_styles_are_not_trained_on():
    assert not set(STYLES_TRAIN) & set(STYLES_VALIDATION)
    assert not [style for style in STYLES_VALIDATION.values() if style in STYLES_TRAIN.values()]


def test_no_styles_are_refused():
    with pytest.raises(ValueError, match="no hair styles"):
        SyntheticHeads(0, {})


def test_the_scalp_map_covers_the_skull_from_the_crown_to_the_neck():
    head = HeadModel.load()
    scalp = map_scalp(head)
    points = scalp.points(head.mean.double().numpy())
    assert np.isfinite(points).all()
    np.testing.assert_allclose(scalp.weights.sum(-1), 1, atol=1e-6)
    assert points[:, 0, 1].max() < -90
    front = points[0, scalp.inside[0] > 0]
    assert front[:, 1].max() < -70
    assert (scalp.inside[96] > 0).sum() > (scalp.inside[0] > 0).sum()


def test_a_lamp_lights_what_faces_it_like_a_clamped_cosine():
    lamp = np.array([0.3, -0.5, -0.8])
    lamp /= np.linalg.norm(lamp)
    normals = np.random.default_rng(0).standard_normal((500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    lit = spherical_harmonics(torch.from_numpy(normals)).numpy() @ directional(lamp)
    assert np.abs(lit - np.clip(normals @ lamp, 0, None)).max() < 0.1


def test_light_is_drawn_from_the_generator_alone():
    np.testing.assert_array_equal(draw_light(np.random.default_rng(1)), draw_light(np.random.default_rng(1)))
