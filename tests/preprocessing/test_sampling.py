"""Reading between pixels, against torch's own."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from portrait3d.preprocessing.sampling import add_level, read_means

PICTURE = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
PLANES = torch.from_numpy(PICTURE).permute(2, 0, 1)[None].double() / 255


def read(points: torch.Tensor, padding: str) -> torch.Tensor:
    """Read the picture at points in its pixels, bilinearly."""
    grid = points.double() * 2 / torch.tensor([53, 37]) - 1
    return functional.grid_sample(PLANES, grid[None], padding_mode=padding, align_corners=False)[0]


@pytest.mark.parametrize("samples", [1, 3])
def test_a_square_is_the_mean_of_bilinear_readings_and_black_beyond_the_picture(samples: int) -> None:
    matrix = np.array([[1.9, 0.4, -6.0], [-0.4, 1.9, 5.0]])
    line = (torch.arange(24 * samples, dtype=torch.float64) + 0.5) / samples
    y, x = torch.meshgrid(line, line, indexing="ij")
    points = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.from_numpy(matrix).T
    expected = functional.avg_pool2d(read(points, "zeros"), samples)
    found = read_means(PICTURE, matrix, 24, samples)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=0)
    assert found[:, 0, 0].max() == 0


def test_levels_add_up_where_they_have_weight_and_go_on_beyond_the_border() -> None:
    points = torch.rand(9, 7, 2) * 80 - 10
    weight = torch.rand(9, 7) - 0.3
    total = torch.full((3, 9, 7), 0.25)
    add_level(total, PICTURE, 2, points * 2, weight)
    expected = 0.25 + read(points, "border") * weight.clamp(min=0)
    torch.testing.assert_close(total.double(), expected, atol=1e-6, rtol=0)
