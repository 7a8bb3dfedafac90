"""How networks see heads: plain, bent by tanh, the whole picture."""

import math

import numpy as np
import pytest
import torch

from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import FRAMINGS, Frame, frame_head, inside, labels_at, read_pyramid

HEAD_CROP = Crop((120.0, 90.0), 160.0, 0.3, 256, 2.0)


def stripes(height: int, width: int, period: int) -> np.ndarray:
    """Vertical stripes of black and white."""
    line = np.arange(width) % period < period / 2
    return np.repeat(np.repeat(line[None, :, None] * np.uint8(255), height, 0), 3, 2)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_points_come_back_to_the_photo(framing: str) -> None:
    frame = frame_head(framing, HEAD_CROP, (200, 260), 64)
    points = torch.rand(50, 2) * torch.tensor([260.0, 200.0])
    torch.testing.assert_close(
        frame.photo_from_frame(frame.frame_from_photo(points)), points, atol=0.02, rtol=0
    )


@pytest.mark.parametrize("framing", FRAMINGS)
def test_positions_are_those_of_the_pixels_centres(framing: str) -> None:
    frame = frame_head(framing, HEAD_CROP, (200, 260), 32)
    own = frame.frame_from_photo(frame.positions())
    y, x = torch.meshgrid(torch.arange(32) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    torch.testing.assert_close(own, torch.stack([x, y], -1), atol=0.01, rtol=0)


def test_near_the_middle_the_warp_is_the_crop_at_twice_the_resolution() -> None:
    bent, plain = (frame_head(name, HEAD_CROP, (200, 260), 256) for name in ("tanh", "plain"))
    middle = torch.tensor(HEAD_CROP.centre)
    near = middle + torch.tensor([[2.0, 1.0]])
    shifts = [float((frame.frame_from_photo(near) - 128).norm()) for frame in (bent, plain)]
    assert shifts[0] == pytest.approx(2 * shifts[1], rel=0.01)
    assert bent.density(bent.frame_from_photo(middle[None])) == pytest.approx(256 / 80)
    assert plain.density(near) == pytest.approx(256 / 160)


def test_the_density_is_what_neighbouring_pixels_show() -> None:
    frame = Frame(Crop((0.0, 0.0), 20.0, 0.2, 64), bent=True)
    points = torch.tensor([[40.0, 20.0]])
    steps = [frame.photo_from_frame(points + 0.01 * d) - frame.photo_from_frame(points) for d in torch.eye(2)]
    area = abs(float(torch.linalg.det(torch.cat(steps).double())))
    assert float(frame.density(points)) == pytest.approx(0.01 / math.sqrt(area), rel=0.01)
    assert float(1 / frame.footprint()[20, 40]) == pytest.approx(
        float(frame.density(torch.tensor([40.5, 20.5])))
    )


def test_the_warp_turns_with_the_head() -> None:
    rng = np.random.default_rng(0)
    pixels = np.kron(rng.integers(0, 255, (20, 20, 3)), np.ones((10, 10, 1))).astype(np.uint8)
    turned = np.rot90(pixels, -1).copy()  # clockwise
    upright = Frame(Crop((90.0, 120.0), 60.0, 0.0, 64), bent=True)
    leaning = Frame(Crop((200 - 120.0, 90.0), 60.0, math.pi / 2, 64), bent=True)
    middle = np.s_[:, 8:-8, 8:-8]
    torch.testing.assert_close(
        upright.extract(pixels)[middle], leaning.extract(turned)[middle], atol=0.02, rtol=0
    )


def test_at_the_photos_border_the_frame_is_black_beyond_it() -> None:
    pixels = np.full((100, 100, 3), 200, np.uint8)
    frame = Frame(Crop((2.0, 50.0), 40.0, 0.0, 64), bent=True)
    image = frame.extract(pixels)
    shown = inside(frame.positions(), 100, 100)
    assert image[:, shown].min() == pytest.approx(200 / 255)
    assert image[:, ~shown].max() == 0
    assert not shown[:, :28].any()
    assert shown[32, 33:60].all()


def test_fine_stripes_far_from_the_face_become_grey_and_near_ones_stay() -> None:
    image = Frame(Crop((400.0, 400.0), 80.0, 0.0, 64), bent=True).extract(stripes(800, 800, 4))
    assert float(image[0, 58:61, 58:61].std()) < 0.1
    assert float(image[0, 58:61, 58:61].mean()) == pytest.approx(0.5, abs=0.1)
    assert float(image[0, 32, 28:36].std()) > 0.3


def test_a_pyramid_is_read_where_the_points_are() -> None:
    ramp = np.repeat(np.arange(101, dtype=np.uint8)[None, :, None], 67, 0).repeat(3, 2)
    positions = torch.tensor([[[30.5, 20.5], [51.0, 40.0], [70.25, 30.0]]])
    for footprint in (1.0, 3.0, 8.0):
        read = read_pyramid(ramp, positions, torch.full((1, 3), footprint))
        torch.testing.assert_close(
            read[0, 0] * 255,
            torch.tensor([30.0, 50.5, 69.75]),
            atol=0.6,  # levels are rounded to bytes
            rtol=0,
        )


def test_labels_are_those_under_the_points_and_beyond_the_picture_those_of_its_border() -> None:
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)
    points = torch.tensor([[0.5, 0.5], [3.9, 1.1], [-7.0, 1.5], [99.0, 99.0]])
    assert labels_at(labels, points).tolist() == [0, 7, 4, 11]


@pytest.mark.parametrize("framing", FRAMINGS)
def test_maps_of_the_frame_are_read_where_its_pixels_are(framing: str) -> None:
    frame = frame_head(framing, HEAD_CROP, (200, 260), 48)
    values = torch.rand(2, 48, 48)
    own = frame.frame_from_photo(frame.positions())
    torch.testing.assert_close(frame.read(values, own), values, atol=0.02, rtol=0)
    assert frame.seen(own).all()


def test_nothing_is_seen_beyond_the_frame() -> None:
    plain, bent = (Frame(Crop((50.0, 50.0), 20.0, 0.0, 32), bent) for bent in (False, True))
    far = torch.tensor([[61.0, 50.0], [90.0, 50.0], [1e4, 50.0]])
    assert plain.seen(plain.frame_from_photo(far)).tolist() == [False, False, False]
    assert bent.seen(bent.frame_from_photo(far)).tolist() == [True, False, False]


def test_an_unknown_framing_is_named() -> None:
    with pytest.raises(ValueError, match="plain, tanh, whole, got 'fisheye'"):
        frame_head("fisheye", HEAD_CROP, (10, 10), 32)
