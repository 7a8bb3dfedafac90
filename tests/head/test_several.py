"""One head from several photos: whose colours lie where, and that no seam shows between them."""

from dataclasses import replace

import numpy as np
import pytest

from portrait3d.head.assembly import assemble_head
from portrait3d.head.blending import Known, harmony, mixture
from portrait3d.head.placement import texels
from portrait3d.head.shot import Shot
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import SKIN, ParsingClass
from synthetic_head import COLOURS, SIZE, THICKNESS, Sitter, sitter

GREEN = np.array([20, 200, 20], np.uint8)
BLUE = np.array([30, 30, 220], np.uint8)


@pytest.fixture(scope="module")
def front(model: HeadModel) -> Sitter:
    return sitter(model)


@pytest.fixture(scope="module")
def side(model: HeadModel) -> Sitter:
    """The same head, looking to the picture's right: its left side is seen."""
    return sitter(model, yaw=60.0)


def shot_of(known: Sitter, picture: np.ndarray | None = None, density: float = 1.0) -> Shot:
    return Shot(known.head, known.view, known.scene(picture), density)


def marked(known: Sitter, where: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """The sitter's picture with pixels of the crop in a colour."""
    picture = known.picture
    picture[np.kron(where, np.ones((2, 2), bool))] = colour
    return picture


def texture(known: Sitter, others: list[Shot]) -> np.ndarray:
    """The head's texture from a sitter and further photos, as vertices' colours."""
    pair = texels(known.head.layout, SIZE)
    return assemble_head(known.head, known.view, known.scene(), pair, SIZE, others=others).colors


def test_without_further_photos_nothing_changes(front: Sitter) -> None:
    pair = texels(front.head.layout, SIZE)
    plain = assemble_head(front.head, front.view, front.scene(), pair, SIZE)
    assert np.array_equal(plain.colors, texture(front, []))


def test_the_side_photos_colour_lies_on_the_side_it_shows(front: Sitter, side: Sitter) -> None:
    head, layout = side.head, front.head.layout
    index = np.where(head.face_index >= 0, head.face_index, 0)
    place = head.model_vertices[layout.faces[index]].mean(axis=2)
    patch = (side.labels == ParsingClass.FACE) & (np.abs(place[..., 2] - 5) < 15) & (place[..., 0] < -40)
    assert patch.sum() > 100
    alone = texture(front, []).astype(float)
    both = texture(front, [shot_of(side, marked(side, patch, BLUE))]).astype(float)
    at = front.head.model_vertices[layout.point_vertex]
    there = (np.abs(at[:, 2] - 5) < 8) & (at[:, 0] < -55) & (np.abs(at[:, 1] - 40) < 25)
    other = (np.abs(at[:, 2] - 5) < 8) & (at[:, 0] > 55) & (np.abs(at[:, 1] - 40) < 25)
    middle = (np.abs(at[:, 0]) < 15) & (at[:, 2] < -60) & (front.head.face_mask[layout.point_vertex] > 0.9)
    n = len(at)
    bluer = (both - alone)[:n, 2] - (both - alone)[:n, 0]
    assert there.any()
    assert np.median(bluer[there]) > 60
    assert np.abs(bluer[other]).max() < 40
    assert np.abs(bluer[middle]).max() < 10


def test_the_side_photos_hair_lies_on_the_body(front: Sitter, side: Sitter) -> None:
    hair = side.labels == ParsingClass.HAIR
    green = shot_of(side, marked(side, hair & (np.arange(SIZE)[None] < 100), GREEN))
    even = texture(front, [shot_of(side)]).astype(int)
    dyed = texture(front, [green]).astype(int)
    assert (np.abs(dyed - even).max(axis=1) > 30).sum() > 50


def test_hair_that_only_the_side_photo_shows_is_painted_on_the_skin_as_a_whole(
    front: Sitter, side: Sitter
) -> None:
    beside = replace(side, labels=side.labels.copy()).with_hair_at(THICKNESS - 1)
    index = np.where(side.head.face_index >= 0, side.head.face_index, 0)
    place = side.head.model_vertices[front.head.layout.faces[index]].mean(axis=2)
    beside.labels[on_sideburn(place) & np.isin(side.labels, SKIN)] = ParsingClass.HAIR
    painted = texture(front, [shot_of(beside)]).astype(float)
    at = front.head.model_vertices[front.head.layout.point_vertex]
    there = on_sideburn(at, 3.0) & (front.head.ears_mask[front.head.layout.point_vertex] == 0)
    away = np.abs(painted[: len(at)][there] - COLOURS[ParsingClass.HAIR]).max(axis=1)
    assert there.sum() > 20
    assert np.percentile(away, 90) < 30


def on_sideburn(points: np.ndarray, inner: float = 0.0) -> np.ndarray:
    """Which points of the model frame lie on a broad sideburn of the side photo, `inner` mm inside it."""
    x, y, z = np.moveaxis(points, -1, 0)
    return (x < -40) & (np.abs(z - 10) < 20 - inner) & (np.abs(y) < 30 - inner)


def test_another_light_leaves_no_seam(front: Sitter, side: Sitter) -> None:
    dark = (side.picture * 0.6).astype(np.uint8)
    even = texture(front, [shot_of(side)]).astype(float)
    lit = texture(front, [shot_of(side, dark)]).astype(float)
    skin = np.arange(len(even)) < len(front.head.layout.points)
    assert np.percentile(np.abs(lit - even)[skin], 95) < 12


def test_another_light_on_hair_leaves_no_seam_on_the_body(front: Sitter, side: Sitter) -> None:
    ramp = np.linspace(0.4, 1, 2 * SIZE)[:, None, None]
    even = texture(front, [shot_of(side)]).astype(float)
    lit = texture(front, [shot_of(side, (side.picture * ramp).astype(np.uint8))]).astype(float)
    hair = np.arange(len(even)) >= len(front.head.layout.points)
    assert np.percentile(np.abs(lit - even)[hair], 95) < 8


def test_harmony_is_the_ratio_where_both_photos_show_the_skin() -> None:
    faces = np.array([[k, k + 1, k + 2] for k in range(28)])
    colours = np.full((30, 3), 0.5)
    weight = (np.arange(30) < 20).astype(float)
    gain = harmony(faces, Known(colours, weight), Known(colours / 2, (np.arange(30) > 10).astype(float)))
    np.testing.assert_allclose(gain, 2, rtol=1e-3)
    alone = harmony(faces, Known(colours, weight), Known(colours / 2, 0 * weight))
    assert (alone == 1).all()


def test_the_clearer_photo_decides_and_one_that_shows_nothing_does_not() -> None:
    red, blue = np.tile([1.0, 0, 0], (3, 1)), np.tile([0, 0, 1.0], (3, 1))
    shares = [np.ones(3), np.array([1.0, 1.0, 0.0])]
    mixed, share = mixture([red, blue], shares, [np.full(3, 0.5), np.array([1.0, 0.5, 1.0])])
    assert mixed[0, 2] > 0.95
    np.testing.assert_allclose(mixed[1], [0.5, 0, 0.5])
    np.testing.assert_allclose(mixed[2], [1, 0, 0])
    assert (share == 1).all()


def test_the_order_of_further_photos_does_not_matter(model: HeadModel, front: Sitter, side: Sitter) -> None:
    other = sitter(model, yaw=-60.0)
    shots = [shot_of(side), shot_of(other, (other.picture * 0.8).astype(np.uint8))]
    difference = texture(front, shots).astype(int) - texture(front, shots[::-1])
    assert np.abs(difference).max() <= 1


def test_a_coarse_photo_counts_less(front: Sitter, side: Sitter) -> None:
    face = shot_of(side).clarity
    assert np.array_equal(replace(shot_of(side), density=0.5).clarity, face / 2)
