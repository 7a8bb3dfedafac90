"""Filling unknown pixels from known ones."""

import pytest
import torch

from portrait3d.geometry.filling import push_pull


def test_known_pixels_keep_their_values_and_one_value_fills_everything() -> None:
    values = torch.rand(3, 13, 22, generator=torch.Generator().manual_seed(0))
    known = torch.zeros(13, 22)
    known[3, 5] = 1

    filled = push_pull(values, known)

    assert torch.equal(filled[:, 3, 5], values[:, 3, 5])
    assert torch.allclose(filled, values[:, 3, 5, None, None].expand_as(filled), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 1), (8, 8), (17, 30), (31, 64)])
def test_what_is_known_everywhere_comes_back(size: tuple[int, int]) -> None:
    values = torch.rand(2, *size, generator=torch.Generator().manual_seed(1))

    assert torch.equal(push_pull(values, torch.ones(size)), values)


def test_holes_take_on_values_between_those_around_them() -> None:
    column = torch.linspace(0, 1, 24).expand(1, 24, 24)
    known = torch.ones(24, 24)
    known[8:16, 8:16] = 0

    hole = push_pull(column * known, known)[0, 8:16, 8:16]

    assert (hole[:, :-1] < hole[:, 1:] + 1e-6).all()
    assert (hole - column[0, 8:16, 8:16]).abs().max() < 0.15


def test_two_known_pixels_share_the_coarse_level_by_their_weights() -> None:
    values = torch.tensor([[[1.0, 0.0], [5.0, 5.0]]])
    known = torch.tensor([[0.6, 0.2], [0.0, 0.0]])

    filled = push_pull(values, known)

    mean = 0.6 * 1.0 / 0.8
    expected = torch.tensor([[0.6 + 0.4 * 0.8 * mean / 0.8, 0.8 * mean], [mean, mean]])
    assert torch.allclose(filled[0], expected, atol=1e-6)


def test_nothing_known_gives_zero() -> None:
    assert not push_pull(torch.rand(3, 9, 6), torch.zeros(9, 6)).any()
