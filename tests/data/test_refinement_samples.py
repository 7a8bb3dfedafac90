"""Samples of the refinement stage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.photos import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.data.refinement_samples import (
    CoarseTurns,
    DamagedPhotos,
    TurnedFrames,
    head_outline,
    load_turn,
    save_turn,
    window_at_hole,
)

# Outline, brows, nose, eyes and mouth of a face of about 60 px, in iBUG order.
_OUTLINE = [(60 - 30 * np.cos(t), 60 + 36 * np.sin(t)) for t in np.linspace(0, np.pi, 17)]
_REST = [(60 + 18 * np.cos(t), 56 + 14 * np.sin(t)) for t in np.linspace(0, 6, 51)]
LANDMARKS = np.array([(x, y, 0.0) for x, y in _OUTLINE + _REST], np.float32)
LANDMARKS[36:42, :2], LANDMARKS[42:48, :2], LANDMARKS[48:68, :2] = (48, 50), (72, 50), (60, 78)


@pytest.fixture
def photo(tmp_path: Path) -> LabelledPhoto:
    """A disc of a face on a ramp, 120 x 140."""
    y, x = np.mgrid[:140, :120] + 0.5
    head = np.hypot(x - 60, y - 60) < 34
    pixels = np.stack([2 * x, y, 0 * x + 90], axis=-1)
    pixels[head] = (200, 150, 120)
    (tmp_path / "portraits" / "images").mkdir(parents=True)
    (tmp_path / "portraits" / "parsing").mkdir()
    Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / "portraits" / "images" / "a.jpg")
    Image.fromarray(head.astype(np.uint8)).save(tmp_path / "portraits" / "parsing" / "a.png")
    points = np.zeros((468, 3), np.float32)
    points[LANDMARKS_OF_MESH] = LANDMARKS
    return LabelledPhoto(
        name="a",
        folder="portraits",
        root=tmp_path,
        person="p",
        split="train",
        licence="cc0",
        width=120,
        height=140,
        yaw=0.0,
        pitch=0.0,
        roll=0.0,
        points=points,
        box=np.array([30, 24, 90, 96], np.float32),
    )


def test_samples_depend_on_their_number_alone(photo: LabelledPhoto) -> None:
    one, other = DamagedPhotos([photo], size=64, seed=3), DamagedPhotos([photo], size=64, seed=3)
    _ = one[5], one[1]
    for name, value in one[2].items():
        assert torch.equal(value, other[2][name])
    assert not torch.equal(one[2]["original"], one[3]["original"])


def test_the_damage_of_a_whole_crop_depends_on_the_photo_alone(photo: LabelledPhoto) -> None:
    for folder, ending in (("images", "jpg"), ("parsing", "png")):
        file = photo.root / photo.folder / folder / f"a.{ending}"
        file.with_stem("b").write_bytes(file.read_bytes())
    other = replace(photo, name="b")
    one, both = DamagedPhotos([photo], augment=False), DamagedPhotos([other, photo], augment=False)
    assert torch.equal(one[0]["holes"], both[1]["holes"])
    assert not torch.equal(one[0]["holes"], both[0]["holes"])


def test_a_sample_is_the_original_but_for_damage_and_black_beyond_the_photo(photo: LabelledPhoto) -> None:
    for augment, size in ((True, 64), (False, 256)):
        sample = DamagedPhotos([photo], size=size, augment=augment)[0]
        assert sample["image"].shape == sample["original"].shape == (3, size, size)
        outside = sample["inside"] == 0
        assert float((sample["original"] * outside).abs().sum()) == 0
        assert float((sample["holes"] * outside).sum()) == 0
        same = ((sample["image"] - sample["original"]).abs().amax(0) < 1e-3).float().mean()
        assert float(same) > 0.3
        assert float(sample["holes"].sum()) > 0


def test_the_outline_is_where_the_head_meets_something_else() -> None:
    labels = np.zeros((10, 12), np.uint8)
    labels[3:7, 4:9] = 1
    outline = head_outline(labels)
    assert len(outline) == 4 * 5 - 2 * 3
    assert outline[:, 0].min() == 4.5
    assert outline[:, 1].max() == 6.5
    assert head_outline(labels * 0).tolist() == [[6.0, 5.0]]


def test_windows_hold_a_hole() -> None:
    holes = torch.zeros(1, 96, 96)
    holes[0, 5, 90] = 1
    random = np.random.default_rng(0)
    for _ in range(10):
        window = window_at_hole({"holes": holes, "image": holes.expand(3, -1, -1)}, 32, random)
        assert window["image"].shape == (3, 32, 32)
        assert float(window["holes"].sum()) == 1


def test_turns_come_back_as_they_were_stored_holes_included(tmp_path: Path) -> None:
    image, holes = torch.rand(3, 32, 32), (torch.rand(1, 32, 32) > 0.8).float()
    save_turn(tmp_path / "t.png", image, holes)
    again, again_holes = load_turn(tmp_path / "t.png")
    torch.testing.assert_close(again, image, atol=0.003, rtol=0)
    assert torch.equal(again_holes, holes)
    sample = CoarseTurns(tmp_path, size=16)[4]
    assert sample["image"].shape == (3, 16, 16)
    assert set(sample) == {"image", "holes"}


def test_turned_frames_show_what_is_known_of_the_real_one(tmp_path: Path) -> None:
    image, real = torch.rand(3, 32, 32), torch.rand(3, 32, 32)
    holes, known = torch.zeros(1, 32, 32), torch.ones(1, 32, 32)
    holes[0, 10:20, 12:24], known[0, 10:15] = 1, 0
    save_turn(tmp_path / "a-b.png", image, holes)
    save_turn(tmp_path / "a-b-real.png", real, 1 - known)
    found = TurnedFrames(tmp_path, size=16)[3]
    assert {name: value.shape[-1] for name, value in found.items()} == dict.fromkeys(
        ("image", "holes", "original", "inside"), 16
    )
    assert float((found["original"] * (1 - found["inside"])).abs().sum()) == 0
    with pytest.raises(FileNotFoundError, match="no turned frames"):
        TurnedFrames(tmp_path / "none")


def test_a_directory_without_turns_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no coarse turns"):
        CoarseTurns(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match="RGB, not RGBA"):
        load_turn(tmp_path / "photo.png")
