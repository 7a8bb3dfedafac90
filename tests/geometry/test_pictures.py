"""Pictures as planes and as bytes."""

import numpy as np
import torch

from portrait3d.geometry.pictures import as_bytes, as_planes


def test_bytes_become_planes_and_bytes_again() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(as_bytes(as_planes(picture)), picture)


def test_planes_are_cut_to_what_bytes_hold_and_halves_go_to_the_even_one() -> None:
    planes = torch.tensor([-0.4, 0.5 / 255, 1.5 / 255, 0.2, 1.7], dtype=torch.float64)[None, None]
    np.testing.assert_array_equal(as_bytes(planes)[0, :, 0], [0, 0, 2, 51, 255])
