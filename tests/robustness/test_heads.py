"""Heads of which next to nothing is seen: every surface and every part may be empty.

Everything here goes through what users call: `reconstruct`, `repose`, `export`. Only the parsing is made by
hand, since no photo shows each of its odd cases. Warnings are errors, as in all tests.
"""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from portrait3d import PoorFitWarning, Portrait, Portrait3D, pipeline
from portrait3d.models.head_parsing import HeadParsing
from portrait3d.parsing_classes import HEAD, PARSING_CLASSES

pytestmark = pytest.mark.slow

POSES = ((35.0, -25.0, None), (-35.0, 10.0, 20.0))
"""Yaw, pitch and roll, degrees."""
FACE, HAIR, EARS, MOUTH, NECK, BODY, HAT = 1, 2, (3, 4), 5, 6, 7, 8


@pytest.fixture(scope="module")
def true_parsing(portrait: Portrait) -> HeadParsing:
    """What the networks see in the photo."""
    return portrait.head_parsing


def without(parsing: HeadParsing, *classes: int) -> HeadParsing:
    """A parsing whose pixels of some classes are background instead."""
    return remapped(parsing, dict.fromkeys(classes, 0))


def only(parsing: HeadParsing, *classes: int) -> HeadParsing:
    """A parsing with nothing but some classes."""
    return without(parsing, *(set(range(len(PARSING_CLASSES))) - {0, *classes}))


def everywhere(parsing: HeadParsing, label: int) -> HeadParsing:
    """A parsing in which every pixel has one class."""
    return remapped(parsing, dict.fromkeys(range(len(PARSING_CLASSES)), label))


def remapped(parsing: HeadParsing, to: dict[int, int]) -> HeadParsing:
    table = np.array([to.get(k, k) for k in range(len(PARSING_CLASSES))], np.uint8)
    probabilities = torch.zeros_like(parsing.head_probabilities)
    probabilities.index_add_(0, torch.from_numpy(table.astype(np.int64)), parsing.head_probabilities)
    labels = table[parsing.labels]
    matte = np.where(np.isin(labels, HEAD), np.maximum(parsing.matte, 0.5), 0).astype(np.float32)
    return HeadParsing(labels, probabilities.argmax(0).numpy().astype(np.uint8), probabilities, matte)


def scattered(parsing: HeadParsing) -> HeadParsing:
    """A parsing of single pixels without any order."""
    rng = np.random.default_rng(0)
    head = rng.integers(0, len(PARSING_CLASSES), parsing.head_labels.shape).astype(np.uint8)
    probabilities = torch.nn.functional.one_hot(torch.from_numpy(head).long(), len(PARSING_CLASSES))
    labels = rng.integers(0, len(PARSING_CLASSES), parsing.labels.shape).astype(np.uint8)
    matte = np.isin(labels, HEAD).astype(np.float32)
    return HeadParsing(labels, head, probabilities.permute(2, 0, 1).float().contiguous(), matte)


def one_pixel(parsing: HeadParsing) -> HeadParsing:
    """A parsing of a single pixel of face."""
    head = np.zeros_like(parsing.head_labels)
    head[len(head) // 2, len(head) // 2] = FACE
    probabilities = torch.nn.functional.one_hot(torch.from_numpy(head).long(), len(PARSING_CLASSES))
    labels = np.zeros_like(parsing.labels)
    labels[100, 200] = FACE
    return HeadParsing(
        labels, head, probabilities.permute(2, 0, 1).float().contiguous(), (labels > 0).astype(np.float32)
    )


HAND_MADE = {
    "nothing": lambda true: everywhere(true, 0),
    "only face": lambda true: only(true, FACE),
    "only hair": lambda true: only(true, HAIR),
    "only neck": lambda true: only(true, NECK),
    "only ears": lambda true: only(true, *EARS),
    "only a mouth": lambda true: only(true, MOUTH),
    "only a hat": lambda true: remapped(only(true, HAIR), {HAIR: HAT}),
    "only a body": lambda true: only(true, BODY),
    "no face": lambda true: without(true, FACE),
    "no hair": lambda true: without(true, HAIR),
    "no neck": lambda true: without(true, NECK),
    "no neck and no body": lambda true: without(true, NECK, BODY),
    "face everywhere": lambda true: everywhere(true, FACE),
    "hair everywhere": lambda true: everywhere(true, HAIR),
    "neck everywhere": lambda true: everywhere(true, NECK),
    "body everywhere": lambda true: everywhere(true, BODY),
    "a hat everywhere": lambda true: everywhere(true, HAT),
    "single pixels": scattered,
    "one pixel": one_pixel,
}


@pytest.mark.parametrize("case", HAND_MADE)
def test_every_part_of_a_head_may_be_missing(
    case: str,
    model: Portrait3D,
    true_parsing: HeadParsing,
    astronaut: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    parsing = HAND_MADE[case](true_parsing)
    monkeypatch.setattr(pipeline, "parse_head", lambda *_: parsing)
    assert_all_goes_well(model, reconstructed(model, astronaut), tmp_path)


CUT = {
    "a face that fills the picture": np.s_[90:190, 185:270],
    "the middle of a face": np.s_[100:170, 195:260],
    "the left half of a face": np.s_[0:300, 0:228],
    "a face cut at the brows": np.s_[105:300, 100:350],
    "a face cut at the mouth": np.s_[0:165, 100:350],
}


@pytest.mark.parametrize("case", CUT)
def test_faces_may_fill_the_picture_or_leave_it(
    case: str, model: Portrait3D, astronaut: np.ndarray, tmp_path: Path
) -> None:
    assert_all_goes_well(model, reconstructed(model, np.ascontiguousarray(astronaut[CUT[case]])), tmp_path)


def reconstructed(model: Portrait3D, photo: np.ndarray) -> Portrait:
    """A photo's portrait, whatever is thought of its quality."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PoorFitWarning)
        return model.reconstruct(photo)


def assert_all_goes_well(model: Portrait3D, portrait: Portrait, folder: Path) -> None:
    """A portrait that can be looked at, turned, moved and written."""
    head, pixels = portrait.head, portrait.photo.pixels
    assert 0 <= portrait.quality <= 1
    assert np.isfinite(head.vertices).all()
    assert np.isfinite(head.uv).all()
    assert len(head.faces) > 100
    assert head.faces.max() < len(head.vertices)
    assert np.array_equal(model.repose(portrait), pixels)
    for yaw, pitch, roll in POSES:
        turned = model.repose(portrait, yaw, pitch, roll)
        assert (turned.dtype, turned.shape) == (pixels.dtype, pixels.shape)
        assert not np.array_equal(turned, pixels), f"{(yaw, pitch, roll)} changed nothing"
    assert model.repose(portrait, expression={"jawOpen": 0.6, "eyeBlinkLeft": 1.0}).shape == pixels.shape
    for name in ("head.glb", "head.obj", "head.ply"):
        assert_opens(head.export(folder / name))
    assert_opens(head.front_only().export(folder / "front.glb"), may_be_empty=True)
    assert np.isfinite(model.head_without_light(portrait).vertices).all()


def assert_opens(path: Path, *, may_be_empty: bool = False) -> None:
    """A file that another program reads."""
    scene = trimesh.load_scene(path, process=False)
    triangles = sum(len(mesh.faces) for mesh in scene.geometry.values())  # pyright: ignore[reportAttributeAccessIssue]
    assert triangles > 0 or may_be_empty
    assert np.isfinite(np.asarray(scene.bounds)).all()
