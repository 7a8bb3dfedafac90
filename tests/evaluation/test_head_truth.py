"""Distances between reconstructions and artist-made heads, where the answer is known: the true head itself,
changed in one way at a time."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.cli.heads import measure
from portrait3d.data.people.avatars import HELD_OUT, Avatar, avatar_mesh, read_avatars
from portrait3d.errors import NoFaceError
from portrait3d.evaluation.heads.pictures import HeadPair, compare_pictures
from portrait3d.evaluation.heads.report import ERRORS, Failure, MeasuredHead, by_style, measure_heads
from portrait3d.evaluation.heads.simpler_depth import FittedDepth, FrontDepth
from portrait3d.evaluation.heads.truth import AvatarPhoto, azimuths, measure_head, photograph, true_surface
from portrait3d.evaluation.surfaces import Surface, outer_surface, sample_surface, turned
from portrait3d.geometry.mesh import Binding, HeadMesh, HeadPart, SeeThrough, welded_normals
from portrait3d.geometry.similarity import Similarity
from portrait3d.geometry.skin import HEAD_CENTRE
from portrait3d.models.depth_net import DepthNet
from portrait3d.pipeline import Portrait3D
from tiny_avatars import ellipsoid, write_avatars

NAMES = {"Plain_F_1": "short crop", "Long_F_1": "long straight", "Bald_M_1": "bald"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_avatars(tmp_path_factory.mktemp("avatars"), NAMES)


@pytest.fixture(scope="module")
def avatars(folder: Path) -> dict[str, Avatar]:
    return {avatar.style: avatar for avatar in read_avatars(folder)}


@pytest.fixture(scope="module")
def truths(avatars: dict[str, Avatar]) -> dict[str, Surface]:
    return {style: true_surface(avatar) for style, avatar in avatars.items()}


def true_head(photo: AvatarPhoto) -> HeadMesh:
    return avatar_mesh(photo.avatar, photo.camera_from_avatar)


def inflated(head: HeadMesh, part: HeadPart, by: float) -> HeadMesh:
    """A part of the head pushed out by so many mm."""
    normals = welded_normals(head.vertices, head.faces)
    return replace(head, vertices=head.vertices + by * normals * (head.part == part)[:, None])


def without(head: HeadMesh, faces: np.ndarray) -> HeadMesh:
    return replace(head, faces=head.faces[~faces])


def pair_of(head: HeadMesh, photo: AvatarPhoto, truth: Surface) -> HeadPair:
    return HeadPair.of(photo, head, measure_head(head, photo.camera, photo, truth)[1])


def brightness(image: torch.Tensor) -> list[torch.Tensor]:
    """Features that anybody has."""
    return [torch.nn.functional.avg_pool2d(image, 8)]


# Surfaces


def test_samples_are_spread_by_area_and_carry_normal_and_label_of_their_triangle() -> None:
    vertices = np.array([[0, 0, 0], [60, 0, 0], [0, 60, 0], [0, 0, 20], [0, 60, 20]], np.float32)
    faces = np.array([[0, 1, 2], [0, 3, 4]])
    samples = sample_surface(vertices, faces, np.array([1, 2], np.uint8), density=2.0)
    flat, upright = samples.of(1), samples.of(2)
    assert len(samples.points) == 2 * (1800 + 600)
    assert len(flat.points) == pytest.approx(3600, rel=0.03)
    np.testing.assert_allclose(flat.normals, np.tile([0, 0, 1], (len(flat.normals), 1)))
    np.testing.assert_allclose(flat.points.mean(axis=0), [20, 20, 0], atol=1)
    assert (np.abs(upright.normals[:, 0]) == 1).all()
    again = sample_surface(vertices, faces, np.array([1, 2], np.uint8), density=2.0)
    np.testing.assert_array_equal(again.points, samples.points)


def test_the_distance_of_parallel_planes_is_theirs_and_that_of_a_surface_to_itself_is_none() -> None:
    corners = np.array([[0, 0, 0], [99, 0, 0], [0, 99, 0], [99, 99, 0]], np.float32)
    faces, labels = np.array([[0, 1, 2], [1, 3, 2]]), np.ones(2, np.uint8)
    plane = sample_surface(corners, faces, labels)
    above = sample_surface(corners[:, [1, 0, 2]] + np.array([0, 0, 7], np.float32), faces, labels)
    assert plane.distance_to(above) == pytest.approx(7, abs=0.05)
    assert plane.distance_to(sample_surface(corners[[1, 3, 0, 2]], faces, labels)) < 0.05
    assert math.isnan(plane.distance_to(plane.of(9)))
    assert math.isnan(plane.of(9).distance_to(plane))


def test_only_the_outermost_of_nested_surfaces_is_outer() -> None:
    (outside, faces), (inside, _) = ellipsoid((0, 0, 0), (80, 110, 90)), ellipsoid((0, 0, 0), (70, 100, 80))
    vertices = np.concatenate([outside, inside]).astype(np.float32)
    triangles = np.concatenate([faces, faces + len(outside)])
    samples = sample_surface(vertices, triangles, np.repeat([1, 2], len(faces)).astype(np.uint8))
    outer = outer_surface(samples, vertices, triangles)
    from_above = samples.points[:, 1] < 60
    assert outer[(samples.labels == 1) & from_above].mean() > 0.99
    assert not outer[samples.labels == 2].any()


def test_a_similarity_is_found_from_pairs() -> None:
    points = np.random.default_rng(0).normal(size=(50, 3)) * 40
    angle = 0.4
    rotation = np.array(
        [[math.cos(angle), 0, math.sin(angle)], [0, 1, 0], [-math.sin(angle), 0, math.cos(angle)]]
    )
    true = Similarity(1.2, rotation, np.array([3.0, -50.0, 900.0]))
    found = Similarity.between(points, true.apply(points))
    assert found.scale == pytest.approx(1.2)
    np.testing.assert_allclose(found.apply(points), true.apply(points), atol=1e-9)


# Photos


def test_the_photo_shows_the_whole_head_and_shoulders(avatars: dict[str, Avatar]) -> None:
    for yaw in (0.0, 25.0, -40.0):
        classes = photograph(avatars["long straight"], yaw).view.classes
        assert not np.isin(classes[[0, -1]], (1, 2, 3, 4)).any()
        assert not np.isin(classes[:, [0, -1]], (1, 2, 3, 4)).any()
        assert (classes == 7).any()


def test_the_light_stays_on_the_head_when_the_true_one_is_turned(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    pair = pair_of(true_head(photo), photo, truths["bald"])
    shades = []
    for yaw in (-30.0, 0.0, 30.0):
        pose, camera = pair._view(yaw, 256)
        column, row = camera.project(pose.apply(torch.tensor([[0.0, -40.0, -89.1]])))[0].int().tolist()
        shades.append(pair.draw_true(yaw).colours[row, column].astype(int))
    assert np.ptp(shades, axis=0).max() <= 2


def test_hair_counts_as_far_down_as_the_photo_shows_it(avatars: dict[str, Avatar]) -> None:
    bald, long = (photograph(avatars[style], 0.0) for style in ("bald", "long straight"))
    assert bald.hair_end == bald.chin[1] == pytest.approx(115, abs=1)
    lowest = long.avatar.vertices[long.avatar.faces[long.avatar.labels == 2], 1].max()
    assert long.chin[1] + 10 < long.hair_end < lowest - 10


# Errors


@pytest.mark.parametrize(("style", "yaw"), [("short crop", -40.0), ("long straight", 0.0), ("bald", 25.0)])
def test_the_true_head_itself_has_no_errors(avatars, truths, style: str, yaw: float) -> None:
    photo = photograph(avatars[style], yaw)
    errors, motion = measure_head(true_head(photo), photo.camera, photo, truths[style])
    assert errors.size == pytest.approx(1, abs=1e-4)
    known = [value for value in asdict(errors).values() if not math.isnan(value)]
    assert len(known) >= 4
    assert max(error for error in known if error != errors.size) < 0.15
    pictures = compare_pictures(HeadPair.of(photo, true_head(photo), motion), brightness)
    assert min(pictures.outline_90, pictures.outline_180) > 0.99
    assert pictures.colour < 40, "the texture has no light in it"


def test_size_is_no_error(avatars, truths) -> None:
    photo = photograph(avatars["short crop"], 25.0)
    head = true_head(photo)
    small = replace(head, vertices=head.vertices * np.float32(0.8))
    errors, motion = measure_head(small, photo.camera, photo, truths["short crop"])
    assert errors.size == pytest.approx(0.8, abs=1e-3)
    assert max(errors.hair_seen, errors.unseen, errors.face, errors.ears) < 0.15
    pictures = compare_pictures(HeadPair.of(photo, small, motion), brightness)
    assert min(pictures.outline_90, pictures.outline_180) > 0.99


def test_hair_that_is_too_thick_is_off_by_as_much(avatars, truths) -> None:
    photo = photograph(avatars["long straight"], 0.0)
    head = true_head(photo)
    errors, motion = measure_head(
        inflated(head, HeadPart.HAIR, 5.0), photo.camera, photo, truths["long straight"]
    )
    assert errors.hair_seen == pytest.approx(5, abs=0.4)
    assert errors.unseen == pytest.approx(5, abs=0.6)
    assert errors.hair_predicted == pytest.approx(5, abs=0.6)
    assert errors.face < 0.15
    pictures = compare_pictures(HeadPair.of(photo, inflated(head, HeadPart.HAIR, 5.0), motion), brightness)
    assert pictures.outline_90 < 0.97
    assert pictures.outline_180 < 0.97


def test_what_lies_below_the_hair_is_no_match_for_it(avatars, truths) -> None:
    photo = photograph(avatars["short crop"], 0.0)
    head = true_head(photo)
    wig, triangles = ellipsoid((0, 0, 30), (90, 130, 95))
    wig = photo.camera_from_avatar.apply(torch.from_numpy(wig).float()).numpy()
    above = HeadMesh(
        vertices=np.concatenate([head.vertices, wig]),
        faces=np.concatenate([head.faces, triangles + len(head.vertices)]),
        part=np.concatenate([head.part, np.full(len(wig), HeadPart.HAIR, np.uint8)]),
        uv=np.concatenate([head.uv, np.zeros((len(wig), 2), np.float32)]),
        texture=head.texture,
    )
    own_hair = np.append(head.part[head.faces[:, 0]] == HeadPart.HAIR, np.zeros(len(triangles), bool))
    hidden, alone = (
        measure_head(one, photo.camera, photo, truths["short crop"])[0]
        for one in (above, without(above, own_hair))
    )
    assert alone.unseen > 5
    assert hidden.unseen == pytest.approx(alone.unseen, rel=0.05)


def test_each_part_that_is_missing_shows_in_its_own_number(avatars, truths) -> None:
    photo = photograph(avatars["short crop"], -40.0)
    head, truth = true_head(photo), truths["short crop"]
    whole, _ = measure_head(head, photo.camera, photo, truth)
    part = head.part[head.faces[:, 0]]
    earless, _ = measure_head(without(head, part == HeadPart.EAR), photo.camera, photo, truth)
    hairless, _ = measure_head(without(head, part == HeadPart.HAIR), photo.camera, photo, truth)
    assert earless.ears > whole.ears + 2
    assert earless.unseen < 0.5
    assert hairless.unseen > 10
    assert min(hairless.unseen_sides, hairless.unseen_back) > 5
    assert hairless.hair_seen > 10
    assert math.isnan(hairless.hair_predicted)
    assert hairless.face < 0.15


def test_azimuths_count_from_the_camera_whatever_way_the_head_looks() -> None:
    directions = np.array([[0, 0, -80], [80, 0, 0], [-80, 0, 0], [0, 0, 80]], float)
    ahead = azimuths(HEAD_CENTRE + directions, turned(0.0, 0.0, np.zeros(3), 1000.0))
    assert np.allclose(ahead, [0, 90, 90, 180], atol=0.1)
    aside = azimuths(HEAD_CENTRE + directions, turned(90.0, 0.0, np.zeros(3), 1000.0))
    assert np.allclose(aside[[0, 3]], 90, atol=0.1)
    assert sorted(aside[1:3].round()) == [0, 180]


def test_a_bald_heads_back_counts_as_unseen(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    head = true_head(photo)
    behind = photo.camera_from_avatar.inverse().apply(torch.from_numpy(head.vertices))[:, 2].numpy() > 40
    flat = replace(
        head, vertices=head.vertices - np.where(behind, 30, 0)[:, None] * np.array([0, 0, 1], np.float32)
    )
    errors, _ = measure_head(flat, photo.camera, photo, truths["bald"])
    assert errors.unseen > 5
    assert errors.unseen_back > errors.unseen_sides + 5
    assert math.isnan(errors.hair_seen)


def test_without_a_face_in_the_faces_place_there_is_an_error(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    head = true_head(photo)
    aside = replace(head, vertices=head.vertices + np.array([400, 0, 0], np.float32))
    with pytest.raises(ValueError, match="no face where the photo does"):
        measure_head(aside, photo.camera, photo, truths["bald"])


# Pictures


def test_the_length_of_the_neck_does_not_count(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    head = true_head(photo)
    height = photo.camera_from_avatar.inverse().apply(torch.from_numpy(head.vertices))[:, 1].numpy()
    short = without(head, height[head.faces].min(axis=1) > 118)
    pictures = compare_pictures(pair_of(short, photo, truths["bald"]), brightness)
    assert min(pictures.outline_90, pictures.outline_180) > 0.99


def test_a_neck_of_another_width_does_not_count(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    head = true_head(photo)
    points = photo.camera_from_avatar.inverse().apply(torch.from_numpy(head.vertices)).numpy()
    neck = (points[:, 1] > 100) & (points[:, 2] > 30)
    points[neck, 0] *= 1.3
    wide = photo.camera_from_avatar.apply(torch.from_numpy(points)).numpy()
    pictures = compare_pictures(pair_of(replace(head, vertices=wide), photo, truths["bald"]), brightness)
    assert min(pictures.outline_90, pictures.outline_180) > 0.99


def test_shoulders_above_the_chin_are_not_drawn(avatars, truths) -> None:
    raised = replace(avatars["bald"], vertices=avatars["bald"].vertices.copy())
    shoulders = np.unique(raised.faces[raised.labels == 7])
    raised.vertices[shoulders, 1] -= 100 * (np.abs(raised.vertices[shoulders, 0]) > 120)
    photo = photograph(raised, 0.0)
    pair = pair_of(true_head(photo), photo, truths["bald"])
    assert np.abs(pair.true.vertices[pair.true.faces][..., 0]).max() < 100


def test_see_through_hair_is_part_of_the_outline(avatars, truths) -> None:
    photo = photograph(avatars["bald"], 0.0)
    head = true_head(photo)
    plume = np.array([[0, -200, 0], [0, -90, -60], [0, -90, 60]], np.float32)
    texture = np.full((2, 2, 4), 255, np.uint8)
    hair = SeeThrough(
        vertices=photo.camera_from_avatar.apply(torch.from_numpy(plume)).numpy(),
        faces=np.array([[0, 1, 2]]),
        uv=np.full((3, 2), 0.5, np.float32),
        texture=texture,
        binding=Binding.to_vertices(np.zeros(3, np.int64)),
    )
    plain, plumed = (
        compare_pictures(pair_of(one, photo, truths["bald"]), brightness)
        for one in (head, replace(head, hair_sheet=hair))
    )
    assert plumed.outline_90 < plain.outline_90 - 0.03
    assert plumed.outline_180 == pytest.approx(plain.outline_180, abs=0.01), "seen edge-on"


def test_other_colours_differ_in_colour_and_features_alone(avatars, truths) -> None:
    photo = photograph(avatars["short crop"], 0.0)
    head = true_head(photo)
    other = replace(head, texture=255 - head.texture)
    a, b = (compare_pictures(pair_of(one, photo, truths["short crop"]), brightness) for one in (head, other))
    assert b.colour > a.colour + 20
    assert b.features > a.features
    assert a.outline_90 == pytest.approx(b.outline_90, abs=1e-3)
    assert a.outline_180 == pytest.approx(b.outline_180, abs=1e-3)


# Report


def crops(labels: np.ndarray) -> tuple[torch.Tensor, ...]:
    """Colours, labels, a fitted ball's surfaces, its mask and its middle's depth."""
    y, x = np.mgrid[:64, :64] - 31.5
    height = np.sqrt(np.maximum(24.0**2 - x**2 - y**2, 0))[None, None].astype(np.float32)
    ball = torch.from_numpy(height)
    given = torch.from_numpy(labels)[None, None]
    return torch.zeros(1, 3, 64, 64), given, 1000 - ball, 1000 + ball, ball > 0, torch.tensor([1000.0])


def test_simpler_depths_put_hair_around_the_fitted_head_and_keep_the_learned_front() -> None:
    labels = np.ones((64, 64), np.uint8)
    labels[:32] = 2
    given = crops(labels)
    _, _, near, far, *_ = given
    net = DepthNet((8, 8), 64).eval()
    with torch.no_grad():
        learned, fitted = net(*given), FittedDepth(net)(*given)
        front = FrontDepth(net)(*given)
    hair = given[1] == 2
    assert torch.equal(fitted.front, near - 15.0 * hair)
    assert torch.equal(front.front, learned.front)
    thickness = float((near - learned.front).clamp(min=0)[hair].mean())
    assert thickness > 0
    for found, thick in ((fitted, 15.0), (front, thickness)):
        assert (found.hair_logit > 0).all(), "hair goes on behind the face"
        assert torch.allclose(found.back, torch.maximum(far + thick, found.front), atol=1e-3)
    bald = (given[0], torch.ones_like(given[1]), *given[2:])
    assert (FittedDepth(net)(*bald).hair_logit < 0).all()
    assert torch.equal(FittedDepth(net)(*bald).back, far)
    assert FittedDepth(net).size == FrontDepth(net).size == 64


class PerfectModel(Portrait3D):
    """Knows the truth, unless the photo is the one that it finds no face in."""

    def __init__(self, photos: list[AvatarPhoto], faceless: tuple[str, float] | None = None) -> None:
        self.photos, self.faceless = photos, faceless

    def reconstruct(self, photo: np.ndarray) -> SimpleNamespace:  # pyright: ignore[reportIncompatibleMethodOverride]
        shown = next(known for known in self.photos if np.array_equal(known.pixels, photo))
        if (shown.avatar.name, shown.yaw) == self.faceless:
            raise NoFaceError("There is no face in the array.")
        return SimpleNamespace(head=true_head(shown), camera=shown.camera)


def test_every_photo_is_measured_or_reported(avatars: dict[str, Avatar]) -> None:
    heads = [avatars["short crop"], avatars["long straight"]]
    photos = [photograph(avatar, 30.0) for avatar in heads]
    model = PerfectModel(photos, faceless=("Long_F_1", 30.0))
    found, failed = measure_heads(model, heads, (30.0,), brightness)
    assert isinstance(found, MeasuredHead)
    assert set(found.row) == {"head", "style", "yaw", "seconds", *ERRORS}
    assert (found.row["head"], found.row["style"], found.row["yaw"]) == ("Plain_F_1", "short crop", 30.0)
    assert found.row["unseen"] < 0.15
    assert failed == Failure("Long_F_1", 30.0, "There is no face in the array.")


def test_means_leave_out_what_is_not_known() -> None:
    def row(style: str, value: float) -> dict:
        return {"style": style, "seconds": 1.0, **dict.fromkeys(ERRORS, value)}

    rows = [
        row("bald", float("nan")),
        row("long wavy", 1.0),
        row("long wavy", 3.0),
        row("long straight", 5.0),
    ]
    means = {line["style"]: (line["photos"], line["unseen"]) for line in by_style(rows)}
    assert math.isnan(means["bald"][1])
    assert means["long wavy"] == (2, 2.0)
    assert means["all long hair"] == (3, 3.0)
    assert means["all"] == (4, 3.0)
    assert list(means)[-2:] == ["all long hair", "all"]


def test_the_command_prints_every_head_and_style_and_writes_a_sheet_a_head(
    folder: Path,
    avatars: dict[str, Avatar],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    perfect = PerfectModel([photograph(avatars[style], 25.0) for style in ("short crop", "bald")])
    monkeypatch.setattr("portrait3d.cli.portraits.load_model", lambda *_, **__: perfect)
    monkeypatch.setattr("portrait3d.losses.perceptual.EfficientNetFeatures", lambda: brightness)
    names, sheet = ["Plain_F_1", "Bald_M_1"], tmp_path / "sheet.png"
    assert not measure(folder, names, [25.0], None, sheet, json=True)
    tables = json.loads(capsys.readouterr().out)
    assert [row["head"] for row in tables["heads"]] == names
    assert tables["heads"][1]["hair_seen"] is None
    assert [row["style"] for row in tables["styles"]] == ["bald", "short crop", "all"]
    assert tables["failures"] == []
    for name in names:
        with Image.open(tmp_path / f"sheet-{name}.png") as picture:
            assert picture.width > 11 * 200


def test_the_command_needs_photos_or_avatars_and_knows_which_heads_there_are(folder: Path) -> None:
    neither, both = evaluate_heads(), evaluate_heads("--avatars", folder, "--data", folder)
    assert (neither.returncode, both.returncode) == (2, 2)
    assert "--avatars" in neither.stderr
    assert evaluate_heads("--data", folder).returncode == 2, "a sheet is all that it makes"
    # By default those that are held out, which a directory of others lacks.
    unknown = evaluate_heads("--avatars", folder)
    assert unknown.returncode == 1
    assert HELD_OUT[0] in unknown.stderr


def evaluate_heads(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "portrait3d", "evaluate", "heads", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
