"""A head from all around, whole and with a hole."""

from dataclasses import replace

import numpy as np

from portrait3d.export.directions import (
    BACKGROUND,
    DIRECTIONS,
    directions_sheet,
    view_direction,
    view_directions,
)
from portrait3d.geometry.mesh import HeadMesh
from portrait3d.geometry.pose import Pose


def holed(head: HeadMesh, side: float) -> HeadMesh:
    """The head without a patch at the back (side > 0) or at the front (side < 0)."""
    centre = head.vertices.mean(axis=0)
    corners = head.vertices[head.faces].mean(axis=1) - centre
    patch = (np.linalg.norm(corners[:, :2] + [20, 0], axis=1) < 30) & (corners[:, 2] * side > 0)
    assert patch.any()
    return head.kept(~patch)


def test_a_closed_head_has_no_holes(head: HeadMesh) -> None:
    views = view_directions(head, size=96)
    assert len(views) == len(DIRECTIONS) == 9
    assert [view.gaps + view.inside for view in views] == [0] * 9
    assert all((view.shape != BACKGROUND).any(axis=-1).sum() > 2000 for view in views)


def test_a_hole_shows_the_inner_side_from_where_it_is_seen(head: HeadMesh) -> None:
    open_back = holed(head, 1)
    assert view_direction(open_back, 0, 0, 96).inside == 0
    behind = view_direction(open_back, 180, 0, 96)
    assert behind.inside > 100
    assert (behind.shape == (0, 255, 255)).all(axis=-1).sum() == behind.inside


def test_what_one_can_look_through_is_a_gap(head: HeadMesh) -> None:
    tunnel = holed(holed(head, 1), -1)
    view = view_direction(tunnel, 0, 0, 96)
    assert view.gaps > 100
    middle = view.photo[40:56]
    assert (middle == BACKGROUND).all(axis=-1).sum() > 100


def test_the_first_direction_is_the_front_whatever_the_pose(model_head: HeadMesh) -> None:
    straight = replace(
        model_head,
        vertices=(model_head.vertices - model_head.camera_from_head.translation.numpy())
        @ model_head.camera_from_head.rotation.numpy(),
        camera_from_head=Pose.identity(),
    )
    one, other = (view_direction(head, 0, 0, 64).shape.astype(int) for head in (model_head, straight))
    assert np.abs(one - other).mean() < 12


def test_a_sheet_shows_every_direction_twice(head: HeadMesh) -> None:
    views = view_directions(head, size=64)
    sheet = directions_sheet(views)
    assert sheet.shape[1] > 9 * 64
    assert sheet.shape[0] > 2 * 64
