"""From a photo to its parsing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from portrait3d.models import head_parsing
from portrait3d.models.head_parsing import (
    CLOTHES,
    USUAL_FACE,
    FirstLook,
    ParsingExperts,
    first_looks,
    keep_one_head,
    leaves_crop,
    parse_head,
    place,
    settle_neck,
)
from portrait3d.models.parsing_net import ParsingNet
from portrait3d.models.parsing_views import View, likeliest, merge_views
from portrait3d.parsing_classes import MIRRORED_CLASSES
from portrait3d.preprocessing.alignment import Crop
from portrait3d.preprocessing.framing import Frame
from portrait3d.pretrained import save_network

EXTRACT = Crop.extract


def one_hot(labels: np.ndarray) -> torch.Tensor:
    return torch.eye(9)[torch.from_numpy(labels)].permute(2, 0, 1)


def test_only_the_head_in_the_middle_is_kept() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[24:44, 24:40] = 1
    labels[16:24, 22:42] = 2
    labels[24:40, 41:44] = 4  # a pixel away from the face, as behind the rim of glasses
    labels[44:50, 28:36] = 6
    labels[2:10, 2:10] = 1  # somebody else
    labels[50:60, 50:60] = 2
    kept = keep_one_head(one_hot(labels), 64)[0].argmax(0).numpy()
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
    assert (keep_one_head(probabilities, 64)[0].argmax(0)[50:60, 50:60] == 7).all()


def test_headwear_that_reaches_no_head_is_clothes_and_a_hood_is_not() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[24:44, 24:40] = 1
    labels[44:60, 4:60] = 7
    labels[46:52, 6:20] = 8  # a shoulder
    shoulder, hood = labels.copy(), labels.copy()
    hood[20:52, 6:24] = 8  # beside the face, from above the eyes on
    probabilities = one_hot(shoulder) * 0.6
    probabilities[0] += 0.4  # the background beside it
    kept, changed = keep_one_head(probabilities, 64)
    assert (kept.argmax(0)[44:60, 4:60] == 7).all()
    assert kept[8].max() == 0
    assert (changed[46:52, 6:20] == CLOTHES).all()
    assert (probabilities[8, 46:52, 6:20] > 0).all()  # what was given is left as it is
    np.testing.assert_array_equal(keep_one_head(one_hot(hood), 64)[0].argmax(0), hood)


def test_the_head_crop_is_cut_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[Crop] = []

    def extract(crop: Crop, pixels: np.ndarray) -> torch.Tensor:
        cut.append(crop)
        return EXTRACT(crop, pixels)

    monkeypatch.setattr(Crop, "extract", extract)
    crop = Crop((32.0, 32.0), 40.0, 0.0, 64)
    parse_head(ParsingExperts([ParsingNet(0.25, (8,) * 5)]).eval(), np.zeros((64, 64, 3), np.uint8), crop)
    assert cut.count(crop) == 1


def a_neck() -> tuple[np.ndarray, np.ndarray]:
    """Labels and pixels: a face, the neck below it in the chin's shadow, clothes."""
    labels = np.full((60, 60), 7, np.uint8)
    labels[:30] = 0
    labels[10:30, 20:40], labels[30:50, 22:38] = 1, 6
    pixels = np.full((60, 60, 3), (200, 150, 120), np.uint8)
    pixels[30:] = (100, 75, 60)
    return labels, pixels


@pytest.mark.parametrize("cloth", [(90, 130, 40), (250, 245, 240)])  # a scarf; a white collar
def test_a_neck_unlike_the_face_is_clothes(cloth: tuple[int, int, int]) -> None:
    labels, pixels = a_neck()
    pixels[40:] = cloth
    settled = settle_neck(labels, pixels)
    assert (settled[41:] == 7).all()
    assert (settled[:39] == labels[:39]).all()


def test_necks_and_clothes_are_not_decided_pixel_by_pixel() -> None:
    labels, pixels = a_neck()
    pixels[40:] = (90, 130, 40)
    rng = np.random.default_rng(0)
    for odd, rows in (((90, 130, 40), slice(32, 38)), ((100, 75, 60), slice(44, 50))):
        pixels[rows][rng.random((6, 60)) < 0.1] = odd
    settled = settle_neck(labels, pixels)
    assert (settled[32:38, 22:38] == 6).all()
    assert (settled[44:50] == 7).all()


def test_a_neck_hangs_together_with_its_head_and_has_no_holes() -> None:
    labels, pixels = a_neck()
    labels[52:56, 5:9] = 6  # skin on a lapel
    labels[38:40, 24:26] = 7  # a pearl
    settled = settle_neck(labels, pixels)
    assert (settled[52:56, 5:9] == 7).all()
    assert (settled[30:50, 22:38] == 6).all()


def test_necks_are_left_alone_where_no_face_is_seen() -> None:
    labels = np.full((8, 8), 6, np.uint8)
    assert (settle_neck(labels, np.zeros((8, 8, 3), np.uint8)) == labels).all()


def test_nothing_of_a_head_is_left_when_no_face_is_in_the_middle() -> None:
    labels = np.zeros((64, 64), np.int64)
    labels[:8, :8] = 1
    assert (keep_one_head(one_hot(labels), 64)[0].argmax(0) == 0).all()


class PaintedNet(ParsingNet):
    """Finds face where the crop is red, hair where it is green, a left ear where it is blue."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(crop), 9, *crop.shape[-2:]), -9.0)
        logits[:, 0] = 0.0
        logits[:, 1:4] = 40 * (crop - 0.5)
        return logits


PAINTED = ParsingExperts([PaintedNet(0.25, (8,) * 5)]).eval()


@pytest.mark.parametrize("angle", [0.0, 0.4])
def test_labels_come_back_to_the_photos_own_pixels(angle: float) -> None:
    pixels = np.zeros((700, 500, 3), np.uint8)
    pixels[260:440, 170:330, 0] = 255
    pixels[200:260, 150:350] = (0, 255, 0)
    crop = Crop((250.0, 350.0), 480.0, angle, 256)
    parsing = parse_head(PAINTED, pixels, crop)
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
    labels = parse_head(PAINTED, pixels, crop).labels
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
    parsing = parse_head(ParsingExperts([BlackIsHair(0.25, (8,) * 5)]).eval(), pixels, crop)
    assert (parsing.head_labels[64:192, 64:192] > 0).all()
    assert (parsing.head_labels > 0).sum() == 128 * 128
    assert (parsing.labels > 0).all()


class RedOverNeck(ParsingNet):
    """Finds face in the upper half of what is red or green, and neck in the lower half."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        shown, half = 40 * (crop[:, :2].amax(1) - 0.25), crop.shape[-1] // 2
        logits = torch.zeros(len(crop), 9, *crop.shape[-2:])
        logits[:, 1, :half], logits[:, 6, half:] = shown[:, :half], shown[:, half:]
        return logits


def test_a_scarf_that_networks_call_neck_is_clothes_in_the_photo_and_in_the_crop() -> None:
    pixels = np.zeros((256, 256, 3), np.uint8)
    pixels[60:170, 60:196] = (200, 150, 120)
    pixels[170:220, 60:196] = (90, 130, 40)
    net = ParsingExperts([RedOverNeck(0.25, (8,) * 5)]).eval()
    parsing = parse_head(net, pixels, Crop((128.0, 128.0), 256.0, 0.0, 256))
    for labels in (parsing.labels, parsing.head_labels):
        assert (labels[80:120, 80:180] == 1).all()
        assert (labels[140:160, 80:180] == 6).all()
        assert (labels[180:210, 80:180] == 7).all()
    assert parsing.head_probabilities[6, 180:210, 80:180].max() == 0
    assert torch.allclose(parsing.head_probabilities.sum(0), torch.ones(256, 256), atol=1e-5)


@pytest.mark.parametrize("centre", [(20.0, 280.0), (-90.0, 150.0)])
def test_a_head_crop_may_leave_the_photo(centre: tuple[float, float]) -> None:
    pixels = np.full((300, 200, 3), (255, 0, 0), np.uint8)
    crop = Crop(centre, 160.0, 0.2, 256)
    labels = parse_head(PAINTED, pixels, crop).labels
    rows, columns = np.nonzero(labels)
    assert labels.shape == (300, 200)
    assert (len(rows) > 0) == (centre[0] > 0)
    if len(rows):
        assert rows.min() > centre[1] - 120
        assert columns.max() < centre[0] + 120


def test_a_tall_photo_is_labelled_in_bands_without_seams() -> None:
    pixels = np.full((1400, 60, 3), (255, 0, 0), np.uint8)
    crop = Crop((30.0, 700.0), 1300.0, 0.0, 256)
    labels = parse_head(PAINTED, pixels, crop).labels
    assert (labels[60:1340] == 1).all()
    assert (labels[:40] == 0).all()


def test_the_matte_belongs_to_the_labels() -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[100:200, 100:200, 0] = 255
    pixels[60:100, 90:210] = (0, 255, 0)
    parsing = parse_head(PAINTED, pixels, Crop((150.0, 150.0), 280.0, 0.0, 256))
    assert parsing.matte.shape == (300, 300)
    assert parsing.matte.dtype == np.float32
    np.testing.assert_array_equal(parsing.matte > 0.5, np.isin(parsing.labels, (1, 2, 3)))
    assert parsing.matte[110:190, 110:190].min() == 1
    assert parsing.matte[220:].max() == 0


class Halves(ParsingNet):
    """Left ear on the left half, right ear on the right half, face in the middle; sees what is red."""

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        logits = torch.full((len(crop), 9, *crop.shape[-2:]), -20.0)
        logits[:, 0] = 0.0
        red, size = 40 * (crop[:, 0] - 0.5), crop.shape[-1]
        logits[:, 3, :, : size * 3 // 8] = red[..., : size * 3 // 8]
        logits[:, 1, :, size * 3 // 8 : size * 5 // 8] = red[..., size * 3 // 8 : size * 5 // 8]
        logits[:, 4, :, size * 5 // 8 :] = red[..., size * 5 // 8 :]
        return logits


@pytest.mark.parametrize("framings", [("plain",), ("plain", "tanh")])
def test_a_mirrored_photo_gives_the_mirrored_parsing(framings: tuple[str, ...]) -> None:
    experts = ParsingExperts([Halves(0.25, (8,) * 5, framing=name) for name in framings]).eval()
    pixels = np.zeros((240, 260, 3), np.uint8)
    pixels[60:180, 50:200, 0] = 255
    pixels[90:180, 50:80, 0] = 0
    crop = Crop((120.0, 120.0), 200.0, 0.0, 256)
    found = parse_head(experts, pixels, crop)
    turned = parse_head(experts, pixels[:, ::-1].copy(), crop.recentred((140.0, 120.0)))
    exchanged = np.array(MIRRORED_CLASSES, np.uint8)[turned.labels[:, ::-1]]
    assert (exchanged == found.labels).mean() > 0.995
    np.testing.assert_allclose(turned.matte[:, ::-1], found.matte, atol=0.02)
    assert set(np.unique(found.labels)) == {0, 1, 3, 4}


def test_hair_is_labelled_to_the_end_of_the_wide_crop() -> None:
    pixels = np.zeros((420, 300, 3), np.uint8)
    pixels[100:200, 100:200, 0] = 255
    pixels[200:, 100:200, 1] = 255
    crop = Crop((150.0, 150.0), 160.0, 0.0, 256, zoom=2.0)
    experts = ParsingExperts([PaintedNet(0.25, (8,) * 5, framing="plain")]).eval()
    labels = crop.wide_crop(128).extract_labels(parse_head(experts, pixels, crop).labels)
    assert (labels[-36:, 42:86] == 2).all()


def test_hair_is_followed_beyond_the_head_crop() -> None:
    pixels = np.zeros((400, 300, 3), np.uint8)
    pixels[100:200, 100:200, 0] = 255
    pixels[60:330, 90:210] = np.where(pixels[60:330, 90:210].any(-1, keepdims=True), (255, 0, 0), (0, 255, 0))
    crop = Crop((150.0, 150.0), 260.0, 0.0, 256)
    for framings in (("plain",), ("plain", "tanh")):
        experts = ParsingExperts([PaintedNet(0.25, (8,) * 5, framing=name) for name in framings]).eval()
        parsing = parse_head(experts, pixels, crop)
        assert (parsing.labels[290:325, 95:205] == 2).all()
        assert (parsing.labels[340:] == 0).all()
        assert parsing.head_labels.shape == (256, 256)
        row, column = np.nonzero(parsing.head_labels == 1)
        assert (row.min() + row.max() + 1) / 2 == pytest.approx(128, abs=1.5)
        assert (column.min() + column.max() + 1) / 2 == pytest.approx(128, abs=1.5)


@pytest.mark.parametrize(("side", "sides"), [(60, [260.0, 260 * 60 / 260 / USUAL_FACE]), (90, [260.0])])
def test_a_small_face_is_looked_at_again_from_nearer(
    side: int, sides: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((300, 300, 3), np.uint8)
    pixels[150 - side // 2 : 150 + side // 2, 150 - side // 2 : 150 + side // 2, 0] = 255
    looked_at: list[float] = []

    def watched(experts: ParsingExperts, photos: list[np.ndarray], crops: list[Crop]) -> list[FirstLook]:
        looked_at.extend(crop.side for crop in crops)
        return first_looks(experts, photos, crops)

    monkeypatch.setattr(head_parsing, "first_looks", watched)
    experts = ParsingExperts([PaintedNet(0.25, (8,) * 5)]).eval()
    labels = parse_head(experts, pixels, Crop((150.0, 150.0), 260.0, 0.0, 256)).labels
    assert looked_at == pytest.approx(sides, rel=0.05)
    assert (labels == 1).sum() == pytest.approx(side**2, rel=0.05)


def test_hair_at_the_photos_own_border_does_not_grow_the_crop() -> None:
    hair = torch.zeros(9, 64, 64)
    hair[2, 40:] = 1
    everything, upper = np.ones((64, 64), bool), np.zeros((64, 64), bool)
    upper[:60, 2:-2] = True
    assert leaves_crop(hair, everything)
    assert not leaves_crop(hair, upper)


def test_the_finer_view_counts_more_and_none_is_background() -> None:
    crop = Crop((50.0, 50.0), 40.0, 0.0, 64)
    face, hair = torch.zeros(9, 64, 64), torch.zeros(9, 64, 64)
    face[1] = 1
    hair[2] = 1
    views = [View(Frame(crop), 20 * face), View(Frame(crop, bent=True), 20 * hair)]
    inner, outer, beyond = merge_views(views, torch.tensor([[50.0, 50.0], [62.0, 62.0], [5000.0, 50.0]]))
    assert inner[1] == pytest.approx(0.5)
    assert outer[1] > outer[2] > 0
    assert beyond[0] == 1


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_labels_are_placed_as_probabilities_are_restored(angle: float) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (8, 8)).astype(np.uint8)
    crop = Crop((40.3, 30.2), 37.0, angle, 8)
    expected = crop.restore(torch.from_numpy(labels)[None].float(), 60, 70, mode="nearest")[0]
    assert (place(labels, crop, 60, 70) == expected.numpy()).mean() > 0.99


def test_networks_of_several_framings_lie_in_one_directory(tmp_path: Path) -> None:
    save_network(ParsingNet(0.25, (8,) * 5), tmp_path, "card")
    assert ParsingExperts.load(tmp_path).framings == ["plain"]
    save_network(ParsingNet(0.25, (8,) * 5, framing="tanh"), tmp_path / "tanh", "card")
    experts = ParsingExperts.load(tmp_path)
    assert experts.framings == ["plain", "tanh"]
    assert not experts.training
    assert experts(torch.rand(3, 2, 3, 64, 64)).shape == (3, 2, 9, 32, 32)


def test_parsing_without_a_network_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one network"):
        ParsingExperts([])


def test_the_likeliest_class_is_the_first_among_equals() -> None:
    probabilities = torch.rand(9, 20, 30)
    probabilities[4, 3, 3] = probabilities[7, 3, 3] = 2
    labels = likeliest(probabilities)
    np.testing.assert_array_equal(labels, probabilities.numpy().argmax(0))
    assert labels[3, 3] == 4


def test_views_give_the_softmax_of_their_logits_between_pixels() -> None:
    frame, logits = Frame(Crop((30.0, 20.0), 16.0, 0.3, 32)), torch.randn(9, 16, 16)
    points = torch.tensor([30.0, 20.0]) + 8 * torch.rand(40, 2) - 4
    read = frame.resized(16).read(logits, frame.frame_from_photo(points) / 2)
    torch.testing.assert_close(
        merge_views([View(frame, logits)], points), read.softmax(0).T, atol=0.01, rtol=0
    )


def test_one_network_looks_at_the_mirrored_head_too() -> None:
    net = ParsingNet(0.25, (8,) * 5).eval()
    image = torch.rand(1, 3, 64, 64)
    seen, turned = ParsingExperts([net])(image[None])[0]
    torch.testing.assert_close(seen, net(image)[0], atol=1e-4, rtol=1e-4)
    mirrored, again = ParsingExperts([net])(image[None].flip(-1))[0]
    exchanged = list(MIRRORED_CLASSES)
    torch.testing.assert_close(mirrored.flip(-1)[exchanged], turned, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(again.flip(-1)[exchanged], seen, atol=1e-4, rtol=1e-4)
