"""Crops as virtual cameras."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.preprocessing.alignment import (
    DETECTION_TURN,
    FACE_FOCAL,
    FACE_MARGIN,
    Crop,
    crop_from_detection,
    crop_from_landmarks,
    roll_of_face,
)
from portrait3d.preprocessing.detection import Detection, FaceDetector

CROPS = [
    Crop((310.3, 240.7), 140.0, 0.3, 224),
    Crop((310.3, 240.7), 210.0, -0.5, 100),
    Crop((310.3, 240.7), 210.0, 0.3, 31),
    Crop((310.3, 240.7), 273.0, 2.9, 17),
]


def gradient(height: int = 480, width: int = 640) -> np.ndarray:
    """Red grows with x, green with y, by less than one step a pixel."""
    y, x = np.mgrid[:height, :width] + 0.5
    return np.stack([x / width * 255, y / height * 255, np.full_like(x, 100)], -1).round().astype(np.uint8)


def face_points() -> torch.Tensor:
    """68 points of an upright face around (300, 200), symmetric enough for a roll of 0."""
    points = torch.rand(68, 2) * torch.tensor([80.0, 100.0]) + torch.tensor([260.0, 150.0])
    points[36:42], points[42:48] = torch.tensor([280.0, 180.0]), torch.tensor([320.0, 180.0])
    points[48], points[54] = torch.tensor([285.0, 225.0]), torch.tensor([315.0, 225.0])
    return points


@pytest.mark.parametrize("crop", CROPS)
def test_points_move_to_the_crop_and_back(crop: Crop) -> None:
    points = torch.rand(3, 7, 2) * 600
    assert torch.allclose(crop.photo_from_crop(crop.crop_from_photo(points)), points, atol=1e-3)
    assert torch.allclose(crop.crop_from_photo(crop.photo_from_crop(points)), points, atol=1e-3)


@pytest.mark.parametrize("crop", CROPS)
def test_grids_have_the_places_of_their_points(crop: Crop) -> None:
    x, y = torch.rand(9) * 600, torch.rand(5) * 600
    expected = crop.crop_from_photo(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1))
    torch.testing.assert_close(crop.crop_from_grid(x, y), expected, atol=1e-4, rtol=0)
    expected = crop.photo_from_crop(crop.camera().pixel_centres())
    torch.testing.assert_close(crop.positions(), expected, atol=1e-4, rtol=0)


def test_the_crops_middle_is_its_centre_and_its_x_axis_has_its_angle() -> None:
    crop = CROPS[0]
    middle, right = crop.photo_from_crop(torch.tensor([[112.0, 112.0], [212.0, 112.0]])).tolist()
    assert middle == pytest.approx(crop.centre)
    assert math.atan2(right[1] - middle[1], right[0] - middle[0]) == pytest.approx(crop.angle)
    assert math.dist(middle, right) == pytest.approx(100 * crop.side / crop.size)


def test_a_crop_of_the_whole_photo_is_the_photo(astronaut: np.ndarray) -> None:
    crop = Crop((256.0, 256.0), 512.0, 0.0, 512)
    assert torch.allclose(
        crop.extract(astronaut), torch.from_numpy(astronaut).permute(2, 0, 1) / 255, atol=1e-4
    )


@pytest.mark.parametrize("crop", CROPS)
def test_extraction_of_a_gradient_is_the_gradient_at_the_pixel_centres(crop: Crop) -> None:
    line = torch.arange(crop.size) + 0.5
    y, x = torch.meshgrid(line, line, indexing="ij")
    wanted = crop.photo_from_crop(torch.stack([x, y], -1))
    found = crop.extract(gradient())
    assert torch.allclose(found[0], wanted[..., 0] / 640, atol=0.55 / 255)
    assert torch.allclose(found[1], wanted[..., 1] / 480, atol=0.55 / 255)
    assert torch.allclose(found[2], torch.tensor(100 / 255))


def test_extraction_does_not_alias() -> None:
    y, x = np.mgrid[:512, :512]
    checkers = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[..., None], 3, axis=2)
    for side in (60.0, 101.0, 170.0, 333.0):
        found = Crop((256.0, 256.0), side, 0.2, 32).extract(checkers)
        assert (found - 0.5).abs().max() < 0.3
        assert (found - 0.5).abs().mean() < 0.05


def test_beyond_the_photo_a_crop_is_black() -> None:
    white = np.full((50, 60, 3), 255, np.uint8)
    found = Crop((60.0, 25.0), 40.0, 0.0, 40).extract(white)
    assert (found[:, :, :20] > 0.999).all()
    assert (found[:, :, 20:] == 0).all()
    assert (Crop((500.0, 500.0), 40.0, 0.3, 16).extract(white) == 0).all()


def test_labels_are_those_under_the_pixel_centres() -> None:
    labels = np.arange(48, dtype=np.uint8).reshape(6, 8)
    whole = Crop((4.0, 3.0), 8.0, 0.0, 8).extract_labels(labels, outside=99)
    assert (whole[1:7] == labels).all()
    assert (whole[[0, 7]] == 99).all()
    assert whole.dtype == labels.dtype
    turned = Crop((4.0, 3.0), 4.0, math.pi / 2, 4).extract_labels(labels)
    assert (turned == np.rot90(labels[1:5, 2:6])).all()


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_maps_come_back_to_where_they_were_taken(astronaut: np.ndarray, angle: float) -> None:
    crop = Crop((250.0, 240.0), 256.0, angle, 256)
    smooth = np.array(Image.fromarray(astronaut).resize((64, 64)).resize((512, 512)))
    restored = crop.restore(crop.extract(smooth), 512, 512)
    inside = crop.restore(torch.ones(1, 256, 256), 512, 512)[0] > 0
    wanted = torch.from_numpy(smooth).permute(2, 0, 1) / 255
    assert int(inside.sum()) == pytest.approx(256**2, rel=0.01)
    assert (restored[:, ~inside] == 0).all()
    assert (restored - wanted)[:, inside].abs().mean() < 0.01


def test_restoring_beyond_the_border_keeps_the_rest_in_place() -> None:
    values = torch.arange(16.0).reshape(1, 4, 4)
    restored = Crop((0.0, 0.0), 4.0, 0.0, 4).restore(values, 3, 5)
    assert torch.equal(restored[0, :2, :2], values[0, 2:, 2:])
    assert restored[0, 2].sum() == 0
    assert restored[0, :, 2:].sum() == 0


def test_a_mirrored_photo_gives_mirrored_crops(astronaut: np.ndarray) -> None:
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    crop = Crop((223.0, 132.0), 150.0, 0.2, 96)
    other = replace(crop, centre=(512 - 223.0, 132.0), angle=-0.2)
    assert torch.allclose(crop.extract(astronaut).flip(2), other.extract(mirrored), atol=1e-4)
    points = face_points()
    flipped = points * torch.tensor([-1.0, 1.0]) + torch.tensor([512.0, 0.0])
    flipped[36:42], flipped[42:48] = flipped[42:48].clone(), flipped[36:42].clone()
    first, second = crop_from_landmarks(points), crop_from_landmarks(flipped)
    assert second.centre == pytest.approx((512 - first.centre[0], first.centre[1]))
    assert second.side == pytest.approx(first.side)
    assert second.angle == pytest.approx(-first.angle)


def test_cameras_of_all_crops_and_of_the_photo_agree() -> None:
    face = Crop((300.0, 200.0), 150.0, 0.2, 224)
    head = face.head_crop()
    wide = head.wide_crop(128)
    assert (head.side, head.size, head.centre, head.angle) == (300.0, 256, face.centre, face.angle)
    assert (wide.side, wide.size, wide.centre, wide.angle) == (480.0, 128, face.centre, face.angle)
    assert wide == face.wide_crop(128)
    points = torch.randn(9, 3) * 80 + torch.tensor([0.0, 0.0, 1500.0])
    in_face = face.camera().project(points)
    in_head = head.camera().project(points)
    assert float(face.camera().focal) == FACE_FOCAL
    assert torch.allclose(face.photo_from_crop(in_face), head.photo_from_crop(in_head), atol=1e-3)
    cosine, sine = math.cos(face.angle), math.sin(face.angle)
    turned = points @ torch.tensor([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]).T
    for crop in (face, head, wide, face.resized(100)):
        in_photo = crop.photo_camera(480, 640).project(turned)
        assert torch.allclose(in_photo, face.photo_from_crop(in_face), atol=1e-3)
        torch.testing.assert_close(crop.roll.apply(points), turned)


def test_landmarks_place_the_crop_by_their_box_and_roll() -> None:
    points = face_points()
    crop = crop_from_landmarks(points)
    low, high = points.amin(0), points.amax(0)
    assert crop.angle == pytest.approx(0, abs=1e-6)
    assert crop.centre == pytest.approx(((low + high) / 2).tolist())
    assert crop.side == pytest.approx(1.6 * float((high - low).prod().sqrt()))
    turn = replace(crop, angle=0.3, side=float(crop.size))
    turned = crop_from_landmarks(turn.photo_from_crop(points))
    assert turned.angle == pytest.approx(0.3, abs=1e-5)
    assert turned.side == pytest.approx(crop.side, rel=1e-5)


def test_roll_is_clockwise_and_survives_a_side_view() -> None:
    def roll(*points: tuple[float, float]) -> float:
        return math.degrees(roll_of_face(*(torch.tensor(point) for point in points)))

    assert roll((0.0, 0.0), (10.0, 0.0), (5.0, 10.0)) == pytest.approx(0)
    assert roll((0.0, 0.0), (0.0, 10.0), (-10.0, 5.0)) == pytest.approx(90)
    assert roll((5.0, 0.0), (5.0, 0.0), (5.0, 10.0)) == pytest.approx(0)


def test_a_detection_places_the_crop_on_the_face(astronaut: np.ndarray) -> None:
    crop = crop_from_detection(FaceDetector().detect(astronaut)[0])
    assert crop.centre == pytest.approx((224, 132), abs=6)
    assert crop.side == pytest.approx(151, rel=0.1)
    assert math.degrees(crop.angle) == pytest.approx(3, abs=4)


def test_the_crop_of_a_turned_face_is_larger_than_its_detection_says() -> None:
    keypoints = np.array([[203, 102], [249, 102], [226, 124], [204, 144], [248, 144]], np.float32)
    box = np.array([180, 58, 271, 176], np.float32)
    ahead = crop_from_detection(Detection(box, 0.9, keypoints))
    for side in (-1, 1):
        turned = keypoints.copy()
        turned[2, 0] += 20 * side
        crop = crop_from_detection(Detection(box, 0.9, turned))
        assert crop.side - ahead.side == pytest.approx(FACE_MARGIN * DETECTION_TURN * 20, abs=0.5)


def test_a_detection_scales_and_shifts_with_the_photo() -> None:
    keypoints = np.array([[203, 102], [249, 102], [226, 124], [204, 144], [243, 144]], np.float32)
    box = np.array([180, 58, 271, 176], np.float32)
    first = crop_from_detection(Detection(box, 0.9, keypoints))
    second = crop_from_detection(Detection(box * 3 + 30, 0.9, keypoints * 3 + 30))
    assert second.centre == pytest.approx([value * 3 + 30 for value in first.centre], rel=1e-5)
    assert second.side == pytest.approx(3 * first.side, rel=1e-5)
    assert second.angle == pytest.approx(first.angle, abs=1e-5)


@pytest.mark.parametrize(
    "changes", [{"side": 0.0}, {"size": 0}, {"centre": (math.nan, 0.0)}, {"angle": math.inf}]
)
def test_an_impossible_crop_is_refused(changes: dict) -> None:
    with pytest.raises(ValueError, match="A crop needs"):
        replace(CROPS[0], **changes)


def test_a_crop_can_be_recentred() -> None:
    moved = CROPS[0].recentred((1.0, 2.0))
    assert moved == replace(CROPS[0], centre=(1.0, 2.0))


@pytest.mark.parametrize("crop", CROPS)
def test_a_square_around_a_point_has_its_size_there(crop: Crop) -> None:
    camera = crop.camera()
    point = torch.tensor([12.0, -25.0, 950.0])
    found = crop.around(point, 96.0, 128)
    place = crop.photo_from_crop(camera.project(point[None]))[0]
    assert found.centre == pytest.approx(tuple(place.tolist()))
    corner = point + torch.tensor([48.0, 48.0, 0.0])
    seen = found.crop_from_photo(crop.photo_from_crop(camera.project(corner[None])))[0]
    assert seen.tolist() == pytest.approx([128, 128], abs=1e-2)
    assert found.zoom / crop.zoom == pytest.approx(found.side / crop.side)
