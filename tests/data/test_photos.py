"""Reading folders of labelled photos."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from portrait3d.data.photos.labelled import FOLDED_CLASSES, LANDMARKS_OF_MESH, PhotoFolder
from portrait3d.parsing_classes import PARSING_CLASSES

ROW = {
    "source": "s",
    "original": "o",
    "licence": "cc0",
    "width": 8,
    "height": 6,
    "yaw": 10,
    "pitch": 20,
    "roll": -5,
}


def write_folder(root: Path, name: str, rows: list[dict], points: int = 468) -> None:
    folder = root / name
    (folder / "images").mkdir(parents=True)
    (folder / "parsing").mkdir()
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    for row in rows:
        Image.new("RGB", (8, 6), (255, 0, 0)).save(folder / "images" / f"{row['id']}.jpg")
        Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) % 19).save(
            folder / "parsing" / f"{row['id']}.png"
        )
    marks = np.arange(len(rows) * points * 3, dtype=np.float16).reshape(len(rows), points, 3) % 64
    ids = np.array([row["id"] for row in rows])
    box = np.tile(np.array([0, 0, 7, 5, 0.9], np.float32), (len(rows), 1))
    np.savez(folder / "landmarks.npz", ids=ids, points=marks, box=box)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    people = [("a", "p1", "train"), ("b", "p2", "val")]
    rows = [ROW | {"id": i, "person": p, "split": s} for i, p, s in people]
    write_folder(tmp_path, "portraits", rows)
    frames = [("c_1", "train", 1), ("c_2", "train", 2)]
    rows = [ROW | {"id": i, "person": "p3", "split": s, "clip": "c", "frame": f} for i, s, f in frames]
    write_folder(tmp_path, "clips", rows)
    header = "clip,frame_a,frame_b,rotation_deg,eye_diff,mouth_diff,scale_ratio"
    (tmp_path / "clips" / "pairs.csv").write_text(f"{header}\nc,c_1,c_2,9.0,0,0,1.1\nc,c_1,c_9,9.0,0,0,1\n")
    write_folder(tmp_path, "others", [ROW | {"id": "d", "person": "p4", "split": "val"}], points=68)
    return tmp_path


def test_pixel_centres_move_by_half_a_pixel_and_depth_stays(root: Path) -> None:
    photo = PhotoFolder(root)[0]
    np.testing.assert_allclose(photo.points[1], [3.5, 4.5, 5.0])
    np.testing.assert_allclose(photo.box, [0.5, 0.5, 7.5, 5.5])


def test_pitch_changes_sign_and_yaw_and_roll_do_not(root: Path) -> None:
    photo = PhotoFolder(root)[0]
    angles = [math.degrees(angle) for angle in (photo.yaw, photo.pitch, photo.roll)]
    np.testing.assert_allclose(angles, [10, -20, -5])


def test_other_folders_come_only_when_asked_for(root: Path) -> None:
    assert {photo.folder for photo in PhotoFolder(root)} == {"portraits", "clips"}
    assert {photo.folder for photo in PhotoFolder(root, folders=["others"])} == {"others"}


def test_landmarks_are_the_same_68_points_whatever_is_stored(root: Path) -> None:
    mesh, plain = PhotoFolder(root)[0], PhotoFolder(root, folders=["others"])[0]
    np.testing.assert_array_equal(mesh.landmarks, mesh.points[LANDMARKS_OF_MESH, :2])
    np.testing.assert_array_equal(plain.landmarks, plain.points[:, :2])
    assert len(set(LANDMARKS_OF_MESH.tolist())) == 68


def test_the_split_selects_and_photos_without_labels_can_be_left_out(root: Path) -> None:
    assert [photo.name for photo in PhotoFolder(root, split="val")] == ["b"]
    (root / "portraits" / "parsing" / "b.png").unlink()
    assert not list(PhotoFolder(root, split="val", parsed=True))
    with pytest.raises(ValueError, match="'test'"):
        PhotoFolder(root, split="test")


def test_the_teachers_classes_fold_into_ours(root: Path) -> None:
    wanted = {
        "background": [0],
        "face": [1, 2, 3, 4, 5, 6, 10, 12, 13],  # skin, brows, eyes, glasses, nose, lips
        "hair": [17],
        "left ear": [7],
        "right ear": [8],
        "inner mouth": [11],
        "neck": [14],
        "body": [9, 15, 16],  # ear ring, necklace, clothes
        "headwear": [18],
    }
    folded = {name: np.flatnonzero(i == FOLDED_CLASSES).tolist() for i, name in enumerate(PARSING_CLASSES)}
    assert folded == wanted
    labels = PhotoFolder(root)[0].parsing()
    np.testing.assert_array_equal(labels.ravel()[:19], FOLDED_CLASSES)


def test_pairs_are_frames_of_one_clip_that_are_both_there(root: Path) -> None:
    (pair,) = PhotoFolder(root).clip_pairs()
    assert (pair.first.name, pair.second.name) == ("c_1", "c_2")
    assert pair.rotation == pytest.approx(math.radians(9))
    assert pair.scale == pytest.approx(1.1)


def test_a_root_without_folders_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="portraits"):
        PhotoFolder(tmp_path)


def test_tables_that_disagree_are_refused(root: Path) -> None:
    index = root / "portraits" / "index.csv"
    lines = index.read_text().splitlines()
    index.write_text("\n".join([lines[0], *reversed(lines[1:])]))
    with pytest.raises(ValueError, match="different photos"):
        PhotoFolder(root)
