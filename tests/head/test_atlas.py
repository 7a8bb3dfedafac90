"""The texture: islands that go on a little, and what lies between them."""

import numpy as np
import pytest
from PIL import Image

from portrait3d.head.atlas import Atlas, blend, doubled, ground
from portrait3d.head.layout import HeadLayout, Texels

RED, GREEN = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)


def two_islands() -> tuple[Texels, np.ndarray]:
    """A red and a green one of four by four texels in a texture of 32."""
    row, column = np.mgrid[8:12, 8:12].reshape(2, -1)
    place = np.concatenate([row * 32 + column, row * 32 + column + 12])
    corner = np.zeros((1, 3), np.int64)
    none = np.zeros(3, np.int64)
    layout = HeadLayout(corner, none[:1].astype(np.uint8), none, np.ones(3), np.zeros((3, 2)), corner, none)
    texels = Texels.of(layout, 32, place, np.zeros_like(place), np.zeros((len(place), 3)))
    return texels, np.repeat([RED, GREEN], 16, axis=0)


def test_islands_go_on_over_a_margin_and_their_mean_lies_between() -> None:
    picture = ground(*two_islands())
    assert picture.shape == (64, 64, 3)
    assert (picture[15:25, 13:27] == (255, 0, 0)).all()
    assert (picture[15:25, 37:51] == (0, 255, 0)).all()
    assert tuple(picture[56, 56]) == (128, 128, 0)


@pytest.mark.parametrize("shape", [(16, 16), (5, 9), (1, 1)])
def test_a_doubled_picture_is_pillows(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)
    size = 2 * shape[1], 2 * shape[0]
    expected = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(doubled(picture), np.asarray(expected))


def test_texels_are_blended_into_the_ground_and_divided_by_light() -> None:
    texels, colours = two_islands()
    texture = np.full((32, 32, 3), 100, np.uint8)
    share, light = np.repeat([1.0, 0.5], 16).astype(np.float32), np.repeat([1.0, 0.5], 16).astype(np.float32)
    blend(texture, texels, 0.8 * colours.astype(np.float32), share, light)
    assert tuple(texture[8, 8]) == (204, 0, 0)
    assert tuple(texture[8, 20]) == (100, 255, 100)
    assert (texture[:8] == 100).all()


def test_the_hairs_chart_lies_below_the_skin() -> None:
    texture = np.zeros((32, 32, 3), np.uint8)
    Atlas(16).place_hair(texture, np.full((16, 16, 3), 255, np.uint8))
    assert (texture[16:, :16] == 255).all()
    assert texture.sum() == 16 * 16 * 3 * 255
    assert Atlas(16).of_hair(np.array([[0.0, 0.0], [1.0, 1.0]])).tolist() == [[0, 0.5], [0.5, 1]]
