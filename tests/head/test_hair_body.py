"""The hair's body is closed, between front and far side, and nowhere else."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy import ndimage
from scipy.spatial import cKDTree

from portrait3d.geometry import DepthMap
from portrait3d.head.hair_body import BEFORE_EARS, INSET, UNDER, HairBody, grow_body, shown_vertices
from portrait3d.head.hair_view import head_outline
from synthetic_head import THICKNESS, Sitter


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
        before = view.front[tuple(at)] + UNDER - points[:, 2]
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
    assert vertices[beside, 2].min() > BEFORE_EARS - 6


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
    labels[200:207, 20:27] = 2
    valid = known.depth.valid.clone()
    valid[200:207, 20:27] = True
    speckled = replace(known, labels=labels, depth=DepthMap(known.depth.depth, valid, known.depth.camera))
    body = grow_body(speckled.view, known.head)
    assert body is not None
    assert np.ptp(body.vertices[:, 0]) == pytest.approx(np.ptp(bodies["cap"].vertices[:, 0]), abs=4)


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
    assert pixels[:, 0].min() > hair.min() + 0.3 * INSET
    assert pixels[:, 0].max() < hair.max() + 1 - 0.3 * INSET
