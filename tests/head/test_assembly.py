"""The head as one mesh: layers, parts, texture, expressions; the same every time."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry import HeadMesh, HeadPart, HeadPiece, Pose
from portrait3d.head.assembly import neck_patch
from portrait3d.head.atlas import Atlas
from portrait3d.head.layout import SIDES
from portrait3d.head.placement import head_layout, texels
from portrait3d.head.skin import neck_cut
from portrait3d.models.head_model import HeadModel
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.rendering.view import render_view
from synthetic_head import CAMERA, COLOURS, SIZE, Sitter, sitter

TURNS = (-30, 0, 30)


def test_layers_are_pieces_and_no_triangle_joins_two(meshes: dict[str, HeadMesh]) -> None:
    for style, mesh in meshes.items():
        wanted = set(HeadPiece) - ({HeadPiece.HAIR} if style == "bald" else set())
        assert set(mesh.piece.tolist()) == {piece.value for piece in wanted}, style
        assert (np.ptp(mesh.piece[mesh.faces], axis=1) == 0).all()
        assert (mesh.hair_sheet is None) == (style == "bald")


def test_every_vertex_is_finite_used_and_within_reach(meshes: dict[str, HeadMesh]) -> None:
    for mesh in meshes.values():
        assert np.isfinite(mesh.vertices).all()
        assert np.array_equal(np.unique(mesh.faces), np.arange(len(mesh.vertices)))
        assert mesh.uv.min() >= 0
        assert mesh.uv.max() <= 1
        assert np.abs(mesh.vertices - [0, 0, 930]).max() < 220


def test_parts_are_where_they_belong(meshes: dict[str, HeadMesh]) -> None:
    mesh = meshes["cap"]
    x, y, _ = (mesh.vertices - [0, 0, 900]).T
    assert set(np.unique(mesh.part)) == {part.value for part in HeadPart}
    assert y[mesh.seen & (mesh.part == HeadPart.HAIR)].max() < -20
    assert np.abs(x[mesh.part == HeadPart.EAR]).min() > 45
    assert np.abs(x[mesh.seen & (mesh.part == HeadPart.FACE)]).max() < 85
    assert (mesh.part[mesh.piece == HeadPiece.HAIR] == HeadPart.HAIR).all()
    assert (mesh.part[mesh.piece == HeadPiece.SURFACE] == HeadPart.HAIR).sum() > 100  # the skin under it
    assert mesh.seen[np.isin(mesh.piece, (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE))].any()


def test_the_skin_is_the_whole_head_model_whatever_the_hair(
    sitters: dict[str, Sitter], meshes: dict[str, HeadMesh]
) -> None:
    for style, mesh in meshes.items():
        layout = sitters[style].head.layout
        own = mesh.faces[(mesh.piece != HeadPiece.HAIR)[mesh.faces[:, 0]]]
        assert np.array_equal(own[: len(layout.faces)], layout.point_faces), style


def test_the_cut_through_the_neck_is_closed_in_the_colour_of_the_nape(meshes: dict[str, HeadMesh]) -> None:
    mesh = meshes["bald"]
    middle = len(mesh.vertices) - 1
    around = mesh.faces[(mesh.faces == middle).any(axis=1)]
    assert len(around) > 20
    low = mesh.vertices[np.unique(around)]
    assert np.ptp(low[:, 0]) > 60
    assert np.median(low[:, 1]) > 75
    there = np.flatnonzero((np.abs(mesh.uv - mesh.uv[middle]) < 1e-6).all(axis=1))
    nape = mesh.vertices[there[~np.isin(there, around)]]
    assert len(nape) > 0
    assert (nape[:, 2] > low[:, 2].max() - 1).all()


def test_the_cut_through_the_neck_is_skin_where_hair_reaches_down_to_it(sitters: dict[str, Sitter]) -> None:
    model, atlas = sitters["long"].head, Atlas(256)
    hairy = (model.model_vertices[:, 2] > 60).astype(float)
    cut = neck_patch(model, hairy, atlas)
    x, y = cut.uv[0]
    of_model = atlas.of_model(model.layout.points)
    there = model.layout.point_vertex[np.abs(of_model - [x, y]).max(axis=1) < 1e-6]
    assert len(there)
    assert (model.model_vertices[there, 2] <= 60).all()
    hindmost = model.model_vertices[neck_cut(model)[0], 2]
    assert model.model_vertices[there, 2].max() == pytest.approx(hindmost[hindmost <= 60].max())


def test_the_head_without_its_hair_is_clean_and_bald(meshes: dict[str, HeadMesh]) -> None:
    mesh, bald = meshes["cap"], meshes["bald"]
    without = mesh.kept((mesh.piece != HeadPiece.HAIR)[mesh.faces[:, 0]])
    assert len(without.vertices) == len(bald.vertices)
    assert not (without.piece == HeadPiece.HAIR).any()


def test_from_the_photos_own_view_the_head_looks_like_the_photo(
    sitters: dict[str, Sitter], meshes: dict[str, HeadMesh]
) -> None:
    for style, known in sitters.items():
        drawn = render_view(meshes[style], Pose.identity(), CAMERA, background=tuple(COLOURS[0].tolist()))
        difference = np.abs(drawn.astype(int) - COLOURS[known.labels]).max(axis=-1)
        inside = ndimage.binary_erosion(np.isin(known.labels, (1, 2)), iterations=3)
        assert np.quantile(difference[inside], 0.97) < 25, style
        background = ndimage.binary_erosion(known.labels == 0, iterations=3)
        assert np.quantile(difference[background], 0.99) < 25, style


def test_no_crack_opens_inside_the_head(meshes: dict[str, HeadMesh]) -> None:
    for style, mesh in meshes.items():
        for yaw in TURNS:
            angle = np.radians(yaw)
            turn = np.array(
                [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32
            )
            centre = np.array([0, 0, 940], np.float32)
            turned = torch.from_numpy((mesh.vertices - centre) @ turn.T + centre)
            seen = rasterize(CAMERA.screen(turned)[None], torch.from_numpy(mesh.faces), SIZE, SIZE)
            covered = (seen.face_index[0] >= 0).numpy()
            filled = ndimage.binary_fill_holes(covered)
            cracks = filled & ~covered
            cracks = (
                cracks if style != "long" else ndimage.binary_opening(cracks)[:0]
            )  # hair stands off the neck
            assert cracks.sum() < 1e-3 * covered.sum(), f"{style}: {cracks.sum()} pixels at {yaw} degrees"


def test_places_in_the_texture_are_the_same_for_every_head(
    model: HeadModel, meshes: dict[str, HeadMesh]
) -> None:
    layout = head_layout(model)
    for mesh in meshes.values():
        np.testing.assert_allclose(mesh.uv[: len(layout.points)] * SIDES, layout.points, atol=1e-6)


def test_no_island_lies_on_the_hairs_chart(model: HeadModel) -> None:
    fine, coarse = texels(head_layout(model), 256)
    row, column = np.divmod(fine.place, SIDES * 256)
    assert not ((row >= 256) & (column < 256)).any()
    assert len(coarse.place) == pytest.approx(len(fine.place) / 4, rel=0.02)


def test_texels_interpolate_between_the_corners(model: HeadModel) -> None:
    layout = head_layout(model)
    fine, _ = texels(layout, 256)
    place = np.zeros((len(model.mean), 2))
    inner = np.bincount(layout.point_vertex, minlength=len(place)) == 1
    place[layout.point_vertex] = layout.points
    own = inner[layout.faces[fine.face]].all(axis=1)
    row, column = np.divmod(fine.place[own], SIDES * 256)
    expected = (np.stack([column, row], axis=1) + 0.5) / 256
    np.testing.assert_allclose(fine.spread(place)[own], expected, atol=2e-3)


def test_no_expression_opens_a_seam(model: HeadModel, meshes: dict[str, HeadMesh]) -> None:
    mesh = meshes["cap"]
    assert mesh.binding is not None
    surface = np.flatnonzero(mesh.piece == HeadPiece.SURFACE)
    pairs = surface[cKDTree(mesh.vertices[surface]).query_pairs(1e-3, output_type="ndarray")]
    assert len(pairs) > 100
    for name, basis in zip(model.expression_names, model.expression_basis.numpy(), strict=True):
        moved = mesh.binding.apply(basis)
        gap = np.linalg.norm(moved[pairs[:, 0]] - moved[pairs[:, 1]], axis=1)
        assert gap.max() < 0.5, f"{name} opens {gap.max():.2f} mm"


def test_hair_on_top_stays_where_it_is_when_the_jaw_opens(
    model: HeadModel, meshes: dict[str, HeadMesh]
) -> None:
    jaw = model.expression_basis[model.expression_names.index("jawOpen")].numpy()
    mesh = meshes["cap"]
    assert mesh.binding is not None
    top = (mesh.piece == HeadPiece.HAIR) & (mesh.vertices[:, 1] < -60)
    assert np.linalg.norm(mesh.binding.apply(jaw), axis=1)[top].max() < 1.0


def test_assembly_repeats_exactly(sitters: dict[str, Sitter], meshes: dict[str, HeadMesh]) -> None:
    again = sitters["long"].mesh()
    for name in ("vertices", "faces", "part", "piece", "uv", "texture", "seen"):
        assert np.array_equal(getattr(again, name), getattr(meshes["long"], name)), name
    first, second = again.hair_sheet, meshes["long"].hair_sheet
    assert first is not None
    assert second is not None
    assert np.array_equal(first.texture, second.texture)
    assert np.array_equal(first.vertices, second.vertices)


def test_a_rolled_crop_rolls_the_mesh(sitters: dict[str, Sitter], meshes: dict[str, HeadMesh]) -> None:
    rolled = sitters["cap"].mesh(angle=np.pi / 2)
    for turned, mesh in ((rolled, meshes["cap"]), (rolled.hair_sheet, meshes["cap"].hair_sheet)):
        assert turned is not None
        assert mesh is not None
        x, y, z = mesh.vertices.T
        np.testing.assert_allclose(turned.vertices, np.stack([-y, x, z], axis=1), atol=1e-3)


def test_light_from_one_side_is_taken_out(model: HeadModel) -> None:
    """A plain face painted with the fitted shading gets one colour again."""
    known = sitter(model, "bald")
    shading = 1 + 0.3 * np.tanh(known.head.model_vertices[:, 0] / 30)
    head = known.head
    corners = head.faces[np.where(head.face_index < len(head.faces), head.face_index, 0)]
    light = np.where(head.face_index >= 0, shading[corners].mean(axis=-1), 1.0)
    photo = np.clip(known.picture * np.kron(light, np.ones((2, 2)))[..., None], 0, 255).astype(np.uint8)
    lit = Sitter(replace(head, irradiance=shading), known.labels, known.depth)
    spread = []
    for delight in (False, True):
        mesh = lit.mesh(picture=photo, delight=delight)
        cheeks = mesh.seen & (mesh.part == HeadPart.FACE) & (mesh.piece == 0)
        cheeks &= (np.abs(mesh.vertices[:, 1]) < 20) & (np.abs(mesh.vertices[:, 0]) < 50)
        spread.append(float(mesh.colors[cheeks, 1].astype(float).std()))
    assert spread[1] < 0.6 * spread[0]


def test_only_what_the_photo_shows_is_left_of_the_front(meshes: dict[str, HeadMesh]) -> None:
    mesh = meshes["cap"]
    front = mesh.front_only()
    hair = front.piece == HeadPiece.HAIR
    assert hair.sum() > 500
    assert hair.sum() < 0.5 * (mesh.piece == HeadPiece.HAIR).sum()
    assert len(front.faces) < 0.6 * len(mesh.faces)
