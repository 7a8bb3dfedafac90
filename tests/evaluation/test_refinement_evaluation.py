"""Scores of repairs."""

from pathlib import Path

import torch
from PIL import Image
from torch import nn

from portrait3d.evaluation.refinement import (
    draw_repairs,
    inpaint_biharmonically,
    keep_rough_fill,
    score_repairs,
)


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
    return {"image": image, "holes": holes, "original": original, "inside": torch.ones(1, 32, 32)}


def test_doing_nothing_scores_one() -> None:
    scores = score_repairs(keep_rough_fill, [_sample()], Planes())
    assert abs(scores["features"] - 1) < 1e-5
    assert abs(scores["seams"] - 1) < 0.1


def test_the_original_scores_best() -> None:
    sample = _sample()
    scores = score_repairs(lambda image, holes: sample["original"][None], [sample], Planes())
    assert scores["psnr"] > 70
    assert scores["features"] < 1e-6
    assert scores["seams"] < 1e-6


def test_psnr_counts_holes_alone() -> None:
    sample = _sample()
    sample["original"] = sample["original"].clamp(0.5, 0.9)
    off = sample["original"] + 0.1 * sample["holes"]
    scores = score_repairs(lambda image, holes: off[None], [sample], Planes())
    assert abs(scores["psnr"] - 20) < 0.1


def test_biharmonic_inpainting_continues_ramps() -> None:
    sample = _sample()
    sample["image"] = sample["image"].where(sample["holes"] > 0, sample["original"])
    filled = inpaint_biharmonically(sample["image"][None], sample["holes"][None])
    torch.testing.assert_close(filled[0], sample["original"], atol=0.02, rtol=0)


def test_sheets_show_input_output_and_original(tmp_path: Path) -> None:
    draw_repairs(tmp_path / "sheet.png", keep_rough_fill, [_sample(), _sample()])
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (4 * 32, 2 * 32)
