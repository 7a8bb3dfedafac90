"""Motions of heads between frames, on synthetic heads whose motion is known."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from portrait3d.data.people.model_views import HeadInCrop, HeadView, SkinModel
from portrait3d.data.photos.registration import (
    agree,
    difference,
    expression_change,
    face_centre,
    lifted,
    projected,
    register,
    register_clip,
    relative,
    sampled,
    undone,
)
from portrait3d.data.synthetic import STYLES_VALIDATION, SyntheticHeads
from portrait3d.models.head_model import HeadModel
from synthetic_views import head_view


@pytest.fixture(scope="module")
def skin() -> SkinModel:
    return SkinModel.from_head_model(HeadModel.load())


@pytest.fixture(scope="module")
def views(skin: SkinModel) -> tuple[HeadView, HeadView]:
    pair = SyntheticHeads(seed=3, styles=STYLES_VALIDATION).pair(3)
    first, second = (head_view(view) for view in (pair.first, pair.second))
    return with_vertices(first, skin.mean), with_vertices(second, skin.mean)


def with_vertices(view: HeadView, vertices: np.ndarray) -> HeadView:
    return replace(view, head=replace(view.head, vertices=vertices))


def moved(head: HeadInCrop, angle: float, shift: tuple[float, float, float]) -> HeadInCrop:
    """The head turned about itself by an angle (degrees) around y and moved (mm)."""
    turn = Rotation.from_euler("y", angle, degrees=True).as_matrix()
    translation = turn @ (head.translation - head.centre) + head.centre + np.array(shift)
    return replace(head, rotation=turn @ head.rotation, translation=translation)


def wrongness(a: HeadView, b: HeadView, truth: HeadInCrop, skin: SkinModel) -> tuple[float, float]:
    """By how many degrees and mm the motion from `a` to `b` misses that from `a` to `truth`."""
    turn, shift = difference(
        relative(a.head, b.head),
        relative(a.head, truth),
        a.head.rotation @ face_centre(skin, a.head) + a.head.translation,
    )
    return float(np.degrees(np.linalg.norm(turn))), float(np.linalg.norm(shift[:2]))


def test_registration_finds_a_pose_that_was_fitted_wrongly(
    views: tuple[HeadView, HeadView], skin: SkinModel
) -> None:
    a, b = views
    wrong = replace(b, head=moved(b.head, 2.0, (1.5, -1.0, 4.0)))
    motion = register(a, wrong, skin)
    assert motion is not None
    centre = a.head.rotation @ face_centre(skin, a.head) + a.head.translation
    turn, shift = difference(motion, relative(a.head, b.head), centre)
    assert np.degrees(np.linalg.norm(turn)) < 1.0
    assert np.linalg.norm(shift[:2]) < 0.5


def test_a_hidden_face_is_not_registered(views: tuple[HeadView, HeadView], skin: SkinModel) -> None:
    a, b = views
    assert register(replace(a, labels=np.full_like(a.labels, 2)), b, skin) is None


def test_frames_are_put_where_their_pictures_say(views: tuple[HeadView, HeadView], skin: SkinModel) -> None:
    a, b = views
    wrong = replace(b, head=moved(b.head, 2.0, (1.5, -1.0, 4.0)))
    before = wrongness(a, wrong, b.head, skin)
    (first, second), certain = register_clip([a, wrong], [(0, 1)], skin)
    assert certain == [(0, 1)]
    after = wrongness(first, second, b.head, skin)
    assert after[0] < 0.8 * before[0]
    assert after[1] < 0.8 * before[1]
    assert np.isfinite(second.face_depth).any()
    assert not np.array_equal(second.face_depth, wrong.face_depth)


def test_frames_of_no_certain_pair_keep_their_pose(views: tuple[HeadView, HeadView], skin: SkinModel) -> None:
    a, b = views
    other = SyntheticHeads(seed=4, styles=STYLES_VALIDATION).pair(5).second
    stranger = with_vertices(head_view(other), skin.mean)
    stranger = replace(stranger, head=moved(b.head, 6.0, (0.0, 0.0, 0.0)))
    posed, certain = register_clip([a, stranger], [(0, 1)], skin)
    assert certain == []
    for before, after in zip((a, stranger), posed, strict=True):
        np.testing.assert_array_equal(after.head.rotation, before.head.rotation)
        np.testing.assert_array_equal(after.head.translation, before.head.translation)


def test_motions_there_and_back_undo_each_other(views: tuple[HeadView, HeadView]) -> None:
    first, second = (view.head for view in views)
    there = relative(first, second)
    assert undone(there, relative(second, first)) < 1e-5
    assert undone(there, relative(moved(second, 4.0, (0.0, 0.0, 0.0)), first)) == pytest.approx(4.0)


def test_one_wrong_motion_does_not_spoil_the_others(
    views: tuple[HeadView, HeadView], skin: SkinModel
) -> None:
    start = views[0].head
    truth = [moved(start, angle, (angle, 0.0, 0.0)) for angle in (0.0, 4.0, 8.0, 12.0)]
    fitted = [
        moved(head, error, (3.0 * error, 0.0, 0.0)) for head, error in zip(truth, (0, 1, -1, 1), strict=True)
    ]
    motions = {(i, j): relative(truth[i], truth[j]) for i in range(4) for j in range(4) if i != j}
    motions[0, 1] = relative(truth[0], moved(truth[1], 6.0, (10.0, 0.0, 0.0)))
    centre = face_centre(skin, start)
    found = agree(fitted, motions, centre)
    for k in range(1, 4):
        turn, shift = difference(
            relative(found[0], found[k]),
            relative(truth[0], truth[k]),
            truth[0].rotation @ centre + truth[0].translation,
        )
        assert np.degrees(np.linalg.norm(turn)) < 0.5
        assert np.linalg.norm(shift) < 1.0


def test_expressions_move_points_of_the_face(views: tuple[HeadView, HeadView], skin: SkinModel) -> None:
    a = views[0].head
    jaw = int(np.argmax(np.abs(skin.expression).sum(axis=(0, 2)) * (skin.face_mask > 0.5)))
    smiling = replace(a, vertices=skin.mean + 2.0 * skin.expression[0])
    still = int(np.argmin(np.abs(skin.expression).sum(axis=(0, 2)) + 1e6 * (skin.face_mask < 0.5)))
    points = skin.mean[[jaw, still]] @ a.rotation.T + a.translation
    shift, stiffness = expression_change(a, smiling, points, skin)
    np.testing.assert_allclose(shift[0], 2.0 * a.rotation @ skin.expression[0, jaw], atol=0.05)
    assert np.linalg.norm(shift[1]) < 0.05
    assert stiffness[0] < 0.1
    assert stiffness[1] > 0.9
    assert np.abs(expression_change(a, a, points, skin)[0]).max() == 0


def test_pixels_are_lifted_projected_and_sampled_at_their_centres() -> None:
    depth = np.full((6, 6), 800.0)
    at = projected(lifted(depth, 300.0), 300.0, 6)
    np.testing.assert_allclose(at[2, 4], (4.5, 2.5))
    picture = np.arange(36.0).reshape(6, 6)
    np.testing.assert_allclose(sampled(picture, at), picture)
