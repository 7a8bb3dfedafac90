"""Where layers of a turned photo end, and which of the photo's colours are the head's own."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.models.head_model import HeadModel
from portrait3d.reposing import Reposer, regions
from portrait3d.reposing.drawing import Drawing
from portrait3d.reposing.regions import inside_rim, left_by, soft_alpha
from synthetic_head import synthetic_portrait


def test_the_neck_hides_what_hangs_behind_it_and_no_more() -> None:
    def drawing(depth: float, alpha: float) -> Drawing:
        return Drawing(
            torch.zeros(3, 2, 2), torch.full((1, 2, 2), alpha), torch.full((2, 2), depth, dtype=torch.float32)
        )

    neck = drawing(900.0, 0.75)
    torch.testing.assert_close(left_by(neck, drawing(940.0, 1.0), 10.0), torch.full((1, 2, 2), 0.25))
    for depth in (860.0, 905.0):
        torch.testing.assert_close(left_by(neck, drawing(depth, 1.0), 10.0), torch.ones(1, 2, 2))
    nothing = drawing(torch.inf, 0.0)
    torch.testing.assert_close(left_by(nothing, drawing(940.0, 1.0), 10.0), torch.ones(1, 2, 2))


def test_faint_guesses_far_from_the_head_leave_the_photo_as_it_is() -> None:
    head, neck = np.zeros((60, 60)), np.zeros((60, 60))
    head[10:30, 5:15], head[10:30, 15:50] = 1.0, 0.3
    weight = regions.hole_weight(head, neck)
    assert (weight[10:30, 5:20] == 1).all()
    assert (weight[:, 15 + int(regions.FARTHEST) :] == 0).all()


def test_the_turned_heads_own_edge_is_soft() -> None:
    """Hidden parts end in steps of a third, not from one pixel to the next; the photo's outline stays."""
    depth = torch.full((5, 6), 900.0)
    depth[:, 3:] = torch.inf
    front = Drawing(torch.zeros(3, 5, 6), torch.ones(1, 5, 6), depth)
    nothing = Drawing(torch.zeros(3, 5, 6), torch.zeros(1, 5, 6), torch.full((5, 6), torch.inf))
    across = soft_alpha(front, nothing, 3.0)[0, 2]
    torch.testing.assert_close(across, torch.tensor([1.0, 1.0, 2 / 3, 1 / 3, 0.0, 0.0]))
    before = Drawing(torch.zeros(3, 5, 6), torch.ones(1, 5, 6), torch.full((5, 6), 890.0))
    assert soft_alpha(front, before, 3.0).max() == 0


def test_no_background_shines_through_the_rim_of_wide_hair(monkeypatch: pytest.MonkeyPatch) -> None:
    portrait = synthetic_portrait()
    labels = portrait.head_parsing.head_labels
    inward = ndimage.distance_transform_edt(np.isin(labels, (1, 2, 3, 4)))
    mixed = (labels == 2) & (inward < 3.5)
    at = portrait.head_crop.restore(torch.from_numpy(mixed).float()[None], *portrait.photo.pixels.shape[:2])
    pixels = portrait.photo.pixels.copy()
    pixels[at[0].numpy() > 0.5] = (30, 220, 30)
    shining = replace(portrait, photo=replace(portrait.photo, pixels=pixels))

    def green() -> float:
        reposer = Reposer(shining, HeadModel.load())
        shown = at[0, reposer.window.rows, reposer.window.columns].numpy() > 0.9
        assert shown.sum() > 100
        return float(np.mean(reposer.front.colour[1].numpy()[shown]) * 255)

    clean = green()
    assert clean < 80  # hair is (60, 40, 20)
    monkeypatch.setattr(regions, "HAIR_RIM", regions.RIM)
    assert green() > clean + 20


def test_a_narrow_strip_of_hair_keeps_its_own_colours() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[10:54, 10:54] = 1
    labels[10:16, 10:54] = 2
    own = inside_rim(labels)
    assert own[[10, 14], 32].tolist() == [0, 1]
    labels[10:40, 10:54] = 2
    own = inside_rim(labels)
    assert own[[13, 15], 32].tolist() == [0, 1]
