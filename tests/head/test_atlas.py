"""The texture: islands that go on a little, and what lies between them."""

import numpy as np
import scipy.sparse as sp
import torch

from portrait3d.head.atlas import MARGIN, Atlas, grown
from portrait3d.head.layout import Texels

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def two_islands() -> tuple[Texels, np.ndarray]:
    """A red and a green one of four by four texels in a texture of 32."""
    row, column = np.mgrid[8:12, 8:12].reshape(2, -1)
    place = np.concatenate([row * 32 + column, row * 32 + column + 12])
    matrix = sp.csr_array((len(place), 3), dtype=np.float32)
    return Texels(32, place, np.zeros_like(place), matrix), np.repeat([RED, GREEN], 16, axis=0)


def test_islands_go_on_over_a_margin_and_their_mean_lies_between() -> None:
    picture = grown(*two_islands()).permute(1, 2, 0)
    near, far = slice(8 - MARGIN, 12 + MARGIN), slice(20 - MARGIN, 24 + MARGIN)
    torch.testing.assert_close(
        picture[near, near], torch.tensor(RED).expand(4 + 2 * MARGIN, 4 + 2 * MARGIN, 3)
    )
    torch.testing.assert_close(
        picture[near, far], torch.tensor(GREEN).expand(4 + 2 * MARGIN, 4 + 2 * MARGIN, 3)
    )
    torch.testing.assert_close(picture[28, 28], torch.tensor([0.5, 0.5, 0.0]))


def test_the_hairs_chart_lies_below_the_skin() -> None:
    texels, colours = two_islands()
    texture = Atlas(16).compose(torch.zeros(3, 32, 32), texels, colours, torch.ones(3, 16, 16))
    assert (texture[16:, :16] == 255).all()
    assert tuple(texture[8, 8]) == (255, 0, 0)
    assert not texture[:8].any()
    assert Atlas(16).of_hair(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist() == [[0, 0.5], [0.5, 1]]
