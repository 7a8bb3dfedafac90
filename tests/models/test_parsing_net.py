"""The parsing network and the way back to the photo."""

import numpy as np
import pytest
import torch

from portrait3d.models.parsing_net import (
    MIRRORED_CLASSES,
    PARSING_CLASSES,
    ParsingNet,
    keep_one_head,
    parse_head,
)
from portrait3d.preprocessing.alignment import Crop

SWAPPED = list(MIRRORED_CLASSES)


@pytest.fixture(scope="module")
def net() -> ParsingNet:
    torch.manual_seed(0)
    return ParsingNet(width=0.25, channels=(8, 8, 8, 8, 8)).eval()


def one_hot(labels: np.ndarray) -> torch.Tensor:
    return torch.eye(9)[torch.from_numpy(labels)].permute(2, 0, 1)


def test_logits_have_the_size_of_the_crop(net: ParsingNet) -> None:
    crop = torch.rand(2, 3, 64, 96)
    assert net(crop).shape == (2, len(PARSING_CLASSES), 64, 96)
    assert net.logits_at_half(crop).shape == (2, len(PARSING_CLASSES), 32, 48)


def test_the_mirrored_photo_has_the_mirrored_parsing_with_ears_exchanged(net: ParsingNet) -> None:
    crop = torch.rand(1, 3, 64, 64)
    turned = net.parse(crop.flip(-1)).flip(-1)[:, SWAPPED]
    torch.testing.assert_close(turned, net.parse(crop), atol=1e-6, rtol=1e-5)


def test_probabilities_sum_to_one(net: ParsingNet) -> None:
    for mirrored in (False, True):
        total = net.parse(torch.rand(1, 3, 64, 64), mirrored=mirrored).sum(1)
        torch.testing.assert_close(total, torch.ones_like(total))


def test_a_batch_is_parsed_as_its_crops_are(net: ParsingNet) -> None:
    crops = torch.rand(3, 3, 64, 64)
    alone = torch.cat([net.parse(crop[None]) for crop in crops])
    torch.testing.assert_close(net.parse(crops), alone, atol=1e-5, rtol=1e-4)


def test_only_the_head_in_the_middle_is_kept() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[24:44, 24:40] = 1
    labels[16:24, 22:42] = 2
    labels[24:40, 41:44] = 4  # a pixel away from the face, as behind the rim of glasses
    labels[44:50, 28:36] = 6
    labels[2:10, 2:10] = 1  # somebody else
    labels[50:60, 50:60] = 2
    kept = keep_one_head(one_hot(labels)).argmax(0).numpy()
    expected = labels.copy()
    expected[2:10, 2:10] = 0
    expected[50:60, 50:60] = 0
    np.testing.assert_array_equal(kept, expected)


def test_the_second_choice_takes_over_where_a_stray_head_is_cleared() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[24:44, 24:40] = 1
    labels[50:60, 50:60] = 2
    probabilities = one_hot(labels) * 0.7
    probabilities[7] += 0.3
    assert (keep_one_head(probabilities).argmax(0)[50:60, 50:60] == 7).all()


def test_nothing_of_a_head_is_left_when_no_face_is_in_the_middle() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[:8, :8] = 1
    assert (keep_one_head(one_hot(labels)).argmax(0) == 0).all()


class PaintedNet(ParsingNet):
    """Finds face where the crop is red, hair where it is green, a left ear where it is blue."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(crop), 9, *crop.shape[-2:]), -9.0)
        logits[:, 0] = 0.0
        logits[:, 1:4] = 40 * (crop - 0.5)
        return logits


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_labels_come_back_to_the_photos_own_pixels(angle: float) -> None:
    pixels = np.zeros((700, 500, 3), np.uint8)
    pixels[260:440, 170:330, 0] = 255
    pixels[200:260, 150:350] = (0, 255, 0)
    crop = Crop((250.0, 350.0), 480.0, angle, 256)
    parsing = parse_head(PaintedNet(0.25, (8,) * 5).eval(), pixels, crop, mirrored=False)
    assert parsing.labels.shape == (700, 500)
    assert parsing.head_labels.shape == (256, 256)
    expected = np.zeros((700, 500), np.uint8)
    expected[260:440, 170:330] = 1
    expected[200:260, 150:350] = 2
    wrong = parsing.labels != expected
    assert wrong.mean() < 0.01
    assert not wrong[300:400, 200:300].any()


def test_beyond_the_head_crop_everything_is_background() -> None:
    pixels = np.full((300, 300, 3), (255, 0, 0), np.uint8)
    crop = Crop((150.0, 150.0), 100.0, 0.0, 256)
    labels = parse_head(PaintedNet(0.25, (8,) * 5).eval(), pixels, crop, mirrored=False).labels
    assert (labels[101:199, 101:199] == 1).all()
    assert labels.sum() == 100 * 100


class BlackIsHair(ParsingNet):
    """Finds face where the crop is red and hair where it is black."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(len(crop), 9, *crop.shape[-2:])
        logits[:, 1] = 40 * (crop[:, 0] - 0.5)
        logits[:, 2] = -logits[:, 1]
        return logits


def test_where_the_crop_leaves_the_photo_is_background() -> None:
    pixels = np.zeros((100, 100, 3), np.uint8)
    pixels[30:70, 30:70, 0] = 255
    crop = Crop((50.0, 50.0), 200.0, 0.0, 256)
    parsing = parse_head(BlackIsHair(0.25, (8,) * 5).eval(), pixels, crop, mirrored=False)
    assert (parsing.head_labels[64:192, 64:192] > 0).all()
    assert (parsing.head_labels > 0).sum() == 128 * 128
    assert (parsing.labels > 0).all()


@pytest.mark.parametrize("centre", [(20.0, 280.0), (-90.0, 150.0)])
def test_a_head_crop_may_leave_the_photo(centre: tuple[float, float]) -> None:
    pixels = np.full((300, 200, 3), (255, 0, 0), np.uint8)
    crop = Crop(centre, 160.0, 0.2, 256)
    labels = parse_head(PaintedNet(0.25, (8,) * 5).eval(), pixels, crop, mirrored=False).labels
    rows, columns = np.nonzero(labels)
    assert labels.shape == (300, 200)
    assert (len(rows) > 0) == (centre[0] > 0)
    if len(rows):
        assert rows.min() > centre[1] - 120
        assert columns.max() < centre[0] + 120


def test_a_tall_photo_is_labelled_in_bands_without_seams() -> None:
    pixels = np.full((1400, 60, 3), (255, 0, 0), np.uint8)
    crop = Crop((30.0, 700.0), 1300.0, 0.0, 256)
    labels = parse_head(PaintedNet(0.25, (8,) * 5).eval(), pixels, crop, mirrored=False).labels
    assert (labels[60:1340] == 1).all()
    assert (labels[:40] == 0).all()
