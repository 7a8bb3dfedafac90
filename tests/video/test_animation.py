"""Drawing portraits that move."""

import numpy as np
import pytest
import torch

from portrait3d import Portrait3D
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing import reduced
from portrait3d.video.animation import beside, draw_frames
from portrait3d.video.turntable import head_views, turntable_poses
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


def test_frames_at_rest_are_all_the_photo(model: Portrait3D, portrait: Portrait) -> None:
    frames = list(draw_frames(model, portrait, [portrait.pose] * 5, np.zeros((5, 64)), 170))
    assert len(frames) == 5
    assert frames[0].shape == (160, 170, 3)
    for frame in frames:
        assert np.array_equal(frame, reduced(portrait, 0.5).photo.pixels)


def test_frames_come_in_the_order_of_the_poses(model: Portrait3D, portrait: Portrait) -> None:
    poses = [HeadAngles(yaw, 0.0, 0.0) for yaw in (-12.0, 0.0, 12.0, -12.0)]
    left, middle, right, again = draw_frames(model, portrait, poses, None, 170)
    assert np.array_equal(left, again)
    assert (left != middle).any()
    assert (left != right).any()


def test_every_frame_has_its_share_of_the_threads(
    model: Portrait3D, portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []

    def draw(*_: object) -> np.ndarray:
        found.append(torch.get_num_threads())
        return np.zeros((2, 2, 3), np.uint8)

    monkeypatch.setattr(Portrait3D, "draw_pose", draw)
    threads = torch.get_num_threads()
    try:
        for own, share in ((6, 3), (2, 1), (1, 1)):
            torch.set_num_threads(own)
            for workers in (1, 2):
                found.clear()
                assert len(list(draw_frames(model, portrait, [portrait.pose] * 3, None, 170, workers))) == 3
                assert found == [share] * 3
                assert torch.get_num_threads() == own
    finally:
        torch.set_num_threads(threads)


def test_the_turntable_is_a_closed_path_from_the_photos_pose(portrait: Portrait) -> None:
    poses = turntable_poses(portrait, 40, yaw=25.0, pitch=4.0)
    yaws, pitches = np.array([[pose.yaw, pose.pitch] for pose in poses]).T
    assert (yaws[0], pitches[0]) == pytest.approx((portrait.pose.yaw, portrait.pose.pitch), abs=1e-6)
    assert (yaws.min(), yaws.max()) == pytest.approx((-25, 25), abs=0.1)
    assert np.ptp(pitches) == pytest.approx(8, abs=0.1)
    steps = np.abs(np.diff(np.append(yaws, yaws[0])))
    assert steps.max() < 25 * 2 * np.pi / 40 + 1e-6
    assert steps[9] < 0.2 * steps.max()


def test_the_head_goes_all_the_way_round(portrait: Portrait) -> None:
    views = list(head_views(portrait, 4, 48))
    assert [view.shape for view in views] == [(48, 48, 3)] * 4
    assert (views[0] != views[2]).any()
    assert all((view[0, 0] == 255).all() for view in views)


def test_two_films_stand_side_by_side() -> None:
    left, right = [np.zeros((40, 30, 3), np.uint8)] * 2, [np.full((80, 100, 3), 200, np.uint8)] * 2
    frames = list(beside(iter(left), iter(right)))
    assert [frame.shape for frame in frames] == [(40, 80, 3)] * 2
    assert not frames[0][:, :30].any()
    assert (frames[0][:, 30:] == 200).all()
