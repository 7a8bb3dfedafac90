"""Hairstyles that were modelled by hand, on the heads that wear them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from portrait3d.data.depth.preparation import Desk, hairstyles_to_wear, prepare_hairstyles
from portrait3d.data.depth.reading import Readers
from portrait3d.data.depth.scenes import SyntheticScenes
from portrait3d.data.depth.views import load_sources
from portrait3d.data.people.avatar_fits import fit_avatar
from portrait3d.data.people.avatars import read_avatars
from portrait3d.data.people.hairstyles import (
    AvatarHair,
    HairShape,
    Hairstyle,
    read_hairstyles,
    save_hairstyles,
)
from portrait3d.data.synthetic import STYLES_TRAIN
from portrait3d.data.synthetic.scalp import map_scalp
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from tiny_avatars import write_avatars

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
    change = cap.worn(vertices, HairShape(volume=1.5)).vertices - cap.worn(vertices).vertices
    np.testing.assert_allclose(np.linalg.norm(change, axis=1), 0.5 * THICK)


def test_length_stretches_what_hangs_and_nothing_else() -> None:
    hangs, stands = np.array([[0.0, 80.0, 5.0]]), np.array([[3.0, -30.0, 5.0]])
    shape = HairShape(length=0.5)
    np.testing.assert_allclose(shape.stretched(np.zeros((1, 3)), hangs), [[0, 40, 5]])
    np.testing.assert_allclose(shape.stretched(np.zeros((1, 3)), stands), stands)


def test_waves_make_more_here_and_less_there() -> None:
    roots = np.array([[0.0, 0, 0], [50.0, 0, 0], [100.0, 0, 0]])
    shape = HairShape(waves=np.array([[np.pi / 100, 0, 0, 0]]), strength=0.4)
    heights = shape.stretched(roots, np.tile([0.0, -20.0, 0.0], (3, 1)))[:, 1]
    np.testing.assert_allclose(heights, [-20, -28, -20], atol=1e-9)


def test_random_shapes_differ_and_keep_hair_outside_the_head() -> None:
    rng, offsets = np.random.default_rng(0), np.tile([0.0, -20.0, 0.0], (50, 1))
    roots = rng.normal(0, 80, (50, 3))
    heights = np.array([HairShape.draw(rng).stretched(roots, offsets)[:, 1] for _ in range(40)])
    assert (heights < -5).all()
    assert heights.mean(axis=1).std() > 1


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    styles = {"Long_F_1": "long straight", "Long_F_2": "long straight", "Bald_M_1": "bald"}
    return write_avatars(tmp_path_factory.mktemp("avatars"), styles)


def test_an_avatars_hair_takes_another_shape_and_its_skin_stays(directory: Path) -> None:
    head, (avatar, bald) = HeadModel.load(), read_avatars(directory, ["Long_F_1", "Bald_M_1"])
    fit = fit_avatar(avatar, head)
    hair = AvatarHair.of(avatar, fit, head)
    assert hair is not None
    same = hair.reshaped(avatar, fit, HairShape())
    np.testing.assert_allclose(same.vertices, avatar.vertices, atol=0.01)
    short = hair.reshaped(avatar, fit, HairShape(length=0.4)).vertices
    hairy = np.zeros(len(short), bool)
    hairy[avatar.faces[avatar.labels == ParsingClass.HAIR]] = True
    np.testing.assert_array_equal(short[~hairy], avatar.vertices[~hairy])
    assert short[hairy, 1].max() < avatar.vertices[hairy, 1].max() - 40
    assert AvatarHair.of(bald, fit_avatar(bald, head), head) is None


def test_people_of_the_head_model_wear_the_hair_of_artist_made_heads(directory: Path) -> None:
    (worn,) = hairstyles_to_wear(None, directory)
    assert worn.name == "long straight", "one of each style, and none of the bald"
    vertices = HeadModel.load().mean.double().numpy()
    hair = worn.worn(vertices).vertices
    assert hair[:, 1].max() > 100, "it hangs below the chin"
    assert np.abs(hair[:, 0].mean()) < 5


def test_hairstyles_survive_the_disk(cap: Hairstyle, tmp_path: Path) -> None:
    save_hairstyles([cap], tmp_path / "hair.npz")
    (read,) = read_hairstyles(tmp_path / "hair.npz")
    assert read.name == "cap"
    np.testing.assert_array_equal(read.faces, cap.faces)
    np.testing.assert_array_equal(read.offsets, cap.offsets)


def test_hairstyles_held_out_are_not_worn(cap: Hairstyle, tmp_path: Path) -> None:
    save_hairstyles([cap, replace(cap, name="bob01")], tmp_path / "hair.npz")
    assert [style.name for style in hairstyles_to_wear(tmp_path / "hair.npz", None)] == ["cap"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hair\.npz is missing"):
        read_hairstyles(tmp_path / "hair.npz")


def test_heads_that_wear_hair_are_prepared_once(cap: Hairstyle, tmp_path: Path) -> None:
    save_hairstyles([cap], tmp_path / "hair.npz")
    worn = hairstyles_to_wear(tmp_path / "hair.npz", None)
    desk = Desk(Readers.bundled(), tmp_path, 64)
    (path,) = prepare_hairstyles(desk, worn, 2)
    assert path == tmp_path / "train" / "hairstyles-00000.npz"
    views = load_sources(tmp_path / "train")["hairstyles"]
    assert set(views.style) == {"cap"}
    assert 1 <= len(views) <= 2
    written = path.stat().st_mtime_ns
    assert list(prepare_hairstyles(desk, worn, 2)) == [path]
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
