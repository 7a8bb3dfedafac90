"""Hairstyles that were modelled by hand, on the heads that wear them."""

from pathlib import Path

import numpy as np
import pytest

from portrait3d.data.hairstyles import Hairstyle, read_hairstyles, save_hairstyles
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.data.synthetic.scalp import map_scalp
from portrait3d.data.two_sided_preparation import prepare_hairstyles
from portrait3d.data.two_sided_scenes import SyntheticScenes
from portrait3d.data.two_sided_views import load_two_sided
from portrait3d.models.head_model import HeadModel

THICK = 40.0
FACE, HAIR = 1, 2


@pytest.fixture(scope="module")
def cap() -> Hairstyle:
    """A cap 40 mm off the skull, as a grid over the upper rows of the scalp's map."""
    head = HeadModel.load()
    scalp = map_scalp(head)
    columns, rows = np.arange(0, 192, 4), np.arange(0, 40, 2)
    vertices = head.mean.double().numpy()
    points = scalp.points(vertices)[columns][:, rows]
    outward = points - points.mean(axis=(0, 1))
    outward /= np.linalg.norm(outward, axis=-1, keepdims=True)
    index = np.arange(len(columns) * len(rows)).reshape(len(columns), len(rows))
    following = np.roll(index, -1, axis=0)
    a, b, c, d = index[:, :-1], following[:, :-1], following[:, 1:], index[:, 1:]
    faces = np.concatenate([np.stack([a, d, c], -1).reshape(-1, 3), np.stack([a, c, b], -1).reshape(-1, 3)])
    return Hairstyle(
        "cap",
        faces,
        scalp.corners[columns][:, rows].reshape(-1, 7),
        scalp.weights[columns][:, rows].reshape(-1, 7),
        (THICK * outward).reshape(-1, 3),
    )


def test_hair_goes_where_the_head_goes(cap: Hairstyle) -> None:
    vertices = HeadModel.load().mean.double().numpy()
    moved = cap.worn(vertices + np.array([3.0, -5.0, 7.0])).vertices - cap.worn(vertices).vertices
    np.testing.assert_allclose(moved, np.tile([3.0, -5.0, 7.0], (len(moved), 1)), atol=1e-9)


def test_volume_stretches_what_stands_off(cap: Hairstyle) -> None:
    vertices = HeadModel.load().mean.double().numpy()
    change = cap.worn(vertices, 1.5).vertices - cap.worn(vertices).vertices
    np.testing.assert_allclose(np.linalg.norm(change, axis=1), 0.5 * THICK)


def test_hairstyles_survive_the_disk(cap: Hairstyle, tmp_path: Path) -> None:
    save_hairstyles([cap], tmp_path / "hair.npz")
    (read,) = read_hairstyles(tmp_path / "hair.npz")
    assert read.name == "cap"
    np.testing.assert_array_equal(read.faces, cap.faces)
    np.testing.assert_array_equal(read.offsets, cap.offsets)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hair\.npz is missing"):
        read_hairstyles(tmp_path / "hair.npz")


def test_heads_that_wear_hair_are_prepared_once(cap: Hairstyle, tmp_path: Path) -> None:
    save_hairstyles([cap], tmp_path / "hair.npz")
    (path,) = prepare_hairstyles(tmp_path, tmp_path / "hair.npz", 2)
    assert path == tmp_path / "train" / "hairstyles-00000.npz"
    views = load_two_sided(tmp_path / "train")["hairstyles"]
    assert set(views.style) == {"cap"}
    assert 1 <= len(views) <= 2
    written = path.stat().st_mtime_ns
    assert list(prepare_hairstyles(tmp_path, tmp_path / "hair.npz", 2)) == [path]
    assert path.stat().st_mtime_ns == written


def test_worn_hair_is_seen_from_both_sides(cap: Hairstyle) -> None:
    buzz = {"buzz": STYLES_TRAIN["buzz"]}
    bare, dressed = SyntheticScenes(0, buzz).scene(1), SyntheticScenes(0, buzz, [cap]).scene(1)
    assert dressed.style == "cap"
    assert (dressed.labels == HAIR).sum() > 1.3 * (bare.labels == HAIR).sum()
    face = np.flatnonzero(dressed.labels == FACE)
    assert dressed.back_is_hair.ravel()[face].mean() > 0.4
    thickness = []
    for scene in (bare, dressed):
        head = np.isfinite(scene.back)
        thickness.append((scene.back[head] - scene.front[head]).max())
    assert thickness[1] > thickness[0] + 20
