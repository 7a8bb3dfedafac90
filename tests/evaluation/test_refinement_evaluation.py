"""Scores of repairs, of turned photos and of turned frames."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from portrait3d.data.photos.labelled import LabelledPhoto, PhotoFolder
from portrait3d.evaluation.refinement.clips import aligned_error
from portrait3d.evaluation.refinement.repairs import (
    draw_repairs,
    held_out_damage,
    inpaint_biharmonically,
    keep_rough_fill,
    score_repair,
    score_repairs,
)
from portrait3d.evaluation.refinement.turns import TurnedPhoto, moved_region, score_background
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import HeadAngles
from synthetic_head import synthetic_portrait
from tiny_photos import photo_folder


class Planes(nn.Module):
    """The picture itself as its features."""

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        return [image]


def _sample() -> dict[str, torch.Tensor]:
    y, x = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 32), indexing="ij")
    original = torch.stack([x, y, (x + y) / 2])
    holes = torch.zeros(1, 32, 32)
    holes[0, 10:20, 12:18] = 1
    image = original * (1 - holes) + 0.9 * holes
    image[:, 25] += 0.1  # a seam
    inside, guide = torch.ones(1, 32, 32), torch.zeros(9, 32, 32)
    return {"image": image, "holes": holes, "guide": guide, "original": original, "inside": inside}


def test_features_are_compared_in_holes_alone() -> None:
    sample = _sample()
    scores = score_repair(keep_rough_fill, [sample], Planes())
    holes = sample["holes"] > 0
    expected = (sample["image"] - sample["original"]).where(holes, torch.tensor(0.0)).abs().mean()
    assert scores.features == pytest.approx(float(expected), rel=1e-4)
    assert abs(scores.seams - 1) < 0.1


def test_the_original_scores_best() -> None:
    sample = _sample()
    scores = score_repair(lambda *_: sample["original"][None], [sample], Planes())
    assert scores.psnr > 70
    assert scores.ssim > 0.999
    assert scores.features < 1e-6
    assert scores.seams < 1e-6


def test_psnr_counts_holes_alone() -> None:
    sample = _sample()
    sample["original"] = sample["original"].clamp(0.5, 0.9)
    off = sample["original"] + 0.1 * sample["holes"]
    scores = score_repair(lambda *_: off[None], [sample], Planes())
    assert abs(scores.psnr - 20) < 0.1


def test_similarity_falls_with_noise_in_holes_and_not_with_noise_elsewhere() -> None:
    sample = _sample()
    noise = 0.2 * torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    there = (sample["original"] + noise * sample["holes"]).clamp(0, 1)
    elsewhere = (sample["original"] + noise * (1 - sample["holes"])).clamp(0, 1)
    found = [score_repair(lambda *_, p=p: p[None], [sample], Planes()).ssim for p in (there, elsewhere)]
    assert found[0] < 0.8
    assert found[1] > 0.999


def test_biharmonic_inpainting_continues_ramps() -> None:
    sample = _sample()
    sample["image"] = sample["image"].where(sample["holes"] > 0, sample["original"])
    filled = inpaint_biharmonically(*(sample[name][None] for name in ("image", "holes", "guide")))
    torch.testing.assert_close(filled[0], sample["original"], atol=0.02, rtol=0)


def test_every_method_has_a_row_beside_biharmonic_inpainting() -> None:
    rows = {row.method: row for row in score_repairs(keep_rough_fill, [_sample()], Planes())}
    assert list(rows) == ["refined", "biharmonic", "not refined"]
    assert rows["biharmonic"].to_biharmonic == 1
    assert dataclasses.replace(rows["refined"], method="") == dataclasses.replace(
        rows["not refined"], method=""
    )
    assert rows["refined"].to_biharmonic == pytest.approx(
        rows["refined"].features / rows["biharmonic"].features
    )


def test_sheets_show_holes_repairs_and_original() -> None:
    sheet = draw_repairs(keep_rough_fill, [_sample(), _sample()])
    assert sheet.shape == (2 * 32, 5 * 32, 3)
    original = (_sample()["original"] * 255).round().byte().permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(sheet[:32, -32:], original)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> PhotoFolder:
    """Six photos whose middles are a head."""
    root = photo_folder(tmp_path_factory.mktemp("data"), HeadModel.load())
    labels = np.zeros((200, 200), np.uint8)
    labels[50:150, 60:140] = 1
    (root / "portraits" / "parsing").mkdir()
    for k in range(6):
        Image.fromarray(labels).save(root / "portraits" / "parsing" / f"p{k}.png")
    return PhotoFolder(root)


def test_the_damage_of_a_held_out_photo_is_always_the_same(folder: PhotoFolder) -> None:
    everybody = held_out_damage(folder, LabelledPhoto.parsing, 6)
    some = held_out_damage([folder[5], folder[0]], LabelledPhoto.parsing, 2)
    for name in ("image", "holes", "original"):
        assert torch.equal(some[0][name], everybody[5][name])
        assert torch.equal(some[1][name], everybody[0][name])


def test_points_are_compared_after_the_best_similarity() -> None:
    truth = np.random.default_rng(0).uniform(0, 100, (68, 2))
    turn = np.array([[0.0, -2.0], [2.0, 0.0]])
    assert aligned_error(truth @ turn + 7, truth) == pytest.approx(0, abs=1e-6)
    off = truth + np.array([[0, 3.0]]) * (np.arange(68) % 2)[:, None]
    assert 0.5 < aligned_error(off, truth) < 2


def test_pixels_beyond_the_moved_region_are_counted() -> None:
    portrait = synthetic_portrait()
    now = portrait.pose
    target = HeadAngles(now.yaw + 20, now.pitch, now.roll)
    region = moved_region(portrait, target)
    assert region[np.isin(portrait.parsing, (1, 2, 6))].all()
    assert 0.05 < region.mean() < 0.95
    changed = portrait.photo.pixels.copy()
    changed[region] ^= 1
    rows = {}
    for pixels in (changed, changed ^ 1):
        turn = TurnedPhoto(portrait, 20.0, target, pixels, pixels)
        rows[len(rows)] = next(row for row in score_background([[turn]]) if row.turn == "yaw +20")
    assert (rows[0].changed, rows[0].photos_changed) == (0, 0)
    assert (rows[1].changed, rows[1].photos_changed) == (100, 1)
    assert rows[0].region == pytest.approx(100 * region.mean())
    assert math.isnan(score_background([])[0].changed)
