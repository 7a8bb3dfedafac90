"""The hair's body is closed, between front and far side, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.skin import normals
from portrait3d.head import hair_body
from portrait3d.head.hair_body import (
    LIMITS,
    BodyGrid,
    HairBody,
    bare_ears,
    body_field,
    body_limits,
    carve,
    ear_plane,
    grow_body,
    largest_pieces,
    shown_vertices,
    small_islands,
    sunk,
)
from portrait3d.head.hair_view import head_outline
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import THICKNESS, Sitter, fitted_head, sitter


@pytest.fixture(scope="module")
def bodies(sitters: dict[str, Sitter]) -> dict[str, HairBody]:
    grown = {style: grow_body(known.view, known.head) for style, known in sitters.items()}
    return {style: body for style, body in grown.items() if body is not None}


def test_every_head_but_the_bald_one_has_a_body(
    bodies: dict[str, HairBody], sitters: dict[str, Sitter]
) -> None:
    assert set(bodies) == set(sitters) - {"bald"}


def test_bodies_are_closed_and_wound_outward(bodies: dict[str, HairBody]) -> None:
    for style, body in bodies.items():
        mesh = trimesh.Trimesh(body.vertices, body.faces, process=False)
        assert mesh.is_watertight, style
        assert mesh.volume > 1e5, style


def test_the_body_lies_behind_the_photographed_hair_and_within_the_outline(
    bodies: dict[str, HairBody], sitters: dict[str, Sitter]
) -> None:
    for style, body in bodies.items():
        known = sitters[style]
        view = known.view
        points = known.head.to_camera(body.vertices)
        at = np.floor(view.pixels(points)).astype(int).clip(0, view.size - 1).T[::-1]
        inner = ndimage.binary_erosion(view.hair, iterations=5)[tuple(at)]
        before = view.front[tuple(at)] + LIMITS.under - points[:, 2]
        assert inner.sum() > 500
        assert np.quantile(before[inner], 0.99) < 1.5 * body.voxel, style
        beyond = ndimage.distance_transform_edt(~head_outline(view.labels))[tuple(at)]
        assert beyond.max() < body.voxel / view.millimetres + 1, style


def test_its_far_side_is_the_predicted_one(bodies: dict[str, HairBody], sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    head = known.head
    skin = head.model_vertices[np.unique(head.faces)]
    back = (skin[:, 2] > 90) & (skin[:, 1] < 10) & (np.abs(skin[:, 0]) < 35)
    gap, _ = cKDTree(bodies["cap"].vertices).query(skin[back])
    assert np.median(gap) == pytest.approx(THICKNESS, abs=4.0)


def test_hair_does_not_come_out_of_the_cheeks_side(bodies: dict[str, HairBody]) -> None:
    vertices = bodies["cap"].vertices
    beside = (vertices[:, 1] > 0) & (vertices[:, 1] < 60)
    assert beside.sum() > 50
    assert vertices[beside, 2].min() > LIMITS.before_ears - 6


def test_hair_does_not_stand_in_the_mouth(bodies: dict[str, HairBody], sitters: dict[str, Sitter]) -> None:
    for style, body in bodies.items():
        head = sitters[style].head
        cavity = np.unique(head.layout.faces[head.layout.piece == HeadPiece.MOUTH_CAVITY])
        wall = head.model_vertices[cavity]
        # All of the mouth from its middle to its walls: between open lips one would see hair.
        mouth = np.concatenate([wall.mean(axis=0) + share * (wall - wall.mean(axis=0)) for share in (0.5, 1)])
        assert body.inside(mouth).max() < 0, style


def test_hair_keeps_clear_of_bare_ears_and_not_of_covered_ones(
    bodies: dict[str, HairBody], sitters: dict[str, Sitter]
) -> None:
    bare = {style: bare_ears(known.head, known.view) for style, known in sitters.items()}
    ears = sitters["cap"].head.model_vertices[bare["cap"]]
    assert cKDTree(ears).query(bodies["cap"].vertices)[0].min() > 1.0
    assert bare["cap"].sum() > 2 * bare["half-covered ears"].sum() > 100
    assert not bare["long"].any()
    head = sitters["cap"].head
    aside = normals(head.model_vertices, head.faces)[:, 0] * np.sign(head.model_vertices[:, 0])
    assert aside[bare["cap"]].min() > 0, "behind an ear may be hair"


def test_what_is_near_some_points_is_taken_out_of_a_body_and_the_rest_stays() -> None:
    field = np.full((14, 14, 14), 5.0)
    carve(field, np.array([-30.0, 0.0, 0.0]), 2.0, np.array([[-17.0, 13.0, 13.0]]))
    away = np.linalg.norm(2.0 * np.moveaxis(np.indices(field.shape), 0, -1) - 13.0, axis=-1)
    assert np.allclose(field, np.minimum(5.0, away - LIMITS.around_ears))


def test_of_two_ears_one_behind_the_other_the_near_one_is_bare(model: HeadModel) -> None:
    known = sitter(model, "cap", yaw=80.0)
    bare = bare_ears(known.head, known.view)
    depth = known.head.vertices[:, 2]
    assert bare.any()
    assert depth[bare].max() < depth[known.head.ears_mask > 0.5].mean()


def test_hanging_hair_reaches_behind_the_neck(bodies: dict[str, HairBody]) -> None:
    low = bodies["long"].vertices
    low = low[low[:, 1] > 90]
    assert len(low) > 100
    assert bodies["cap"].vertices[:, 1].max() < 60


def test_hair_behind_the_neck_of_which_front_and_back_are_one_is_no_hole(sitters: dict[str, Sitter]) -> None:
    known = sitters["long"]
    body = grow_body(replace(known.view, hidden=known.view.back), known.head)
    assert body is not None
    behind = np.stack(np.meshgrid(np.linspace(-15, 15, 7), np.linspace(60, 100, 9)), -1).reshape(-1, 2)
    deep = [body.inside(np.column_stack([behind, np.full(len(behind), z)])) for z in np.arange(60, 150, 2.0)]
    assert (np.max(deep, axis=0) > 1).all()


def test_a_loose_speck_of_hair_is_dropped(sitters: dict[str, Sitter], bodies: dict[str, HairBody]) -> None:
    known = sitters["cap"]
    labels = known.labels.copy()
    labels[198:209, 18:29] = 2
    body = grow_body(replace(known, labels=labels).view, known.head)
    assert body is not None
    assert np.ptp(body.vertices[:, 0]) == pytest.approx(np.ptp(bodies["cap"].vertices[:, 0]), abs=4)


def test_a_dot_of_hair_that_comes_out_of_the_cheek_goes_below_the_skin(sitters: dict[str, Sitter]) -> None:
    model = sitters["cap"].head
    skin, outward = model.model_vertices, normals(model.model_vertices, model.faces)
    cheek = int(np.argmin(np.linalg.norm(skin - [50.0, 20.0, 20.0], axis=1)))
    dot = trimesh.creation.icosphere(2, 5.0)
    vertices = dot.vertices + skin[cheek] - 4.0 * outward[cheek]
    assert ((vertices - skin[cheek]) @ outward[cheek]).max() > 0.9
    moved = sunk(vertices, dot.faces.astype(np.int64), model)
    assert ((moved - skin[cheek]) @ outward[cheek]).max() < -0.8
    # What lies deeper stays where it is.
    deep = (vertices - skin[cheek]) @ outward[cheek] < -4
    np.testing.assert_array_equal(moved[deep], vertices[deep])


@pytest.mark.parametrize(
    ("radius", "up", "small"), [(5.0, 0.0, False), (5.0, -3.0, True), (30.0, -28.0, False)]
)
def test_what_comes_out_is_an_island_only_if_it_is_small_and_low(
    radius: float, up: float, *, small: bool
) -> None:
    ball = trimesh.creation.icosphere(4, radius)
    height = np.asarray(ball.vertices[:, 2] + up)
    found = small_islands(np.asarray(ball.vertices), ball.faces.astype(np.int64), height)
    np.testing.assert_array_equal(found, (height > 0) & small)


def test_the_field_tells_inside_from_outside(bodies: dict[str, HairBody]) -> None:
    body = bodies["cap"]
    inner = body.vertices - 2.5 * body.normals
    outer = body.vertices + 2.5 * body.normals
    assert (body.inside(inner) > 0).mean() > 0.95
    assert (body.inside(outer) < 0).mean() > 0.95
    assert body.inside(np.array([[0.0, 0.0, 900.0]]))[0] < 0


def test_the_photo_shows_the_bodys_front_alone(
    bodies: dict[str, HairBody], sitters: dict[str, Sitter]
) -> None:
    known, body = sitters["cap"], bodies["cap"]
    shown = shown_vertices(known.view, known.head, body)
    assert shown.sum() > 1000
    assert body.vertices[shown, 2].max() < 60
    assert (body.normals[shown, 2] < 0.2).all()


def test_the_body_stays_inside_see_through_rims(
    sitters: dict[str, Sitter], bodies: dict[str, HairBody]
) -> None:
    view = sitters["cap"].view
    hair = np.nonzero(view.hair.any(axis=0))[0]
    pixels = view.pixels(sitters["cap"].head.to_camera(bodies["cap"].vertices))
    assert pixels[:, 0].min() > hair.min() + 0.3 * LIMITS.inset
    assert pixels[:, 0].max() < hair.max() + 1 - 0.3 * LIMITS.inset


def test_hair_behind_what_the_photo_shows_begins_inside_the_head_or_behind_clothes(
    sitters: dict[str, Sitter],
) -> None:
    known = sitters["cap"]
    view = replace(known.view, hidden=known.view.hidden + 300, back=known.view.back + 600)
    begin, _, _ = body_limits(view, known.head)
    bare = ~view.hair & np.isfinite(view.skin)
    neck = view.labels == ParsingClass.NECK
    assert (begin[bare] > view.skin[bare] + LIMITS.buried - 0.01).all()
    assert (begin[neck] > view.hidden[neck] - 0.01).all()
    assert (begin < view.hidden)[bare & ~neck].all()


def test_a_ray_along_the_plane_of_the_ears_does_not_end_at_it(
    sitters: dict[str, Sitter], model: HeadModel
) -> None:
    view = sitters["cap"].view
    assert ear_plane(view, sitters["cap"].head)[128, 128] == pytest.approx(900 + LIMITS.before_ears)
    assert not ear_plane(view, fitted_head(model, yaw=88))[120:136, 120:136].any()


def test_hair_reaches_the_far_side_where_that_is_hair_and_is_a_locks_thickness_elsewhere(
    sitters: dict[str, Sitter],
) -> None:
    known = sitters["cap"]
    view = known.view
    inner = ndimage.binary_erosion(view.hair, iterations=12)
    for share in (0.0, 1.0):
        begin, end, _ = body_limits(replace(view, back_is_hair=np.full_like(view.back, share)), known.head)
        if share:
            assert (end >= view.back - 0.01)[inner].all()
        else:
            assert (end > begin + LIMITS.thickness - 0.01)[inner].all()
            assert np.median((end - begin)[inner]) < LIMITS.thickness + 5
        assert ((end > begin)[~view.hair & np.isfinite(view.skin)]).any() == bool(share)


def test_a_lock_that_falls_off_steeply_is_as_thick_as_its_neighbours_are_deep(
    sitters: dict[str, Sitter],
) -> None:
    known = sitters["cap"]
    view = known.view
    steep = replace(view, front=900 + 20.0 * np.indices(view.hair.shape)[1], back_is_hair=0 * view.back)
    begin, end, _ = body_limits(steep, known.head)
    inner = ndimage.binary_erosion(view.hair, iterations=LIMITS.step)
    np.testing.assert_allclose((end - begin)[inner], 20 * (LIMITS.step // 2) + LIMITS.thickness, atol=0.01)


def test_the_bodys_edges_are_round(bodies: dict[str, HairBody]) -> None:
    mesh = trimesh.Trimesh(bodies["cap"].vertices, bodies["cap"].faces, process=False)
    assert np.quantile(mesh.face_adjacency_angles, 0.99) < np.radians(40)


def test_there_is_no_hair_beyond_the_crop(sitters: dict[str, Sitter]) -> None:
    view = sitters["cap"].view
    limits = np.stack([np.full(view.hair.shape, depth, np.float32) for depth in (900, 1000, 50)])
    points = view.rays(np.array([128.0, 128.0]), np.array([128.0, -20.0])) * 950
    assert body_field(view, limits, points).tolist() == [LIMITS.clear, -LIMITS.clear]


def test_large_heads_of_hair_are_sampled_more_coarsely(
    sitters: dict[str, Sitter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hair_body, "GRID", BodyGrid(most_voxels=20_000))
    body = grow_body(sitters["long"].view, sitters["long"].head)
    assert body is not None
    assert body.field.size < 40_000


def test_pieces_are_wound_outward_whatever_they_were() -> None:
    ball = trimesh.creation.icosphere(subdivisions=1)
    for faces in (ball.faces, ball.faces[:, ::-1]):
        vertices, kept = largest_pieces(ball.vertices, np.ascontiguousarray(faces))
        assert trimesh.Trimesh(vertices, kept, process=False).volume > 3


def test_what_lies_deep_in_the_body_is_not_shown(
    sitters: dict[str, Sitter], bodies: dict[str, HairBody]
) -> None:
    known, body = sitters["cap"], bodies["cap"]
    nearer = replace(known.view, front=known.view.front - 3 * body.voxel)
    assert (
        shown_vertices(nearer, known.head, body).sum()
        < 0.1 * shown_vertices(known.view, known.head, body).sum()
    )


def test_the_outlines_own_pixels_are_at_the_bodys_limit(sitters: dict[str, Sitter]) -> None:
    view = sitters["cap"].view
    _, _, inside = body_limits(view, sitters["cap"].head)
    rim = view.inside & ~ndimage.binary_erosion(view.inside, np.ones((3, 3)), iterations=1)
    distance = ndimage.distance_transform_edt(view.inside)
    np.testing.assert_allclose(inside[rim], (distance[rim] - LIMITS.inset) * view.millimetres, atol=1e-3)
    assert (inside[rim & (distance <= 1)] <= 0).all()


def test_only_what_faces_the_camera_is_shown(bodies: dict[str, HairBody], sitters: dict[str, Sitter]) -> None:
    for style, body in bodies.items():
        head = sitters[style].head
        shown = shown_vertices(sitters[style].view, head, body)
        points = head.to_camera(body.vertices)
        facing = (normals(points, body.faces) * points).sum(axis=1) < 0
        assert (facing | ~shown).all(), style
        assert (facing & ~shown).any()
