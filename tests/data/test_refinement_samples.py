"""Samples of the refinement stage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from portrait3d.data.photos.labelled import LANDMARKS_OF_MESH, LabelledPhoto
from portrait3d.data.refinement.corruption import DamagedPhoto
from portrait3d.data.refinement.samples import DamagedPhotos, guide_of, head_outline
from portrait3d.parsing_classes import ParsingClass
from portrait3d.reposing.guide import CHANNELS, LAYERS

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
    one, other = (
        DamagedPhotos([photo], LabelledPhoto.parsing, size=64, seed=3),
        DamagedPhotos([photo], LabelledPhoto.parsing, size=64, seed=3),
    )
    _ = one[5], one[1]
    for name, value in one[2].items():
        assert torch.equal(value, other[2][name])
    assert not torch.equal(one[2]["original"], one[3]["original"])


def test_the_damage_of_a_whole_crop_depends_on_the_photo_alone(photo: LabelledPhoto) -> None:
    for folder, ending in (("images", "jpg"), ("parsing", "png")):
        file = Path(str(photo.root)) / photo.folder / folder / f"a.{ending}"
        file.with_stem("b").write_bytes(file.read_bytes())
    other = replace(photo, name="b")
    one, both = (
        DamagedPhotos([photo], LabelledPhoto.parsing, augment=False),
        DamagedPhotos([other, photo], LabelledPhoto.parsing, augment=False),
    )
    assert torch.equal(one[0]["holes"], both[1]["holes"])
    assert not torch.equal(one[0]["holes"], both[0]["holes"])


def test_a_sample_is_the_original_but_for_damage_and_black_beyond_the_photo(photo: LabelledPhoto) -> None:
    for augment, size in ((True, 64), (False, 256)):
        sample = DamagedPhotos([photo], LabelledPhoto.parsing, size=size, augment=augment)[0]
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


def test_guides_tell_hair_skin_and_background_and_what_is_missing_of_each(photo: LabelledPhoto) -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[10:54, 10:54], labels[10:24, 10:54] = ParsingClass.FACE, ParsingClass.HAIR
    holes = torch.zeros(1, 64, 64)
    holes[..., :20] = 1
    damaged = DamagedPhoto(torch.rand(3, 64, 64), holes)
    guide = dict(zip(CHANNELS, guide_of(damaged, labels), strict=True))
    at = {"sheet": (15, 30), "body": (15, 15), "seen": (40, 30), "unseen": (40, 15), "plate": (40, 5)}
    for name, (row, column) in at.items():
        assert {layer: float(guide[layer][row, column]) for layer in LAYERS} == dict.fromkeys(LAYERS, 0) | {
            name: 1
        }
    assert float(torch.stack([guide[layer] for layer in LAYERS])[:, 40, 60].sum()) == 0
    steepness = guide["steepness"]
    assert float(steepness[32, 32]) > float(steepness[32, 51]) > float(steepness[32, 15]) == 0
    assert float(steepness[32, 62]) == 1
    assert torch.equal(guide["green"], damaged.image[1])
