"""Hair that the photo does not show: its colour, its border to the skin, and heads with little or none."""

import numpy as np
import pytest
from jaxtyping import Bool, Float, UInt8
from scipy.spatial import cKDTree

from portrait3d.geometry.hairline import bare_top, under_hair
from portrait3d.geometry.mesh import HeadMesh, HeadPart
from portrait3d.geometry.skin import FittedHead
from portrait3d.geometry.stitching import stitch
from portrait3d.models.head_model import HeadModel
from portrait3d.models.placed_head import texels
from portrait3d.rendering.view import frame_head, render_view
from synthetic_head import capped_head, fitted_head, stitched

HAIR_COLOUR, SKIN_COLOUR = np.array([60, 40, 20]), np.array([220, 170, 150])
SIZE = 400


@pytest.fixture(scope="module")
def head() -> FittedHead:
    return fitted_head(HeadModel.load())


def hair_behind(mesh: HeadMesh) -> UInt8[np.ndarray, "N 3"]:
    """Colours of hair at the back of the head."""
    return mesh.colors[(mesh.part == HeadPart.HAIR) & (mesh.vertices[:, 2] > 1000)]


def painted(head: FittedHead, chosen: Bool[np.ndarray, "H W"], colour: tuple[int, int, int]) -> HeadMesh:
    """The capped head with some pixels of its photo in another colour."""
    depth, parsing, picture = capped_head(head)
    picture[np.kron(chosen, np.ones((2, 2), bool))] = colour
    return stitch(head, texels(head.layout, len(picture)), depth, parsing, picture)


def rows_of_hair(head: FittedHead) -> tuple[Bool[np.ndarray, "H W"], Float[np.ndarray, "H W"]]:
    """Where the capped head's hair is, and from 0 to 1 how far down."""
    hair = capped_head(head)[1].argmax(axis=0) == 2
    row = np.nonzero(hair)[0]
    down = (np.arange(len(hair))[:, None] - row.min()) / np.ptp(row)
    return hair, np.broadcast_to(down, hair.shape)


def test_highlights_and_a_bright_outline_do_not_brighten_unseen_hair(head: FittedHead) -> None:
    hair, down = rows_of_hair(head)
    rim = hair & ~(np.roll(hair, 3, axis=0) & np.roll(hair, 3, axis=1) & np.roll(hair, -3, axis=1))
    behind = hair_behind(painted(head, rim | (hair & (down > 0.3) & (down < 0.5)), (200, 190, 180)))
    assert np.abs(np.median(behind, axis=0) - HAIR_COLOUR).max() < 12


def test_unseen_headwear_has_one_plain_colour(head: FittedHead) -> None:
    depth, parsing, picture = capped_head(head)
    hair, _ = rows_of_hair(head)
    stripes = hair & (np.arange(len(hair)) // 4 % 3 == 0)
    picture[np.kron(stripes, np.ones((2, 2), bool))] = (230, 230, 230)
    parsing[8], parsing[2] = parsing[2].copy(), 0.0
    mesh = stitch(head, texels(head.layout, len(picture)), depth, parsing, picture)
    assert hair_behind(mesh).astype(float).std(axis=0).max() < 8
    assert np.abs(np.median(hair_behind(mesh), axis=0) - HAIR_COLOUR).max() < 30


def test_hair_ends_at_the_nape_within_a_centimetre(head: FittedHead) -> None:
    mesh = stitched(head)
    pose, camera = frame_head(mesh, 180.0, 0.0, SIZE)
    picture = render_view(mesh, pose, camera).astype(float)
    share = ((picture - HAIR_COLOUR) @ (SKIN_COLOUR - HAIR_COLOUR)) / np.sum((SKIN_COLOUR - HAIR_COLOUR) ** 2)
    millimetres = 1500.0 / float(camera.focal)
    lengths = []
    for column in share[:, SIZE // 2 - 20 : SIZE // 2 + 21].T:
        bare = np.flatnonzero((column > 0.6) & (column < 1.2) & (np.arange(SIZE) > SIZE // 2))
        covered = np.flatnonzero(column[: bare[0]] < 0.25)
        lengths.append((bare[0] - covered[-1]) * millimetres)
    assert np.median(lengths) < 10


def test_a_head_without_hair_gets_none_and_one_bare_on_top_none_there(head: FittedHead) -> None:
    depth, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    coverage = parsing[[1, 2, 3, 4]].sum(axis=0)
    inner = head.model_vertices
    crown = (inner[:, 1] < -105) & (inner[:, 2] > 40) & np.isin(np.arange(len(inner)), head.faces)
    back = (np.abs(inner[:, 1] + 20) < 20) & (inner[:, 2] > 110)
    receded = labels.copy()
    middle = np.abs(np.arange(len(labels)) - len(labels) / 2) < 32
    receded[:, middle] = np.where(labels == 2, 1, labels)[:, middle]
    bald = np.where(labels == 2, 1, labels).astype(np.uint8)
    assert bare_top(head, labels) == -np.inf
    assert bare_top(head, receded) > -np.inf
    for parsed, on_crown, behind in ((labels, True, True), (receded, False, True), (bald, False, False)):
        hairy = under_hair(head, parsed, depth.valid.numpy(), coverage, hanging=False)
        assert (np.median(hairy[crown]) > 0.5) == on_crown
        assert (np.median(hairy[back]) > 0.5) == behind


def test_the_cut_through_the_neck_has_the_colour_of_the_nape(head: FittedHead) -> None:
    throat = capped_head(head)[1].argmax(axis=0) == 6
    rows = np.arange(len(throat))[:, None]
    mesh = painted(head, throat & (rows > np.nonzero(throat)[0].max() - 8), (90, 60, 50))
    behind = np.flatnonzero((mesh.vertices[:, 1] > 50) & (mesh.vertices[:, 2] > 970))
    pairs = cKDTree(mesh.vertices[behind]).query_pairs(0.01, output_type="ndarray")
    assert len(pairs) > 5
    colours = mesh.colors[behind].astype(int)
    assert np.abs(colours[pairs[:, 0]] - colours[pairs[:, 1]]).max() < 30
