"""Stitching: the mesh is whole, labelled, closed at its borders, and the same every time."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry import HeadMesh, HeadPart, Pose
from portrait3d.geometry.atlas import Atlas
from portrait3d.geometry.backing import close_behind, scalp_weight
from portrait3d.geometry.burying import buried_patch
from portrait3d.geometry.hairline import under_hair
from portrait3d.geometry.layout import SIDES
from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.rim import EDGE_ON, turned_away
from portrait3d.geometry.skin import FittedHead, boundary_loops, closing_sheets, normals, view_cosine
from portrait3d.geometry.stitching import at_hairline, photographed
from portrait3d.models.head_model import HeadModel
from portrait3d.models.placed_head import head_layout
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.view import render_view
from synthetic_head import CAMERA, SIZE, capped_head, fitted_head, stitched


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="module")
def head(model: HeadModel) -> FittedHead:
    return fitted_head(model)


@pytest.fixture(scope="module")
def mesh(head: FittedHead) -> HeadMesh:
    return stitched(head)


def test_every_vertex_is_finite_used_and_within_reach(mesh: HeadMesh) -> None:
    assert np.isfinite(mesh.vertices).all()
    assert mesh.faces.min() == 0
    assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    assert np.abs(mesh.vertices - [0, 0, 930]).max() < 200


def test_no_triangle_flies(mesh: HeadMesh) -> None:
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    longest = np.max([np.linalg.norm(b - a, axis=1), np.linalg.norm(c - b, axis=1)], axis=0)
    assert longest.max() < 70
    assert np.quantile(longest, 0.98) < 30


def test_parts_are_where_they_belong(mesh: HeadMesh) -> None:
    x, y, _ = (mesh.vertices - [0, 0, 900]).T
    part = mesh.part
    front = mesh.seen
    assert set(np.unique(part)) == {part.value for part in HeadPart}
    assert y[front & (part == HeadPart.HAIR)].max() < -20
    assert np.abs(x[front & (part == HeadPart.EAR)]).min() > 45
    assert np.abs(x[front & (part == HeadPart.FACE)]).max() < 85


def test_what_the_photo_shows_faces_the_camera(mesh: HeadMesh) -> None:
    shown = mesh.seen & (mesh.part == HeadPart.FACE) & (mesh.piece == HeadPiece.SURFACE)
    seen = shown[mesh.faces].all(axis=1)
    pixels = CAMERA.project(torch.from_numpy(mesh.vertices)).numpy()
    a, b, c = (pixels[mesh.faces[seen][:, k]] for k in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    assert area[area < 0].sum() < -40 * area[area > 0].sum()


def test_the_photo_is_seen_through_its_own_pixels(mesh: HeadMesh) -> None:
    """Seen vertices on the photo's own chart project onto the pixels that they take their colours from."""
    shown = (mesh.uv[:, 0] < 0.5) & (mesh.uv[:, 1] > 0.5) & mesh.seen
    assert shown.sum() > 1000
    pixels = CAMERA.project(torch.from_numpy(mesh.vertices[shown])).numpy()
    assert np.abs(pixels - (mesh.uv[shown] * 2 - [0, 1]) * SIZE).max() < 1e-2


def test_from_the_photos_own_view_the_head_looks_like_the_photo(head: FittedHead, mesh: HeadMesh) -> None:
    _, parsing, picture = capped_head(head)
    drawn = render_view(mesh, Pose.identity(), CAMERA, background=(40, 90, 160))
    labels = parsing.argmax(axis=0)
    difference = np.abs(drawn.astype(int) - picture[::2, ::2]).max(axis=-1)
    inside = ndimage.binary_erosion(np.isin(labels, (1, 2)), iterations=3)
    assert np.quantile(difference[inside], 0.98) < 20


def test_eyes_teeth_tongue_and_mouth_are_pieces_of_their_own(mesh: HeadMesh) -> None:
    assert set(mesh.piece.tolist()) == {piece.value for piece in HeadPiece}
    assert (np.ptp(mesh.piece[mesh.faces], axis=1) == 0).all()
    left, right = (mesh.vertices[mesh.piece == eye] for eye in (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE))
    assert left[:, 0].max() < 0 < right[:, 0].min()


def test_places_in_the_texture_are_the_same_for_every_head(model: HeadModel, mesh: HeadMesh) -> None:
    layout = head_layout(model)
    on_model = len(layout.points)
    np.testing.assert_allclose(mesh.uv[:on_model] * SIDES, layout.points, atol=1e-6)
    assert layout.points.min() > 0
    assert layout.points.max() < SIDES


def test_no_expression_opens_a_seam(model: HeadModel, mesh: HeadMesh) -> None:
    """Vertices that lie on each other stay within half a millimetre."""
    assert mesh.binding is not None
    surface = np.flatnonzero(mesh.piece == HeadPiece.SURFACE)
    pairs = surface[cKDTree(mesh.vertices[surface]).query_pairs(1e-3, output_type="ndarray")]
    assert len(pairs) > 100
    for name, basis in zip(model.expression_names, model.expression_basis.numpy(), strict=True):
        moved = mesh.binding.apply(basis)
        gap = np.linalg.norm(moved[pairs[:, 0]] - moved[pairs[:, 1]], axis=1)
        assert gap.max() < 0.5, f"{name} opens {gap.max():.2f} mm"


def test_the_sheet_under_the_faces_border_moves_with_the_face(
    model: HeadModel, head: FittedHead, mesh: HeadMesh
) -> None:
    jaw = model.expression_basis[model.expression_names.index("jawOpen")].numpy()
    assert mesh.binding is not None
    moved = np.linalg.norm(mesh.binding.apply(jaw), axis=1)
    on_sheet = np.arange(len(mesh.vertices)) >= len(head_layout(model).points)
    near, own = cKDTree(head.vertices[np.unique(head.faces)]).query(mesh.vertices)
    skin = np.linalg.norm(jaw, axis=1)[np.unique(head.faces)][own]
    beside = on_sheet & (near < 3.0) & (mesh.part == HeadPart.FACE) & mesh.seen
    assert beside.sum() > 20
    assert np.quantile(np.abs(moved - skin)[beside], 0.9) < 1.0


def test_hair_on_top_stays_where_it_is_when_the_jaw_opens(model: HeadModel, mesh: HeadMesh) -> None:
    jaw = model.expression_basis[model.expression_names.index("jawOpen")].numpy()
    assert mesh.binding is not None
    hair = mesh.part == HeadPart.HAIR
    assert np.linalg.norm(mesh.binding.apply(jaw), axis=1)[hair].max() < 1.0


def test_no_crack_opens_inside_the_head(head: FittedHead, mesh: HeadMesh) -> None:
    """From the front and turned by 30 degrees, the background is nowhere seen inside the outline."""
    for yaw in (-30, 0, 30):
        angle = np.radians(yaw)
        turn = np.array(
            [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32
        )
        centre = np.array([0, 0, 940], np.float32)
        turned = torch.from_numpy((mesh.vertices - centre) @ turn.T + centre)
        seen = rasterize(CAMERA.screen(turned)[None], torch.from_numpy(mesh.faces), SIZE, SIZE)
        covered = (seen.face_index[0] >= 0).numpy()
        cracks = ndimage.binary_fill_holes(covered) & ~covered
        assert cracks.sum() < 1e-3 * covered.sum(), f"{cracks.sum()} pixels at {yaw} degrees"


def test_the_face_keeps_the_models_own_vertices(head: FittedHead, mesh: HeadMesh) -> None:
    model_points = {tuple(point) for point in head.vertices.astype(np.float32).round(3).tolist()}
    face = mesh.vertices[mesh.part == HeadPart.FACE].round(3).tolist()
    assert sum(tuple(point) in model_points for point in face) > 1500


def test_skin_is_the_head_models_own_surface(head: FittedHead, mesh: HeadMesh) -> None:
    """No second layer of skin lies over the model's: the sheet is hair, but for a border next to it."""
    sheet = mesh.vertices[len(head.layout.points) :]
    part = mesh.part[len(head.layout.points) :]
    skin = part == HeadPart.FACE
    hair = cKDTree(sheet[part == HeadPart.HAIR])
    assert hair.query(sheet[skin])[0].max() < 20.0


def test_under_hair_the_scalp_follows_the_hair_that_the_photo_shows(head: FittedHead) -> None:
    depth, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    shown = photographed(head, parsing)
    held = np.zeros(len(head.vertices), bool)
    held[head.faces[shown[head.faces].all(axis=1)]] = True
    facing = view_cosine(head.vertices, normals(head.vertices, head.faces)) > 0.3
    scalp = (scalp_weight(head.model_vertices, head.ears_mask) > 0.9) & facing & ~held
    assert scalp.sum() > 10
    far, near = (
        close_behind(head, held, np.where(labels == 2, lifted, np.inf), labels, depth.valid.numpy())[scalp, 2]
        for lifted in (depth.depth.double().numpy(), depth.depth.double().numpy() - 15.0)
    )
    assert np.median(far - near) > 8.0


def test_an_outline_that_shows_hair_edge_on_is_left_to_the_closing_surface() -> None:
    depth = np.full((60, 60), 900.0)
    head = np.zeros((60, 60), bool)
    head[10:50, 10:50] = True
    covered = np.zeros_like(head)
    column, row = np.meshgrid(np.arange(10.5, 50), np.arange(10.5, 50))
    focal = 500.0
    points = np.stack([(column - 30) / focal, (row - 30) / focal, np.ones_like(row)], axis=-1).reshape(-1, 3)
    near = turned_away(depth, head, covered, points * 910.0, focal)
    assert near.sum() == 40**2 - (40 - 2 * EDGE_ON) ** 2
    assert not near[10 + EDGE_ON : 50 - EDGE_ON, 10 + EDGE_ON : 50 - EDGE_ON].any()
    assert not turned_away(depth, head, covered, points * 990.0, focal).any()
    assert not turned_away(depth, head, head, points * 910.0, focal).any()


def test_what_the_photo_does_not_show_has_the_other_sides_hairline(head: FittedHead) -> None:
    depth, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    region = depth.valid.numpy()
    coverage = parsing[[1, 2, 3, 4]].sum(axis=0)
    both = under_hair(head, labels, region, coverage, hanging=False)
    right = np.arange(SIZE)[None, :] >= SIZE // 2
    one = under_hair(head, labels, region & ~right, np.where(right, 0.0, coverage), hanging=False)
    skin = np.unique(head.faces)
    assert np.abs(both - one)[skin].mean() < 0.1


def test_the_neck_that_the_photo_shows_between_hanging_hair_is_bare(head: FittedHead) -> None:
    _, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    hairy = under_hair(head, labels, labels == 2, parsing[[1, 2, 3, 4]].sum(axis=0), hanging=True)
    column, row = np.floor(head.pixels(head.vertices)).astype(int).clip(0, SIZE - 1).T
    facing = view_cosine(head.vertices, normals(head.vertices, head.faces)) > 0.1
    skin = np.isin(np.arange(len(head.vertices)), head.faces)
    shown = skin & facing & (labels[row, column] == 6)
    behind = head.model_vertices[:, 2] > 25
    assert (shown & behind).sum() > 10
    assert np.median(hairy[shown & behind]) < 0.2
    assert np.median(hairy[skin & behind & ~facing & (head.model_vertices[:, 1] > 60)]) > 0.8


def test_what_would_stick_out_of_the_hair_lies_under_it_without_a_gap(head: FittedHead) -> None:
    kept = np.ones(len(head.layout.faces), bool)
    seen = np.unique(head.face_index[100:140, 150:175])
    sunk = seen[(seen >= 0) & (seen < len(head.faces))]
    kept[sunk] = False
    hair = head.depth + 8.0
    patch = buried_patch(head, head.vertices, kept, np.zeros(len(head.vertices)), hair, Atlas(2 * SIZE))
    assert patch is not None
    pixels = head.pixels(patch.vertices)
    half = len(patch.vertices) // 2
    np.testing.assert_allclose(pixels[half:], pixels[:half], atol=1e-6)  # the photo's view shows no change
    faces = patch.faces[(patch.faces >= half).all(axis=1)]
    assert len(faces) == len(sunk)
    middle = patch.vertices[faces].mean(axis=1)
    column, row = np.floor(head.pixels(middle)).astype(int).T
    assert (middle[:, 2] > hair[row, column] - 0.5).all()
    # Every edge towards a triangle that stays has a wall: together they have no open edge.
    place = patch.binding.index[:, 0] + len(head.vertices) * (np.arange(len(patch.vertices)) >= half)
    together = np.concatenate([place[patch.faces], head.layout.faces[kept]])
    around = np.concatenate([together[:, [0, 1]], together[:, [1, 2]], together[:, [2, 0]]])
    size = 2 * len(head.vertices)
    single = ~np.isin(around[:, 0] * size + around[:, 1], around[:, 1] * size + around[:, 0])
    touched = np.unique(place)
    assert not np.isin(around[single], touched).all(axis=1).any()
    kept[:] = True
    assert not buried_patch(head, head.vertices, kept, np.zeros(len(head.vertices)), hair, Atlas(2 * SIZE))


def test_stitching_repeats_exactly(head: FittedHead, mesh: HeadMesh) -> None:
    again = stitched(head)
    for name in ("vertices", "faces", "part", "uv", "texture"):
        assert np.array_equal(getattr(again, name), getattr(mesh, name)), name


def test_a_symmetric_head_gives_a_symmetric_mesh(mesh: HeadMesh) -> None:
    for part in HeadPart:
        points = mesh.vertices[mesh.part == part]
        left, right = points[points[:, 0] < 0], points[points[:, 0] > 0]
        assert len(left) == pytest.approx(len(right), rel=0.1)
        assert np.abs(left.mean(axis=0) * [-1, 1, 1] - right.mean(axis=0)).max() < 3.0


def test_a_rolled_crop_rolls_the_mesh(head: FittedHead, mesh: HeadMesh) -> None:
    rolled = stitched(head, angle=np.pi / 2)
    x, y, z = mesh.vertices.T
    np.testing.assert_allclose(rolled.vertices, np.stack([-y, x, z], axis=1), atol=1e-3)


def test_eyes_and_mouth_are_closed_and_the_neck_is_open(model: HeadModel) -> None:
    faces, vertices = model.skin_faces.numpy(), model.mean.double().numpy()
    sheets = np.concatenate([*closing_sheets(faces, vertices).values()])
    closed = np.concatenate([faces, sheets])
    (loop,) = boundary_loops(closed.tobytes(), len(closed))
    assert vertices[loop, 1].min() > 60
    a, b, c = (vertices[sheets[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] < 0).mean() > 0.8


def test_triangles_across_the_hairline_stay_and_show_what_the_photo_has_there(head: FittedHead) -> None:
    _, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    across = at_hairline(head, labels)
    corner = labels[tuple(np.floor(head.pixels(head.vertices)).astype(int).clip(0, SIZE - 1).T[::-1])]
    mixed = across & (corner[head.faces] == 2).any(axis=1)
    assert mixed.sum() > 10
    mesh = stitched(head)
    own = mesh.vertices[: len(head.layout.points)]
    assert mesh.binding is not None
    at = mesh.binding.index[: len(own), 0]
    still = np.flatnonzero(np.isin(at, head.faces[mixed].ravel()))
    np.testing.assert_allclose(own[still], head.vertices[at[still]], atol=1e-4)
