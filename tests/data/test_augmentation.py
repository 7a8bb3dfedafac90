"""Random crops keep pixels, points and poses together."""

import numpy as np
import torch

from portrait3d.data.face.augmentation import (
    blur,
    degrade,
    move_points,
    move_pose,
    vary_colour,
    warp_crops,
)
from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.preprocessing.alignment import FACE_FOCAL


def similarity(count: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return torch.randn(count, 2) * 8, torch.linspace(0.85, 1.2, count), torch.linspace(-0.5, 0.5, count)


def test_the_moved_pose_projects_to_the_moved_points() -> None:
    model = torch.randn(1, 40, 3).expand(3, -1, -1) * 60
    zero = torch.zeros(3)
    pose = Pose(
        rotation_from_euler(zero + 0.3, zero - 0.1, zero), torch.tensor([4.0, -20.0, 940.0]).repeat(3, 1)
    )
    moves = similarity(3)

    def project(pose: Pose) -> torch.Tensor:
        points = pose.apply(model)
        return 112 + FACE_FOCAL * points[..., :2] / points[..., 2:]

    assert (project(move_pose(pose, *moves)) - move_points(project(pose), *moves)).abs().mean() < 0.5


def test_pixels_move_as_points_do() -> None:
    wide = np.zeros((1, 224, 224, 3), np.uint8)
    wide[0, 100:104, 140:144] = 255  # around (142, 102) of a wide crop of margin 1.4
    point = (torch.tensor([[[142.0, 102.0]]]) - 112) * 1.4 + 112
    moves = (torch.tensor([[6.0, -4.0]]), torch.tensor([1.1]), torch.tensor([0.4]))
    image = warp_crops(wide, 1.4, *moves, size=224)[0, 0]
    seen = torch.nonzero(image > 0.5).float().mean(0).flip(0) + 0.5
    torch.testing.assert_close(seen, move_points(point, *moves)[0, 0], atol=0.6, rtol=0)


def test_mirrored_crops_show_the_mirrored_picture() -> None:
    wide = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)
    still = (torch.zeros(1, 2), torch.ones(1), torch.zeros(1))
    plain = warp_crops(wide, 1.4, *still, size=32)
    mirrored = warp_crops(wide, 1.4, *still, size=32, mirrored=torch.tensor([True]))
    torch.testing.assert_close(mirrored, plain.flip(-1), atol=1e-5, rtol=0)


def test_changed_images_stay_in_range_and_depend_on_the_generator_alone() -> None:
    images = torch.rand(10, 3, 64, 64)
    generators = (np.random.default_rng(5), np.random.default_rng(5))
    one, two = (degrade(vary_colour(images, random), random) for random in generators)
    torch.testing.assert_close(one, two)
    assert one.min() >= 0
    assert one.max() <= 1
    assert not torch.equal(one, images)


def test_a_blur_keeps_flat_pictures_and_spreads_points_along_its_angle() -> None:
    flat = torch.full((1, 3, 20, 20), 0.3)
    torch.testing.assert_close(blur(flat, np.array([2.0, 0.5]), 0.7), flat)
    point = torch.zeros(1, 3, 31, 31)
    point[..., 15, 15] = 1
    spread = blur(point, np.array([2.0, 0.5]), np.pi / 2)[0, 0]
    torch.testing.assert_close(spread.sum(), torch.tensor(1.0))
    assert spread[19, 15] > 10 * spread[15, 19]
