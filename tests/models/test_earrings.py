"""Finding earrings in photos."""

import numpy as np
import pytest
import torch
from torch import Tensor

from drawn_earrings import DROP, hanging_place, with_earrings
from portrait3d import Portrait, Portrait3D, WeightsError
from portrait3d.models.accessory_net import AccessoryNet
from portrait3d.models.earrings import (
    BAND,
    HIGH,
    NEAR,
    REACH,
    SIZE,
    SPECK,
    earring_pieces,
    find_earrings,
    lobe_crop,
    lobes,
)
from portrait3d.models.head_parsing import parse_head
from portrait3d.preprocessing.alignment import crop_from_landmarks


class Blue(AccessoryNet):
    """Takes what is blue for an earring."""

    def forward(self, band: Tensor) -> Tensor:
        return 40 * (band[:, 2:] - band[:, :1] - 0.4)


class Hooked(AccessoryNet):
    """Sees a bar that is nearer to the face than the lobe, whatever the photo shows."""

    def forward(self, band: Tensor) -> Tensor:
        logits = torch.full_like(band[:, :1], -20)
        low = round(HIGH * SIZE)
        logits[..., low : low + 12, band.shape[-1] // 2 : band.shape[-1] // 2 + 8] = 9
        return logits


def face_and_lobes(portrait: Portrait):
    """The face crop, and where the lobes are in its camera."""
    crop = crop_from_landmarks(torch.from_numpy(portrait.landmarks))
    # The portrait's own crop has the same camera but for rounding.
    return crop, crop.roll.inverse().apply(lobes(portrait.head_model, portrait.face.vertices))


def test_lobes_are_the_ears_lowest_points(portrait: Portrait) -> None:
    model = portrait.head_model
    places = lobes(model, model.mean)
    for side, place in zip((-1, 1), places, strict=True):
        ear = model.mean[(model.ears_mask > 0.5) & (side * model.mean[:, 0] > 0)]
        assert side * place[0] > 60
        assert ear[:, 1].max() - 6 < place[1] <= ear[:, 1].max()
    assert torch.allclose(places[0] * torch.tensor([-1, 1, 1]), places[1], atol=0.5)


def test_crop_shows_the_lobe_in_its_band_at_one_scale(portrait: Portrait) -> None:
    face_crop, places = face_and_lobes(portrait)
    for side, place in enumerate(places):
        crop = lobe_crop(face_crop, place)
        lobe, millimetre = hanging_place(portrait, side)
        seen = crop.crop_from_photo(torch.tensor(lobe))
        assert seen.tolist() == pytest.approx([SIZE / 2, HIGH * SIZE], abs=2)
        assert crop.side == pytest.approx(REACH * millimetre, rel=0.03)
        focal = [float(one.camera().focal) * one.side / one.size for one in (crop, face_crop)]
        assert focal[0] == pytest.approx(focal[1], rel=1e-5)


def test_what_the_network_sees_comes_to_the_photos_pixels(portrait: Portrait) -> None:
    wearer = with_earrings(portrait)
    assert wearer.earrings is not None
    found = find_earrings(Blue().eval(), wearer.photo.pixels, *face_and_lobes(portrait))
    assert found is not None
    both = (found > 0.5) & (wearer.earrings > 0.5)
    assert both.sum() > 0.7 * ((found > 0.5) | (wearer.earrings > 0.5)).sum()
    assert found[wearer.earrings == 0].mean() < 0.01
    assert find_earrings(Blue().eval(), portrait.photo.pixels, *face_and_lobes(portrait)) is None


def test_right_ears_are_shown_mirrored(portrait: Portrait) -> None:
    # What the network sees towards the face lies towards the face on both sides.
    found = find_earrings(Hooked().eval(), portrait.photo.pixels, *face_and_lobes(portrait))
    assert found is not None
    (left, _), (right, _) = (hanging_place(portrait, side) for side in (0, 1))
    columns = np.nonzero(found > 0.5)[1]
    middle = (left[0] + right[0]) / 2
    assert columns[columns < middle].mean() > left[0] + 1
    assert columns[columns > middle].mean() < right[0] - 1


def test_specks_and_what_hangs_nowhere_are_no_earrings() -> None:
    wide, low = BAND.stop - BAND.start, round(HIGH * SIZE)
    found = np.zeros((SIZE, wide), bool)
    found[low : low + 8, wide // 2 : wide // 2 + 6] = True
    found[low + 20, wide // 2 : wide // 2 + SPECK - 1] = True
    kept = earring_pieces(found)
    assert kept[low : low + 8].sum() == 48
    assert not kept[low + 20].any()
    far = np.roll(found, round(1.2 * NEAR * SIZE / REACH), axis=0)
    assert not earring_pieces(far).any()
    assert earring_pieces(np.roll(found, round(0.7 * NEAR * SIZE / REACH), axis=0)).any()


def test_a_few_pixels_are_none(portrait: Portrait) -> None:
    class Dot(AccessoryNet):
        """Sees next to nothing."""

        def forward(self, band: Tensor) -> Tensor:
            logits = torch.full_like(band[:, :1], -20)
            low = round(HIGH * SIZE)
            logits[..., low : low + 2, 48:52] = 9
            return logits

    assert find_earrings(Dot().eval(), portrait.photo.pixels, *face_and_lobes(portrait)) is None


def test_numbers_that_are_none_are_refused(portrait: Portrait) -> None:
    net = AccessoryNet(0.25, (4, 4, 8, 8, 8)).eval()
    with torch.no_grad():
        net.get_parameter("head.bias").fill_(torch.nan)
    with pytest.raises(WeightsError, match=r"AccessoryNet makes no head: .*aren't finite"):
        find_earrings(net, portrait.photo.pixels, *face_and_lobes(portrait))


def test_the_networks_find_drawn_earrings(portrait: Portrait, model: Portrait3D) -> None:
    assert portrait.earrings is None
    wearer = with_earrings(portrait, DROP)
    assert wearer.earrings is not None
    again = model.reconstruct(wearer.photo.pixels)
    found = again.earrings
    assert found is not None
    both = (found > 0.5) & (wearer.earrings > 0.5)
    assert both.sum() > 0.7 * ((found > 0.5) | (wearer.earrings > 0.5)).sum()
    # Parsing and depth saw the photo without them.
    labels = parse_head(model.parsing_net, again.bare_pixels, again.head_crop).labels
    assert np.array_equal(again.parsing, labels)
    assert not np.array_equal(
        labels, parse_head(model.parsing_net, again.photo.pixels, again.head_crop).labels
    )
