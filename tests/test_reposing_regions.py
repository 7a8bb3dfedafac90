"""Where the layers of a turned photo end, and which of the photo's colours are the head's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage

from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.reposing import Reposer, regions
from portrait3d.reposing.clean_plate import fill_clean_plate
from portrait3d.reposing.drawing import Drawing, read, read_maps
from portrait3d.reposing.regions import Window, inside_boundary
from synthetic_head import synthetic_portrait


def drawing(depth: torch.Tensor) -> Drawing:
    place = (depth < torch.inf).flatten().nonzero()[:, 0]
    box = slice(0, depth.shape[0]), slice(0, depth.shape[1])
    return Drawing(box, place, torch.zeros_like(place), torch.zeros(1, len(place)), depth)


def test_what_is_drawn_ends_softly_and_goes_on_in_its_own_colour() -> None:
    depth = torch.full((5, 6), 900.0)
    depth[:, 3:] = torch.inf
    maps, covered = drawing(depth).spread(torch.full((1, 15), 0.5))
    torch.testing.assert_close(covered[0, 2], torch.tensor([1.0, 1.0, 2 / 3, 1 / 3, 0.0, 0.0]))
    torch.testing.assert_close(maps[0, 2, :4], torch.full((4,), 0.5))


def test_edges_inside_what_is_drawn_are_soft_and_slopes_stay_as_they_are() -> None:
    depth = torch.full((5, 6), 900.0)
    depth[:, 3:] = 930.0
    colour = (depth > 910).float().flatten()[None]
    maps, covered = drawing(depth).spread(colour)
    torch.testing.assert_close(maps[0, 2], torch.tensor([0.0, 0.0, 1 / 3, 2 / 3, 1.0, 1.0]))
    assert covered.min() == 1
    slope = 900 + 2.0 * torch.arange(6.0).repeat(5, 1)
    maps, _ = drawing(slope).spread(colour)
    assert torch.equal(maps[0].flatten(), colour[0])


def test_a_sheet_is_not_shown_where_something_hides_it() -> None:
    depth = torch.full((5, 6), 900.0)
    hidden = depth.clone()
    hidden[:, 3:] = torch.inf
    colour = torch.cat([torch.zeros(5, 3), torch.ones(5, 3)], dim=1).flatten()[None]
    maps, covered = drawing(depth).spread(colour, hidden)
    torch.testing.assert_close(covered[0, 2], torch.tensor([1.0, 1.0, 2 / 3, 1 / 3, 0.0, 0.0]))
    assert maps[0, 2, :4].max() == 0  # colours of what is hidden do not shine out


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_looking_up_is_bilinear_and_goes_on_beyond_the_border(kind: type) -> None:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (7, 9, 3)).astype(kind)
    x, y = (torch.from_numpy(random.uniform(-2, 11, 50).astype(np.float32)) for _ in range(2))
    planes = torch.from_numpy(picture).permute(2, 0, 1).float() / (255 if kind is np.uint8 else 1)
    grid = torch.stack([x / 9, y / 7], dim=-1)[None, None] * 2 - 1
    expected = F.grid_sample(planes[None], grid, padding_mode="border", align_corners=False)[0, :, 0]
    torch.testing.assert_close(read(picture, x, y), expected, atol=1e-4, rtol=1e-5)
    torch.testing.assert_close(read_maps(planes, x, y), read(picture, x, y), atol=1e-6, rtol=1e-6)


def test_maps_of_a_crop_lie_in_the_window_as_in_the_photo() -> None:
    crop = synthetic_portrait().head_crop
    maps = torch.rand(2, crop.size, crop.size, generator=torch.Generator().manual_seed(0))
    window = Window(30, 20, 230, 180)
    whole = crop.restore(maps, 320, 340)[:, window.rows, window.columns]
    torch.testing.assert_close(window.grid(crop).restore(maps), whole, atol=1e-3, rtol=0)


def test_the_hole_reaches_a_little_beyond_the_head_and_fades() -> None:
    head, neck = np.zeros((60, 60)), np.zeros((60, 60), bool)
    head[10:30, 5:15] = 1.0
    neck[40:50, 20:40] = True
    weight = regions.hole_weight(head, neck)
    assert (weight[head > 0] == 1).all()
    assert (weight[neck] == 1).all()
    fading = weight[20, 15:22]
    assert (np.diff(fading) <= 0).all()
    assert fading[1] == 1
    assert fading[-1] == 0
    assert 0 < fading[3] < 1
    assert weight[45, 43] == 0


def test_body_and_background_fill_the_hole_apart() -> None:
    picture, body = torch.zeros(3, 60, 60), torch.zeros(60, 60)
    picture[0, :30], picture[2, 30:], body[30:] = 1.0, 1.0, 1.0
    hole = torch.zeros(60, 60)
    hole[10:50, 20:40] = 1.0
    broken = torch.where(hole > 0, 0.5, picture)
    filled = fill_clean_plate(broken, hole, body)
    assert torch.equal(filled[:, hole == 0], broken[:, hole == 0])
    torch.testing.assert_close(filled[:, 15, 30], torch.tensor([1.0, 0, 0]), atol=0.05, rtol=0)
    torch.testing.assert_close(filled[:, 45, 30], torch.tensor([0, 0, 1.0]), atol=0.05, rtol=0)


def test_no_background_shines_through_the_boundary_of_wide_hair(monkeypatch: pytest.MonkeyPatch) -> None:
    portrait = synthetic_portrait()
    labels = portrait.parsing
    scale = portrait.head_crop.side / portrait.head_crop.size
    inward = ndimage.distance_transform_edt(np.isin(labels, (1, 2, 3, 4))) / scale
    mixed = (labels == ParsingClass.HAIR) & (inward < 3.5)
    pixels = portrait.photo.pixels.copy()
    pixels[mixed] = (30, 220, 30)
    shining = replace(portrait, photo=replace(portrait.photo, pixels=pixels))
    vars(shining)["head"] = portrait.head

    def green() -> float:
        reposer = Reposer(shining, HeadModel.load())
        shown = mixed[reposer.window.rows, reposer.window.columns]
        assert shown.sum() > 100
        assert reposer.layers.hair is not None
        return float(reposer.layers.hair.picture[..., 1][shown].mean() * 255)

    clean = green()
    assert clean < 80  # hair is (60, 40, 20)
    monkeypatch.setattr(regions, "OUTLINES", regions.Outlines(hair_boundary=regions.OUTLINES.boundary))
    assert green() > clean + 20


def test_a_narrow_strip_of_hair_keeps_its_own_colours() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[10:54, 10:54] = ParsingClass.FACE
    labels[10:16, 10:54] = ParsingClass.HAIR
    own = inside_boundary(labels)
    assert own[[10, 13], 32].tolist() == [0, 1]
    labels[10:40, 10:54] = ParsingClass.HAIR
    own = inside_boundary(labels)
    assert own[[13, 15], 32].tolist() == [0, 1]
