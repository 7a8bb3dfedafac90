"""Convolutions in half the digits."""

import pytest
import torch

from portrait3d.models import precision
from portrait3d.models.precision import fast_convolutions


@pytest.mark.parametrize("able", [True, False])
def test_convolutions_are_rounded_only_where_the_processor_gains_by_it(
    able: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_has_bfloat16", lambda: able)
    picture, weight = torch.full((1, 1, 4, 4), 1.001), torch.ones(1, 1, 3, 3)
    with fast_convolutions():
        result = torch.conv2d(picture, weight)
    assert result.dtype == (torch.bfloat16 if able else torch.float32)
    assert result.float().mean() == pytest.approx(9.009, rel=0.004 if able else 1e-6)
    assert torch.conv2d(picture, weight).dtype == torch.float32
