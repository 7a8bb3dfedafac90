"""Hair that is too thin for a surface: out of the sheet, and back as fins with the matte as alpha."""

import numpy as np
import pytest
from jaxtyping import Bool, Float
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.loose_hair import FAINTEST, grid_over, without_loose_hair
from portrait3d.geometry.mesh import HeadMesh, HeadPart, LooseHair
from portrait3d.geometry.sheet import EARS, HAIR, HEAD, SKIN
from portrait3d.geometry.skin import FittedHead
from portrait3d.geometry.stitching import stitch
from portrait3d.models.head_model import HeadModel
from portrait3d.models.placed_head import texels
from synthetic_head import capped_head, fitted_head

STRANDS, WIDE = 12, 4
"""How far strands stand off the cap, and how wide they are, pixels of the crop."""
HAIR_COLOUR = np.array([60, 40, 20])


@pytest.fixture(scope="module")
def head() -> FittedHead:
    return fitted_head(HeadModel.load())


def windswept(head: FittedHead) -> tuple[Bool[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Strands, with gaps as wide as they are, on the left half of the cap's outline, and the head's matte."""
    labels = capped_head(head)[1].argmax(axis=0)
    known = np.isin(labels, HEAD)
    distance, nearest = ndimage.distance_transform_edt(~known, return_indices=True)
    on_hair = labels[nearest[0], nearest[1]] == HAIR
    y, x = np.indices(labels.shape)
    strands = (distance > 0) & (distance < STRANDS) & on_hair & (x < 100) & (y % (2 * WIDE) < WIDE)
    return strands, np.where(known, 1.0, 0.6 * strands).astype(np.float32)


def stitched(head: FittedHead, matte: Float[np.ndarray, "M M"] | None, angle: float = 0.0) -> HeadMesh:
    """The capped head, whose strands the parsing takes for hair."""
    depth, parsing, picture = capped_head(head)
    strands, _ = windswept(head)
    parsing[:, strands] = np.eye(9)[HAIR][:, None]
    depth.valid[strands] = True
    return stitch(head, texels(head.layout, len(picture)), depth, parsing, picture, angle, matte=matte)


@pytest.fixture(scope="module")
def mesh(head: FittedHead) -> HeadMesh:
    return stitched(head, windswept(head)[1])


@pytest.fixture(scope="module")
def loose(mesh: HeadMesh) -> LooseHair:
    assert mesh.loose_hair is not None
    return mesh.loose_hair


def test_thin_strands_leave_the_parsing_and_nothing_else_changes(head: FittedHead) -> None:
    before = capped_head(head)[1]
    strands, matte = windswept(head)
    before[:, strands] = np.eye(9)[HAIR][:, None]
    after = without_loose_hair(before, matte.astype(np.float64))
    np.testing.assert_allclose(after.sum(axis=0), 1.0, atol=1e-6)
    labels = before.argmax(axis=0)
    assert (after.argmax(axis=0)[strands] != HAIR).mean() > 0.9
    changed = (after.argmax(axis=0) != labels) & ~strands
    assert changed.sum() < 0.01 * (labels == HAIR).sum()
    skin = np.isin(labels, (*SKIN, *EARS))
    np.testing.assert_allclose(after[:, skin], before[:, skin], atol=1e-6)


def test_hair_that_is_little_of_a_pixel_is_not_firm() -> None:
    parsing = np.zeros((9, 40, 40))
    parsing[0], parsing[HAIR, 10:30, 10:30] = 1.0, 1.0
    parsing[0, 10:30, 10:30] = 0.0
    matte = np.where(parsing[HAIR] > 0, 1.0, 0.0)
    matte[10:30, 10:16] = 0.3
    firm = without_loose_hair(parsing, matte).argmax(axis=0) == HAIR
    assert not firm[:, :16].any()
    assert firm[12:28, 18:28].all()


def test_without_a_matte_there_is_no_loose_hair(head: FittedHead) -> None:
    assert stitched(head, None).loose_hair is None


def test_a_sharp_outline_has_few_fins(head: FittedHead, loose: LooseHair) -> None:
    _, matte = windswept(head)
    sharp = stitched(head, np.where(matte == 1, matte, 0)).loose_hair
    assert sharp is None or len(sharp.vertices) < len(loose.vertices) / 2


def test_strands_are_fins_where_the_photo_shows_them(head: FittedHead, loose: LooseHair) -> None:
    strands, matte = windswept(head)
    pixels = head.pixels(loose.vertices.astype(np.float64))
    height, width = loose.texture.shape[:2]
    left, top = np.round(pixels[0] - loose.uv[0] * [width, height]).astype(int)
    np.testing.assert_allclose(loose.uv * [width, height] + [left, top], pixels, atol=0.01)
    alpha = np.zeros(strands.shape, np.uint8)
    alpha[top : top + height, left : left + width] = loose.texture[..., 3]
    near = strands & (ndimage.distance_transform_edt(~(capped_head(head)[1].argmax(axis=0) > 0)) < 5)
    assert np.median(alpha[near]) == pytest.approx((0.6 - FAINTEST) / (1 - FAINTEST) * 255, abs=6)
    assert not alpha[ndimage.distance_transform_edt(matte == 0) > 2].any()
    a, b, c = (loose.vertices[loose.faces[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).all()


def test_fins_have_the_hairs_colour_and_not_the_backgrounds(loose: LooseHair) -> None:
    shown = loose.texture[loose.texture[..., 3] > 20][:, :3].astype(float)
    assert np.abs(shown - HAIR_COLOUR).max() < 30


def test_fins_continue_the_head_and_bend_back(head: FittedHead, mesh: HeadMesh, loose: LooseHair) -> None:
    pixels = head.pixels(loose.vertices.astype(np.float64))
    labels = capped_head(head)[1].argmax(axis=0)
    beyond = ndimage.distance_transform_edt(labels == 0)
    column, row = np.floor(pixels).astype(int).clip(0, 255).T
    depth = loose.vertices[:, 2]
    tip, root = beyond[row, column] > 6, beyond[row, column] < 2
    assert depth[tip].mean() > depth[root].mean()
    assert depth.min() > mesh.vertices[:, 2].min()
    assert depth.max() < mesh.vertices[:, 2].max()


def test_a_rolled_crop_rolls_the_fins(head: FittedHead, loose: LooseHair) -> None:
    rolled = stitched(head, windswept(head)[1], angle=np.pi / 2).loose_hair
    assert rolled is not None
    x, y, z = loose.vertices.T
    np.testing.assert_allclose(rolled.vertices, np.stack([-y, x, z], axis=1), atol=1e-3)


def test_fins_move_with_the_hair_beside_them(head: FittedHead, mesh: HeadMesh, loose: LooseHair) -> None:
    count = mesh.binding.index.max() + 1 if mesh.binding else 0
    shifted = mesh.displaced(np.tile([10.0, 0.0, 0.0], (count, 1)))
    assert shifted.loose_hair is not None
    moves = shifted.loose_hair.vertices - loose.vertices
    sheet = np.flatnonzero(mesh.seen & (mesh.part == HeadPart.HAIR))
    beside = cKDTree(head.pixels(mesh.vertices[sheet].astype(np.float64)))
    _, nearest = beside.query(head.pixels(loose.vertices.astype(np.float64)))
    apart = np.abs(moves - (shifted.vertices - mesh.vertices)[sheet[nearest]]).max(axis=1)
    assert (apart < 1.0).mean() > 0.9
    assert moves[:, 0].max() > 2.0


def test_a_grid_covers_what_is_wanted_but_no_jump() -> None:
    wanted = np.zeros((8, 8), bool)
    wanted[1, 1] = wanted[5, 6] = True
    depth = np.full((8, 8), 900.0)
    depth[:, 7] = 960.0
    pixels, depths, faces = grid_over(wanted, depth)
    assert sorted(map(tuple, pixels.tolist())) == [(0, 0), (0, 2), (2, 0), (2, 2)]
    assert depths.tolist() == [900.0] * 4
    assert len(faces) == 2
