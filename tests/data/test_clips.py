"""Which frames and pairs of a clip are taken, and the tables that training reads."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation

from portrait3d.data.photos.clips import (
    UNFOLDED_CLASSES,
    PairRules,
    choose_frames,
    choose_pairs,
    eyes_and_mouth,
    gather,
    write_part,
)
from portrait3d.data.photos.labelled import FOLDED_CLASSES, PhotoFolder


def landmarks(count: int) -> np.ndarray:
    """One face with open eyes and a closed mouth, `count` times."""
    face = np.zeros((68, 2))
    for corner, x in ((36, 30.0), (42, 70.0)):
        offsets = [(0, 0), (6, -4), (14, -4), (20, 0), (14, 4), (6, 4)]
        face[corner : corner + 6] = [(x + dx, 50.0 + dy) for dx, dy in offsets]
    face[48], face[54], face[62], face[66] = (42, 90), (78, 90), (60, 90), (60, 91)
    face[8] = (60, 120)
    return np.tile(face, (count, 1, 1))


def yaws(*angles: float) -> np.ndarray:
    return Rotation.from_rotvec([[0.0, np.radians(angle), 0.0] for angle in angles]).as_matrix()


def test_openings_are_measured_against_widths() -> None:
    left, right, opening, width = eyes_and_mouth(landmarks(1))[0]
    assert (left, right) == pytest.approx((0.4, 0.4))
    assert (opening, width) == pytest.approx((1 / 60, 36 / 60))


def test_only_heads_5_to_15_degrees_apart_are_paired() -> None:
    pairs = choose_pairs(yaws(0, 4, 9.1, 30), landmarks(4), PairRules())
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2), (1, 2)]
    assert [pair.rotation for pair in pairs] == pytest.approx([9.1, 5.1])
    assert all(pair.scale == pytest.approx(1.0) for pair in pairs)


def test_blinks_and_open_mouths_are_not_paired() -> None:
    faces = landmarks(4)
    faces[1, [37, 38, 40, 41], 1] = 50.0
    faces[2, 66, 1] += 12
    pairs = choose_pairs(yaws(0, 8, 8, 8), faces, PairRules())
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 3)]


def test_a_clip_gives_no_more_pairs_than_asked_for() -> None:
    angles = np.linspace(0, 30, 31)
    assert len(choose_pairs(yaws(*angles), landmarks(31), PairRules(most_pairs=7))) == 7


def test_chosen_frames_are_spread_and_awake() -> None:
    faces = landmarks(101)
    faces[50:60, [37, 38, 40, 41, 43, 44, 46, 47], 1] = 50.0
    chosen = choose_frames(yaws(*np.linspace(-30, 30, 101)), faces, 11)
    assert len(chosen) == 11
    assert not set(chosen) & set(range(50, 60))
    assert {0, 100} <= set(chosen)
    assert np.diff(chosen).max() < 25


def test_rules_that_allow_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="nearest < farthest"):
        PairRules(nearest=15, farthest=5)
    with pytest.raises(ValueError, match="two frames"):
        PairRules(most_frames=1)


def test_classes_survive_the_way_to_files_and_back() -> None:
    np.testing.assert_array_equal(FOLDED_CLASSES[UNFOLDED_CLASSES], np.arange(9))


def test_parts_become_the_tables_of_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    for clip in ("b", "a"):
        rows = [
            {
                "id": f"{clip}_{k}",
                "source": "here",
                "original": clip,
                "licence": "cc0",
                "width": 8,
                "height": 9,
            }
            | {"person": clip, "yaw": 3.0, "pitch": -2.0, "roll": 1.0, "clip": clip, "frame": k}
            for k in range(2)
        ]
        pair = {"clip": clip, "frame_a": f"{clip}_0", "frame_b": f"{clip}_1", "rotation_deg": 8.0}
        pair |= {"eye_diff": 0.0, "mouth_diff": 0.0, "scale_ratio": 1.0}
        write_part(folder, clip, rows, [pair], np.full((2, 468, 3), float(ord(clip))), np.zeros((2, 5)))
    assert gather(folder, 0) == (4, 2)
    for name in ("a_0", "a_1", "b_0", "b_1"):
        (folder / "images").mkdir(exist_ok=True)
        Image.new("RGB", (8, 9)).save(folder / "images" / f"{name}.jpg")
    photos = PhotoFolder(tmp_path)
    assert [photo.name for photo in photos] == ["a_0", "a_1", "b_0", "b_1"]
    assert {photo.split for photo in photos} == {"train"}
    assert photos[2].points[0].tolist() == [98.5, 98.5, 98.0], "centres of pixels lie at +0.5"
    assert photos[0].pitch > 0, "up is positive in the code and negative in the file"
    assert [(pair.first.name, pair.second.name) for pair in photos.clip_pairs()] == [
        ("a_0", "a_1"),
        ("b_0", "b_1"),
    ]
    gather(folder, 1)
    assert {photo.split for photo in PhotoFolder(tmp_path)} == {"val"}


def test_a_folder_without_clips_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to learn from"):
        gather(tmp_path, 0)
