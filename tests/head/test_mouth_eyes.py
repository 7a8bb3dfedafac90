"""Eyes and mouth: their margins are found, and the eye is continued behind the lids."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.geometry.mesh import HeadPiece
from portrait3d.geometry.pictures import as_planes
from portrait3d.geometry.polygon import inside_by
from portrait3d.geometry.skin import openings
from portrait3d.head.fitted import FittedHead
from portrait3d.head.layout import Texels
from portrait3d.head.mouth_eyes import EYE, EYES, HIDDEN, NATURAL, iris_middle, paint_pieces, ring_colours
from portrait3d.head.placement import texels
from portrait3d.head.scene import Scene
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import SIZE, fitted_head

SQUARE = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 2.0], [0.0, 2.0]])


def test_distances_are_positive_inside_and_negative_outside() -> None:
    points = np.array([[1.0, 1.0], [0.5, 1.0], [3.0, 1.0], [-0.5, 1.0], [50.0, 50.0]])
    np.testing.assert_allclose(inside_by(points, SQUARE)[:4], [1.0, 0.5, -1.0, -0.5], atol=1e-6)
    assert inside_by(points, SQUARE)[4] < -1


def test_the_margins_lie_where_eyes_mouth_and_neck_are() -> None:
    head = fitted_head(HeadModel.load())
    margins = openings(head.faces, head.model_vertices)
    at = {piece: head.model_vertices[loop].mean(axis=0) for piece, loop in margins.items()}
    assert at[HeadPiece.LEFT_EYE][0] < -20
    assert at[HeadPiece.RIGHT_EYE][0] > 20
    assert at[HeadPiece.MOUTH_CAVITY][1] == pytest.approx(45, abs=10)
    assert at[HeadPiece.SURFACE][1] > 80


def test_the_iris_is_found_where_it_is_dark() -> None:
    x, y = np.meshgrid(np.linspace(-0.5, 0.5, 41), np.linspace(-0.2, 0.2, 17))
    toward = np.stack([x, y, -np.sqrt(1 - x**2 - y**2)], axis=-1).reshape(-1, 3)
    dark = np.hypot(toward[:, 0] - 0.2, toward[:, 1]) < 0.15
    seen = np.where(dark[:, None], 0.2, 0.9) * np.ones(3)
    np.testing.assert_allclose(iris_middle(toward, seen)[:2], [0.2, 0.0], atol=0.03)


def test_an_eye_that_is_hardly_seen_looks_ahead_in_natural_colours() -> None:
    assert np.array_equal(iris_middle(np.zeros((3, 3)), np.zeros((3, 3))), [0, 0, -1])
    rings = ring_colours(np.zeros(0), np.zeros((0, 3)), 1.0)
    at = (np.arange(EYE.bins) + 0.5) / EYE.bins * np.pi / 2
    assert rings[at > EYE.iris_angle].min() > 0.6
    assert rings[at < EYE.iris_angle].max() < 0.4


def test_the_hidden_part_of_an_eye_takes_the_colours_of_the_seen_part() -> None:
    angle = np.linspace(0, 0.7, 400)
    seen = np.where(angle[:, None] < EYE.iris_angle, [[0.1, 0.3, 0.7]], [[0.9, 0.9, 0.9]])
    rings = ring_colours(angle, seen, 0.7)
    np.testing.assert_allclose(rings[2], [0.1, 0.3, 0.7], atol=0.02)
    np.testing.assert_allclose(rings[-1], 0.9, atol=0.02)


BLUE, WHITE = np.array([40, 60, 200], np.uint8), np.array([235, 235, 235], np.uint8)
TOOTH, GUMS, LIPS = (np.array(colour, np.uint8) for colour in ((240, 235, 200), (90, 20, 20), (200, 90, 90)))


@dataclass(frozen=True)
class Face:
    """The mean head with an open mouth in a small texture, and what the photo shows of eyes and mouth."""

    model: FittedHead
    texels: Texels
    labels: np.ndarray
    picture: np.ndarray

    @classmethod
    def of(cls, model: HeadModel, gaze: float = 0.0) -> "Face":
        """Blue eyes that look so many pixels aside, yellow teeth, dark gums, between lips."""
        head = fitted_head(model)
        jaw = model.expression_basis[model.expression_names.index("jawOpen")].double().numpy()
        head = head.moved(head.vertices + 0.7 * jaw)
        piece = np.where(head.face_index >= 0, head.layout.piece[head.face_index], 255)
        picture = np.full((SIZE, SIZE, 3), LIPS)
        for eye in EYES:
            row, column = np.nonzero(piece == eye)
            picture[piece == eye] = WHITE
            y, x = np.indices(piece.shape)
            iris = np.hypot(y - np.median(row), x - np.median(column) - gaze) < 2.6
            picture[iris & (piece == eye)] = BLUE
        inner = np.isin(piece, (HeadPiece.TEETH, HeadPiece.TONGUE, HeadPiece.MOUTH_CAVITY))
        picture[inner] = GUMS
        picture[piece == HeadPiece.TEETH] = TOOTH
        labels = np.where(piece < 255, ParsingClass.FACE, ParsingClass.BACKGROUND).astype(np.uint8)
        labels[inner] = ParsingClass.INNER_MOUTH
        return cls(head, texels(head.layout, 512)[0], labels, picture)

    def painted(self) -> np.ndarray:
        """Colours of all texels, those of the skin black."""
        scene = Scene.of(
            as_planes(np.kron(self.picture, np.ones((2, 2, 1), np.uint8))),
            self.labels,
            torch.ones(2 * SIZE, 2 * SIZE),
        )
        colours = np.zeros((len(self.texels.place), 3))
        paint_pieces(self.model, self.texels, scene, colours)
        return 255 * colours

    def of_piece(self, piece: HeadPiece) -> np.ndarray:
        return self.model.layout.piece[self.texels.face] == piece

    @property
    def behind(self) -> np.ndarray:
        """How far texels lie behind what the photo shows in their pixel, mm; those it shows are near 0."""
        place = self.texels.spread(self.model.vertices).astype(np.float64)
        return place[:, 2] - self.model.read(self.model.depth, place)


@pytest.fixture(scope="module")
def face(model: HeadModel) -> Face:
    return Face.of(model)


def test_eyes_have_the_photos_colours_and_go_on_in_them_behind_the_lids(face: Face) -> None:
    colours = face.painted()
    place = face.texels.spread(face.model.model_vertices)
    for eye in EYES:
        own = face.of_piece(eye)
        centre = place[own].min(axis=0) / 2 + place[own].max(axis=0) / 2
        toward = (place - centre) / np.linalg.norm(place - centre, axis=1, keepdims=True)
        iris, back = own & (toward[:, 2] < -0.97), own & (toward[:, 2] > -0.3)
        assert min(iris.sum(), back.sum()) > 5
        assert np.abs(np.median(colours[iris], axis=0) - BLUE).max() < 40
        assert np.abs(np.median(colours[back], axis=0) - WHITE).max() < 30
        assert np.abs(colours[back] - LIPS).max(axis=1).min() > 40  # no lid on the eyeball


def test_the_iris_goes_on_behind_the_lids_where_the_eye_looks(model: HeadModel) -> None:
    aside = Face.of(model, gaze=3.0)
    colours, behind = aside.painted(), aside.behind
    place = aside.texels.spread(aside.model.model_vertices)
    for eye in EYES:
        own = aside.of_piece(eye)
        centre = place[own].min(axis=0) / 2 + place[own].max(axis=0) / 2
        toward = (place - centre) / np.linalg.norm(place - centre, axis=1, keepdims=True)
        hidden = own & (toward[:, 2] < -0.6) & (behind > 1)
        blue = np.where(hidden, colours[:, 2] - colours[:, 0] - 30, 0).clip(0)
        assert (toward[:, 0] * blue).sum() / blue.sum() > 0.15


def test_a_red_corner_of_an_eye_is_red(face: Face) -> None:
    picture = face.picture.copy()
    piece = np.where(face.model.face_index >= 0, face.model.layout.piece[face.model.face_index], 255)
    for eye in EYES:
        middle = np.median(np.nonzero(piece == eye)[1])
        picture[(piece == eye) & (np.indices(piece.shape)[1] > middle + 3)] = (200, 30, 30)
    colours = replace(face, picture=picture).painted()
    x = face.texels.spread(face.model.model_vertices)[:, 0]
    for eye in EYES:
        shown = face.of_piece(eye) & (face.behind < 0.3)
        red = x[shown & (colours[:, 0] - colours[:, 2] > 60)]
        assert len(red) > 10
        assert red.min() > np.median(x[shown])


def test_the_open_mouth_has_the_photos_colours_and_is_dark_further_in(face: Face) -> None:
    colours, behind = face.painted(), face.behind
    cavity, teeth = face.of_piece(HeadPiece.MOUTH_CAVITY), face.of_piece(HeadPiece.TEETH)
    shown = np.abs(behind) < 0.5
    assert (teeth & shown).sum() > 20
    assert np.abs(np.median(colours[teeth & shown], axis=0) - TOOTH).max() < 40
    depth = face.texels.spread(face.model.model_vertices)[:, 2]
    throat = cavity & (depth > np.quantile(depth[cavity], 0.8))
    assert np.quantile(colours[throat], 0.9) < 40


def test_the_cavity_behind_teeth_does_not_have_their_colour(face: Face) -> None:
    around = np.where(np.isfinite(face.model.depth), face.model.depth, -np.inf)
    place = face.texels.spread(face.model.vertices).astype(np.float64)
    behind = place[:, 2] - face.model.read(ndimage.grey_dilation(around, (5, 5)), place)
    hidden = face.of_piece(HeadPiece.MOUTH_CAVITY) & (behind > HIDDEN + 2)
    assert hidden.sum() > 1000
    assert face.painted()[hidden].max() < 110


def test_beyond_the_fitted_lips_the_photo_shows_no_mouth(face: Face) -> None:
    """Parsing that takes the lips for the mouth paints them on nothing behind the fitted ones."""
    lips = openings(face.model.faces, face.model.model_vertices)[HeadPiece.MOUTH_CAVITY]
    centres = np.stack(np.meshgrid(np.arange(SIZE), np.arange(SIZE)), axis=-1).reshape(-1, 2) + 0.5
    inside = inside_by(centres, face.model.pixels(face.model.vertices)[lips]).reshape(SIZE, SIZE)
    labels = np.where(inside > -3, ParsingClass.INNER_MOUTH, face.labels).astype(np.uint8)
    picture = np.where((inside < -1)[..., None], BLUE, face.picture)
    colours = replace(face, labels=labels, picture=picture).painted()
    mouth = np.isin(face.model.layout.piece[face.texels.face], list(NATURAL))
    assert (colours[:, 2] - colours[:, 0])[mouth].max() < 60


def test_a_fitted_opening_that_is_wider_than_the_parsed_one_shows_what_lies_at_its_border(face: Face) -> None:
    inner = face.labels == ParsingClass.INNER_MOUTH
    columns = np.flatnonzero(inner.any(axis=0))
    corners = inner & ~((np.arange(SIZE) > columns[0] + 3) & (np.arange(SIZE) < columns[-1] - 3))
    labels = np.where(corners, ParsingClass.FACE, face.labels).astype(np.uint8)
    picture = np.where(inner[..., None], TOOTH, face.picture)
    picture = np.where(corners[..., None], BLUE, picture).astype(np.uint8)
    colours = replace(face, labels=labels, picture=picture).painted()
    mouth = np.isin(face.model.layout.piece[face.texels.face], list(NATURAL))
    row, column = np.floor(face.texels.spread(face.model.pixels(face.model.vertices))).astype(int).T[::-1]
    shown = mouth & corners[row.clip(0, SIZE - 1), column.clip(0, SIZE - 1)] & (np.abs(face.behind) < 1)
    assert shown.sum() > 10
    assert np.abs(np.median(colours[shown], axis=0) - TOOTH).max() < 25


def test_hidden_teeth_are_like_the_shown_ones(face: Face) -> None:
    picture = face.picture.copy()
    picture[(face.picture == TOOTH).all(axis=-1)] = (90, 220, 90)
    colours, behind = replace(face, picture=picture).painted(), face.behind
    hidden = face.of_piece(HeadPiece.TEETH) & (behind > 2) & (behind < 8)
    assert hidden.sum() > 20
    assert np.quantile((colours[:, 1] - colours[:, 0])[hidden], 0.1) > 0
