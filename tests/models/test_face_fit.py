"""Fits of the face: mirrored pictures, second passes, and the quality that sums up their signs."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from portrait3d.geometry.pose import Pose, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_fit import FaceFit, fit_face, landmark_distance, mean_rotation, read_faces
from portrait3d.models.face_net import FaceNet
from portrait3d.models.fit_quality import (
    LEAST_QUALITY,
    FitSigns,
    head_silhouette,
    lost_share,
    ragged_share,
    uncovered_share,
)
from portrait3d.models.head_model import HeadModel
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.preprocessing.alignment import Crop
from portrait3d.pretrained import bundled, load_network

CROP = Crop((224.0, 112.0), 190.0, 0.0, 224)
"""Where the face lies in scikit-image's portrait."""


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def net() -> FaceNet:
    return load_network(FaceNet, bundled("face"))


def test_the_mirror_image_gives_the_mirrored_face(
    net: FaceNet, head: HeadModel, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    crop = CROP.extract(astronaut)[None]
    one, other = read_faces(net, head, crop), read_faces(net, head, crop.flip(-1))
    mirrored = head.mirrored(other.coefficients)
    torch.testing.assert_close(one.coefficients.to_vector(), mirrored.to_vector(), atol=1e-3, rtol=0)
    flip = torch.tensor([-1.0, 1.0, 1.0])
    torch.testing.assert_close(
        one.camera_from_model.rotation,
        other.camera_from_model.rotation * flip[:, None] * flip,
        atol=1e-4,
        rtol=0,
    )
    assert float(one.asymmetry) == pytest.approx(float(other.asymmetry), abs=0.3)


def test_a_crop_is_read_alike_alone_and_in_a_batch(
    net: FaceNet, head: HeadModel, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    crops = torch.stack([CROP.extract(astronaut), CROP.recentred((230.0, 118.0)).extract(astronaut)])
    batch, alone = read_faces(net, head, crops), read_faces(net, head, crops[1:])
    torch.testing.assert_close(batch.landmarks[1:], alone.landmarks, atol=1e-2, rtol=0)
    torch.testing.assert_close(batch.asymmetry[1:], alone.asymmetry, atol=1e-2, rtol=0)


def test_without_the_mirror_image_the_network_alone_is_asked(
    net: FaceNet, head: HeadModel, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    crop = CROP.extract(astronaut)[None]
    reading = read_faces(net, head, crop, mirrored=False)
    with torch.no_grad():
        expected = net(crop)
    torch.testing.assert_close(reading.coefficients.to_vector(), expected.coefficients.to_vector())
    assert float(reading.asymmetry) == 0


def test_the_second_pass_forgives_a_bad_crop(
    net: FaceNet, head: HeadModel, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    good = fit_face(net, head, astronaut, CROP)
    crop = replace(CROP, side=220.0, angle=0.1).recentred((232.0, 104.0))
    astray = fit_face(net, head, astronaut, crop)
    assert astray.moved > good.moved
    first = read_faces(net, head, crop.extract(astronaut)[None], mirrored=False)
    before = crop.photo_from_crop(first.landmarks[0])
    assert landmark_distance(astray.landmarks[None], good.landmarks[None]) < landmark_distance(
        before[None], good.landmarks[None]
    )


def test_the_mean_of_two_rotations_lies_halfway() -> None:
    zero = torch.zeros(1)
    first, second = (rotation_from_euler(torch.tensor([yaw]), zero, zero) for yaw in (0.2, 0.8))
    expected = rotation_from_euler(torch.tensor([0.5]), zero, zero)
    torch.testing.assert_close(mean_rotation(first, second), expected, atol=1e-5, rtol=0)


def test_landmark_distance_is_a_percentage_of_the_face() -> None:
    points = torch.zeros(1, 68, 2)
    points[0, 0] = torch.tensor([40.0, 90.0])
    assert landmark_distance(points + 3.0, points).tolist() == pytest.approx([100 * 18**0.5 / 60])


def test_every_sign_lowers_the_quality() -> None:
    clear = FitSigns(0.5, 0.5, 0.02, 5.0)
    assert LEAST_QUALITY < clear.quality <= 1
    for worse in (
        {"moved": 8.0},
        {"asymmetry": 8.0},
        {"uncovered": 0.6},
        {"turn": 70.0},
        {"lost": 0.15},
        {"ragged": 0.05},
        {"pixel": 100 / 30},
    ):
        assert replace(clear, **worse).quality < clear.quality
    usual = replace(clear, turn=12.0, lost=0.03, ragged=0.01, pixel=100 / 120)
    assert usual.quality == clear.quality
    assert 0 < FitSigns(50.0, 50.0, 1.0, 80.0).quality < 0.1


def test_quality_is_one_percent_over_the_expected_error() -> None:
    signs = FitSigns(4.0, 3.0, 0.4, 30.0)
    assert signs.quality == pytest.approx(1 / signs.expected_error)
    assert FitSigns(0.0, 0.0, 0.0, 0.0).quality == 1.0


def test_a_profile_that_is_read_well_is_no_poor_fit() -> None:
    turned = FitSigns(1.0, 1.0, 0.02, 60.0)
    assert LEAST_QUALITY < turned.quality < 1
    assert replace(turned, moved=4.0, asymmetry=4.0).quality < LEAST_QUALITY


def test_small_and_torn_heads_are_poor_however_well_the_landmarks_fit() -> None:
    clear = FitSigns(0.5, 0.5, 0.02, 5.0)
    for poor in ({"pixel": 100 / 30}, {"lost": 0.2}, {"ragged": 0.06}):
        assert replace(clear, **poor).quality < LEAST_QUALITY


def test_what_parsing_takes_out_of_the_head_is_lost(
    net: FaceNet, head: HeadModel, astronaut: UInt8[np.ndarray, "H W 3"]
) -> None:
    fit = fit_face(net, head, astronaut, CROP)
    covered = head_silhouette(fit, fit.crop.head_crop(), head)
    rows, columns = np.nonzero(covered)
    # The bald head without its neck: an oval about the crop's middle.
    assert covered[128, 128]
    assert 0.6 < covered.sum() / (np.ptp(rows) * np.ptp(columns)) < 0.95
    labels = np.where(covered, 1, 0).astype(np.uint8)
    assert lost_share(covered, labels) == 0
    upper = labels.copy()
    upper[: int(np.median(rows))] = 7
    assert lost_share(covered, upper) == pytest.approx(0.5, abs=0.02)
    assert lost_share(covered, np.zeros_like(labels)) == 1
    assert lost_share(np.zeros_like(covered), labels) == 1


def test_rags_about_a_head_are_counted() -> None:
    y, x = np.mgrid[:256, :256]
    head = np.hypot(x - 128, y - 128) < 60
    landmarks = square(98.0, 158.0).double().numpy()
    landmarks[33] = (128.0, 140.0)
    assert ragged_share(head, landmarks) < 0.005
    torn = head | ((np.abs(x - 128) < 100) & (np.abs(y - 90) < 5))
    added = (torn & ~head).sum() / torn[:140].sum()
    assert ragged_share(torn, landmarks) == pytest.approx(added, rel=0.15)
    # What hangs below the nose, such as locks, is nothing torn.
    assert ragged_share(torn[::-1], landmarks) < 0.005
    # Nor is a head that the picture cuts.
    assert ragged_share(np.ones_like(head), landmarks) == 0
    assert ragged_share(np.zeros_like(head), landmarks) == 1


def test_a_fit_knows_how_far_it_looks_aside(head: HeadModel) -> None:
    zero = torch.zeros(())
    rotation = rotation_from_euler(torch.tensor(0.6), zero, torch.tensor(0.4))
    landmarks, parsing = square(40.0, 216.0), torch.zeros(9, 256, 256)
    parsing[1] = 1
    vector = FaceCoefficients.from_vector(torch.zeros(233))
    crop = Crop((128.0, 128.0), 256.0, 0.0, 256, 2.0)
    fit = FaceFit(crop, vector, Pose(rotation, torch.tensor([0.0, 0.0, 1000.0])), landmarks, 2.0, 3.0)
    labels = np.ones((256, 256), np.uint8)
    found = HeadParsing(labels, labels, parsing, (labels > 0).astype(np.float32))
    signs = FitSigns.of(fit, crop, found, head)
    assert (signs.moved, signs.asymmetry, signs.uncovered) == (2.0, 3.0, 0.0)
    assert signs.turn == pytest.approx(math.degrees(0.6), abs=0.01)
    assert signs.lost == 0
    assert signs.pixel == pytest.approx(100 / 176)


def square(low: float, high: float) -> torch.Tensor:
    """68 points along the sides of a square."""
    along = torch.linspace(low, high, 17)
    least, most = torch.full_like(along, low), torch.full_like(along, high)
    sides = [(along, least), (along, most), (least, along), (most, along)]
    return torch.cat([torch.stack(side, dim=1) for side in sides])


def test_what_is_no_face_within_the_landmarks_is_counted() -> None:
    probabilities = torch.zeros(9, 16, 16)
    probabilities[1, :8] = probabilities[2, 8:12] = probabilities[0, 12:] = 1
    assert uncovered_share(square(4.0, 12.0), probabilities) == pytest.approx(0.5)
    assert uncovered_share(square(4.0, 8.0), probabilities) == 0.0
    assert uncovered_share(square(20.0, 30.0), probabilities) == 1.0
