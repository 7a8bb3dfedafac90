"""Reading and drawing of artist-made heads, on made-up ones in the same layout."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.data.people.avatars import HELD_OUT, Avatar, draw_avatar, read_avatars
from portrait3d.geometry.camera import Camera
from portrait3d.geometry.pose import Pose
from tiny_avatars import HAIR, SKIN, SKULL, write_avatars

CAMERA = Camera(torch.tensor(400.0), torch.tensor([64.0, 64.0]), 128, 128)
DISTANCE = 1000.0
NAMES = {"Plain_F_1": "short crop", "Long_F_1": "long straight", "Bald_M_1": "bald"}
EVEN_LIGHT = torch.tensor([math.sqrt(4 * math.pi)] + [0.0] * 8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_avatars(tmp_path_factory.mktemp("avatars"), NAMES)


@pytest.fixture(scope="module")
def plain(folder: Path) -> Avatar:
    return read_avatars(folder, ["Plain_F_1"])[0]


def turned(yaw: float) -> Pose:
    angle = torch.tensor(math.radians(yaw))
    return Pose.from_euler(angle, torch.tensor(0.0), torch.tensor(0.0), torch.tensor([0.0, 0.0, DISTANCE]))


def test_all_heads_of_the_index_are_read_with_their_style(folder: Path) -> None:
    heads = read_avatars(folder)
    assert {head.name: head.style for head in heads} == NAMES
    assert [len(head.textures) for head in heads] == [2, 3, 2]


def test_named_heads_come_in_the_order_of_their_names(folder: Path) -> None:
    assert [head.name for head in read_avatars(folder, ["Bald_M_1", "Plain_F_1"])] == [
        "Bald_M_1",
        "Plain_F_1",
    ]


def test_triangles_face_outward(plain: Avatar) -> None:
    corners = plain.vertices[plain.faces[plain.labels == 2]].astype(float)
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    outward = (normal * corners.mean(axis=1)).sum(axis=1)
    assert (outward[area > 1e-3] > 0).all()
    assert float((plain.normals * plain.vertices)[plain.faces[plain.labels == 2]].sum(-1).min()) > 0


def test_the_first_and_the_last_surface_of_an_ellipsoid_have_their_analytic_depth(folder: Path) -> None:
    head = read_avatars(folder, ["Bald_M_1"])[0]
    view = draw_avatar(head, turned(0), CAMERA)
    ray = np.append((CAMERA.pixel_centres()[40, 64].numpy() - 64) / 400, 1.0)
    a, b = ((ray / SKULL) ** 2).sum(), DISTANCE / SKULL[2] ** 2
    root = math.sqrt(b**2 - a * (b * DISTANCE - 1))
    assert view.near[40, 64] == pytest.approx((b - root) / a, abs=1.0)
    assert view.far[40, 64] == pytest.approx((b + root) / a, abs=1.0)


def test_from_the_front_hair_lies_behind_the_face(plain: Avatar) -> None:
    view = draw_avatar(plain, turned(0), CAMERA)
    assert view.classes[50, 64] == view.near_classes[50, 64] == 1
    assert view.far_classes[50, 64] == 2
    behind = draw_avatar(plain, turned(180), CAMERA)
    assert behind.classes[50, 64] == 2
    assert behind.far_classes[50, 64] == 1


def test_neck_and_body_are_seen_but_are_no_part_of_the_head(plain: Avatar) -> None:
    view = draw_avatar(plain, turned(0), CAMERA)
    assert (view.classes[126, [64, 100]] == [6, 7]).all()
    assert np.isfinite(view.depth[126, [64, 100]]).all()
    assert np.isinf([view.near[126], view.far[126]]).all()
    assert not view.near_classes[126].any()
    assert not view.far_classes[126].any()
    assert {6, 7}.isdisjoint(np.unique(view.near_classes))


def test_eyeballs_count_as_face(plain: Avatar) -> None:
    assert 9 in plain.face_class
    assert plain.labels.max() == 7
    assert (plain.labels[plain.face_class == 9] == 1).all()


def test_the_face_turns_to_the_right_of_the_picture_at_yaw_above_zero(plain: Avatar) -> None:
    view = draw_avatar(plain, turned(40), CAMERA)
    columns = {label: np.nonzero(view.near_classes == label)[1] for label in (1, 2, 3, 4)}
    assert columns[1].mean() > columns[2].mean()
    assert len(columns[3]) > len(columns[4])


def test_a_mirrored_head_at_the_mirrored_pose_gives_the_mirrored_picture(folder: Path) -> None:
    head = read_avatars(folder, ["Long_F_1"])[0]
    head.vertices[:, 0] += 7.0
    view = draw_avatar(head, turned(30), CAMERA)
    other = draw_avatar(head, turned(-30), CAMERA, mirrored=True)
    swapped = np.array([0, 1, 2, 4, 3, 5, 6, 7, 8])[other.classes[:, ::-1]]
    # A pixel's centre right on an edge may go to the other side.
    assert (view.classes == swapped).mean() > 0.999
    assert (view.picture - other.picture.flip(-1)).abs().mean() < 1e-3
    assert {3, 4} & set(np.unique(other.classes)) == {4}


def test_colours_are_those_of_the_texture_of_the_material(folder: Path) -> None:
    plain, long, _ = read_avatars(folder)
    behind = draw_avatar(plain, turned(180), CAMERA).picture * 255
    front = draw_avatar(plain, turned(0), CAMERA).picture * 255
    assert (front[:, 50, 64] - torch.tensor(SKIN)).abs().max() < 4
    assert (behind[:, 50, 64] - torch.tensor(HAIR)).abs().max() < 4
    own_mesh = draw_avatar(long, turned(180), CAMERA).picture * 255
    assert (own_mesh[:, 90, 64] - torch.tensor(HAIR)).abs().max() < 4


def test_light_that_is_even_shows_the_texture_and_light_from_the_left_is_brighter_there(
    plain: Avatar,
) -> None:
    without = draw_avatar(plain, turned(0), CAMERA).picture
    torch.testing.assert_close(draw_avatar(plain, turned(0), CAMERA, light=EVEN_LIGHT).picture, without)
    from_left = EVEN_LIGHT.clone()
    from_left[3] = -1.0
    lit = draw_avatar(plain, turned(0), CAMERA, light=from_left).picture[:, 50]
    assert lit[0, 45] > without[0, 50, 45] > without[0, 50, 83] - 1e-3
    assert lit[0, 83] < without[0, 50, 83]


def test_light_falls_on_the_side_of_a_triangle_that_is_seen(plain: Avatar) -> None:
    light = EVEN_LIGHT.clone()
    light[2] = -1.0
    inside_out = replace(plain, faces=plain.faces[:, ::-1].copy())
    a, b = (draw_avatar(head, turned(0), CAMERA, light=light).picture for head in (plain, inside_out))
    torch.testing.assert_close(a, b, atol=1e-3, rtol=0)


def test_several_samples_soften_the_outline_over_the_background_alone(plain: Avatar) -> None:
    background = torch.zeros(3, 128, 128)
    background[1] = 1.0
    hard, soft = (
        draw_avatar(plain, turned(0), CAMERA, background=background, samples=samples) for samples in (1, 2)
    )
    assert torch.equal(soft.picture[:, 0, 0], background[:, 0, 0])
    np.testing.assert_array_equal(hard.classes, soft.classes)
    change = (hard.picture - soft.picture).abs().amax(0).numpy() > 0.05
    assert change.any()
    silhouette = hard.classes > 0
    inner = ndimage.binary_erosion(silhouette, iterations=2)
    outer = ~ndimage.binary_dilation(silhouette, iterations=2)
    assert not (change & outer).any()
    assert not (change & inner & (hard.near_classes == 1)).any()


def test_expressions_move_their_vertices_alone(plain: Avatar) -> None:
    moved = plain.expressed({"nod": 0.5, "sneer": 1.0}).vertices - plain.vertices
    np.testing.assert_allclose(moved[[0, 1, 5]], [[0, 0.5, 0], [0, 1, 0], [3, 0, 0]], atol=1e-5)
    assert np.abs(np.delete(moved, [0, 1, 5], axis=0)).max() == 0
    with pytest.raises(KeyError):
        plain.expressed({"wink": 1.0})


def test_every_style_of_the_library_has_a_head_held_out() -> None:
    assert len(set(HELD_OUT)) == 10


def test_missing_files_and_unknown_heads_are_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"index\.csv is missing"):
        read_avatars(tmp_path)
    with pytest.raises(ValueError, match="doesn't list Nobody"):
        read_avatars(folder, ["Plain_F_1", "Nobody"])
    incomplete = write_avatars(tmp_path / "incomplete", NAMES)
    (incomplete / "Long_F_1_hair.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"Long_F_1_hair\.jpg"):
        read_avatars(incomplete)
    (incomplete / "Plain_F_1.npz").write_bytes(b"not a mesh")
    with pytest.raises(ValueError, match=r"Plain_F_1\.npz is no mesh"):
        read_avatars(incomplete)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("faces", lambda faces: faces + 1, "vertices that don't exist"),
        ("uv", lambda uv: uv[1:], "uv has the shape"),
        ("vertices", lambda vertices: vertices * np.nan, "not finite"),
        ("face_class", lambda classes: classes + 11, "face_class goes beyond"),
        ("face_material", lambda material: material + 3, "at most"),
    ],
)
def test_arrays_that_contradict_each_other_are_refused(tmp_path: Path, name, change, message: str) -> None:
    folder = write_avatars(tmp_path, {"One": "bald"})
    with np.load(folder / "One.npz") as table:
        arrays = dict(table)
    np.savez(folder / "One.npz", **{**arrays, name: change(arrays[name])})
    with pytest.raises(ValueError, match=message):
        read_avatars(folder)
