"""Tables about the face network: what they measure, and that a perfect network gets perfect marks."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.face.exact import ExactFaces
from portrait3d.data.face.fits import project_points
from portrait3d.data.face.turned import centred_pose
from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto, PhotoFolder
from portrait3d.evaluation.face.colours import colour_errors, draw_faces, score_colours
from portrait3d.evaluation.face.drawn import (
    off_axes,
    rigid_alignment,
    score_synthetic,
    shape_errors,
    visible_face,
)
from portrait3d.evaluation.face.groups import GroupScores, compare_groups, face_groups, score_groups
from portrait3d.evaluation.face.people import ranking_area, score_clips, score_identity, score_jitter
from portrait3d.evaluation.face.predictions import FacePrediction, normalised_error
from portrait3d.evaluation.face.report import evaluate_face
from portrait3d.geometry.pose import Pose, rotation_from_axis_angle, rotation_from_euler
from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel
from portrait3d.models.mesh_points import MeshPoints
from portrait3d.preprocessing.alignment import Crop


@pytest.fixture(scope="module")
def head() -> HeadModel:
    return HeadModel.load()


def photo(root: Path, name: str, *, person: str = "p", clip: str | None = None, frame: int | None = None):
    return LabelledPhoto(
        name=name,
        folder="portraits",
        root=root,
        person=person,
        split="val",
        licence="cc0",
        width=100,
        height=100,
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        points=np.zeros((68, 3), np.float32),
        box=np.array([0, 0, 50, 50], np.float32),
        clip=clip,
        frame=frame,
    )


def turn(degrees: float) -> torch.Tensor:
    return rotation_from_axis_angle(torch.tensor([0.0, math.radians(degrees), 0.0]))


def write_photos(root: Path, head: HeadModel, count: int = 2) -> None:
    """A folder of grey pictures with the mesh points of random heads, and parsings that are all skin."""
    folder = root / "portraits"
    for name in ("images", "parsing"):
        (folder / name).mkdir(parents=True)
    points = MeshPoints.from_head_model(head)
    shape = torch.randn(count, 144) * torch.tensor([1.0] * 80 + [0.0] * 64)
    slide = torch.zeros(7, 468, 2)
    pose = centred_pose(points, shape, torch.eye(3).expand(count, 3, 3), slide)
    pixels = project_points(points, shape, pose, slide).numpy() * 0.8 + 5
    rows = ["id,source,original,licence,width,height,person,split,yaw,pitch,roll"]
    for k in range(count):
        Image.fromarray(np.full((200, 200, 3), 120, np.uint8)).save(folder / "images" / f"p{k}.jpg")
        Image.fromarray(np.ones((200, 200), np.uint8)).save(folder / "parsing" / f"p{k}.png")
        rows.append(f"p{k},here,p{k},cc0,200,200,person{k},val,0,0,0")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    box = np.tile(np.array([50, 30, 140, 140, 1], np.float32), (count, 1))
    table = {"points": np.pad(pixels - 0.5, ((0, 0), (0, 0), (0, 1))), "box": box}
    names = np.array([f"p{k}" for k in range(count)])
    np.savez(folder / "landmarks.npz", ids=names, mesh_index=np.arange(468), **table)


def test_a_report_sets_the_mean_face_beside_the_network(head: HeadModel, tmp_path: Path) -> None:
    write_photos(tmp_path, head)
    net = FaceNet(working_size=64, width=0.25)
    report = evaluate_face(net, tmp_path, synthetic=0, sheet=tmp_path / "sheet.png")
    assert [(row.folder, row.photos) for row in report.folders] == [("all", 2), ("portraits", 2)]
    everything = report.folders[0]
    assert everything.offline_fit < 0.5 < everything.mean_face < everything.nme
    assert everything.mean_shape > 1
    assert ("glasses", "without", 2) in [(row.by, row.group, row.photos) for row in report.groups]
    assert not report.clips
    assert not report.synthetic
    assert not report.avatars
    assert report.colours[0].photos == 2
    assert json.dumps(asdict(report))
    for name in ("sheet.png", "sheet-worst.png"):
        with Image.open(tmp_path / name) as sheet:
            assert sheet.width == 8 * 224


def test_the_error_is_a_percentage_of_the_landmarks_box() -> None:
    truth = np.zeros((1, 68, 2), np.float32)
    truth[0, 0] = (40, 90)
    found = truth + np.array([3.0, 4.0], np.float32)
    assert normalised_error(found, truth).tolist() == pytest.approx([100 * 5 / 60])


def test_glasses_are_read_from_parsings(head: HeadModel, tmp_path: Path) -> None:
    write_photos(tmp_path, head)
    somebody = PhotoFolder(tmp_path)[0]
    labels = np.ones((somebody.height, somebody.width), np.uint8)
    for expected in ("without", "with"):
        Image.fromarray(labels).save(str(somebody.parsing_path))
        assert face_groups(somebody)["glasses"] == expected
        labels[10:60, 10:90] = 6


def test_groups_are_averaged_and_small_ones_not_compared(head: HeadModel, tmp_path: Path) -> None:
    write_photos(tmp_path, head)
    somebody = PhotoFolder(tmp_path)[0]
    photos = [replace(somebody, gender=("male", "female")[k % 2]) for k in range(20)]
    errors = {name: np.arange(20.0) % 2 + 1 for name in ("nme", "mean_face", "offline_fit", "shape")}
    rows = score_groups(photos, {**errors, "mean_shape": np.ones(20)})
    assert [(r.by, r.group, r.photos, r.nme) for r in rows if r.by == "gender"] == [
        ("gender", "female", 10, 2.0),
        ("gender", "male", 10, 1.0),
    ]
    few = GroupScores("gender", "unknown", 9, 9.0, 9.0, 9.0, 9.0, 9.0)
    (ratio,) = (ratio for ratio in compare_groups([*rows, few]) if ratio.by == "gender")
    assert (ratio.by, ratio.best, ratio.worst, ratio.nme) == ("gender", "male", "female", 2.0)


def test_a_common_rotation_of_all_frames_does_not_count(tmp_path: Path) -> None:
    photos = [photo(tmp_path, f"f{k}", clip="c", frame=k) for k in range(2)]
    pairs = [ClipPair(photos[0], photos[1], math.radians(10), 1.0)]
    fitted = torch.stack([turn(0), turn(10)])
    shifted = torch.stack([turn(4), turn(14)])
    short = torch.stack([turn(0), turn(7)])
    (score,) = score_clips(pairs, photos, shifted, fitted, short)
    assert score.error == pytest.approx(0, abs=0.02)
    assert score.mean_face == pytest.approx(3, abs=0.02)
    assert score.rotation == pytest.approx(10)
    assert score.error_of_labels == pytest.approx(0, abs=0.02)


def test_even_motion_is_no_jitter(tmp_path: Path) -> None:
    frames = (0, 2, 6, 100)
    photos = [photo(tmp_path, f"f{k}", clip="c", frame=k) for k in frames]
    box = np.zeros((68, 2), np.float32)
    box[0] = (100, 100)
    truth = np.stack([box + 3.0 * frame for frame in frames]).astype(np.float32)
    jumping = truth.copy()
    jumping[1] += np.array([0.0, 2.0], np.float32)
    (score,) = score_jitter(photos, jumping, truth, truth)
    assert (score.clip, score.frames) == ("c", 1)
    assert score.teacher == pytest.approx(0, abs=1e-3)
    assert score.network == pytest.approx(2.0, abs=1e-3)


def test_identity_tells_people_apart_or_does_not(tmp_path: Path) -> None:
    photos = [photo(tmp_path, f"p{k}", person=f"person{k // 2}") for k in range(20)]
    people = torch.randn(10, 80).repeat_interleave(2, 0)
    scores = score_identity(photos, people, torch.randn(20, 80))
    assert [(row.photos, row.same, row.different) for row in scores] == [
        ("all", 10, 180),
        ("portraits", 10, 180),
    ]
    assert scores[0].auc == 1.0
    assert 0.2 < scores[0].offline_fit < 0.8


def test_the_area_counts_ties_as_half() -> None:
    score = np.array([0.1, 0.5, 0.5, 0.9])
    assert ranking_area(score, np.array([False, False, True, True])) == pytest.approx(0.875)
    assert math.isnan(ranking_area(score, np.zeros(4, bool)))


def test_a_photo_of_the_rendered_face_has_no_colour_error(head: HeadModel, tmp_path: Path) -> None:
    write_photos(tmp_path, head, 1)
    one = replace(FaceCoefficients.neutral(), albedo=torch.randn(1, 80) * 0.3)
    pose = Pose(torch.eye(3)[None], torch.tensor([[0.0, 0.0, 1200.0]]))
    drawn, where = draw_faces(head, one, pose, 200)
    picture = torch.where(where[:, None], drawn, torch.tensor(0.5))[0]
    pixels = (picture.permute(1, 2, 0) * 255).round().byte().numpy()
    Image.fromarray(pixels).save(tmp_path / "portraits" / "images" / "p0.jpg", quality=100, subsampling=0)
    crop = Crop((100.0, 100.0), 200.0, 0.0, 224)
    found = FacePrediction(np.zeros((1, 68, 2), np.float32), one, pose, [crop])
    (score, _) = score_colours(head, [photo(tmp_path, "p0")], found)
    assert score.network < 3 < score.flat
    assert abs(score.shade) < 2


def test_colours_are_compared_on_skin_alone() -> None:
    face, picture = torch.full((3, 20, 20), 0.5), torch.full((3, 20, 20), 0.9)
    picture[:, :10] = 0.4
    skin = torch.zeros(20, 20, dtype=torch.bool)
    skin[:9] = True
    assert colour_errors(face, picture, skin) == pytest.approx((25.5, 0.0, 25.5, 102.0), abs=0.1)
    assert math.isnan(colour_errors(face, picture, torch.zeros(20, 20, dtype=torch.bool))[0])


def test_a_rigid_motion_is_found_exactly() -> None:
    points = torch.randn(30, 3) * 50
    motion = Pose(rotation_from_euler(*torch.tensor([0.7, -0.3, 0.2])), torch.tensor([5.0, -8.0, 700.0]))
    found = rigid_alignment(points, motion.apply(points))
    torch.testing.assert_close(found.rotation, motion.rotation, atol=1e-4, rtol=0)
    torch.testing.assert_close(found.apply(points), motion.apply(points), atol=1e-2, rtol=0)
    flipped = rigid_alignment(
        points * torch.tensor([1.0, 1.0, 1e-3]), points * torch.tensor([-1.0, 1.0, 1e-3])
    )
    assert float(torch.linalg.det(flipped.rotation)) == pytest.approx(1.0, abs=1e-4)


def synthetic_faces(head: HeadModel, yaws: list[float]) -> ExactFaces:
    coefficients = torch.zeros(len(yaws), 233)
    coefficients[:, :10] = 1.0
    angles = torch.deg2rad(torch.tensor([yaws, [0.0] * len(yaws), [0.0] * len(yaws)]))
    rotation = rotation_from_euler(*angles)
    pose = Pose(rotation, torch.tensor([[0.0, 0.0, 1000.0]]).expand(len(yaws), 3))
    images = np.full((len(yaws), 224, 224, 3), 90, np.uint8)
    glasses, people = np.arange(len(yaws)) % 2 == 0, np.full(len(yaws), "somebody")
    return ExactFaces(images, coefficients, pose, glasses, people)


def test_the_truth_has_no_shape_error_and_the_mean_head_has(head: HeadModel) -> None:
    faces = synthetic_faces(head, [20.0])
    truth = FacePrediction(
        np.zeros((1, 68, 2), np.float32), FaceCoefficients.from_vector(faces.coefficients), faces.pose, []
    )
    own, mean, placed = shape_errors(head, faces, truth, 0).tolist()
    assert own == pytest.approx(0, abs=1e-3)
    assert 0.5 < mean < placed


def test_the_far_cheek_of_a_turned_face_is_not_visible(head: HeadModel) -> None:
    for yaw, side in ((60.0, 1.0), (-60.0, -1.0)):
        faces = synthetic_faces(head, [yaw])
        seen = visible_face(head, head.mean[None], faces.pose)
        cheeks = (head.face_mask > 0.5) & (head.mean[:, 0].abs() > 50)
        far = cheeks & (head.mean[:, 0] * side > 0)
        near = cheeks & (head.mean[:, 0] * side < 0)
        assert seen[far].float().mean() < 0.2 < 0.9 < seen[near].float().mean()


def test_errors_about_the_heads_own_axes_are_what_was_added_in_profile_too() -> None:
    added = torch.deg2rad(torch.tensor([[5.0, -3.0, 2.0]]))
    for yaw in (0.0, 60.0, 95.0):
        truth = rotation_from_euler(*torch.deg2rad(torch.tensor([[yaw], [8.0], [-4.0]])))
        found = truth @ rotation_from_euler(*added.T)
        torch.testing.assert_close(off_axes(found, truth), torch.rad2deg(added), atol=1e-3, rtol=0)


def test_synthetic_people_are_binned_by_yaw_and_glasses(head: HeadModel) -> None:
    scores = score_synthetic(
        FaceNet(working_size=64, width=0.25), head, synthetic_faces(head, [10.0, -40.0, 70.0])
    )
    assert [(row.faces, row.count) for row in scores] == [
        ("yaw 0 to 30", 1),
        ("yaw 30 to 60", 1),
        ("yaw 60 to 90", 1),
        ("with glasses", 1),
        ("without", 1),
    ]
    # An untrained network says that everybody looks straight ahead.
    assert scores[2].yaw == pytest.approx(70, abs=4)
    assert scores[2].outward == pytest.approx(-70, abs=4)
    assert scores[1].outward == pytest.approx(-40, abs=4)
    assert scores[0].mean_shape > 0.5
