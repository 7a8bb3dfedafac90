"""Colours of the skin: the photo where it shows it, what is likely elsewhere."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from jaxtyping import Bool, Float, UInt8

from portrait3d.geometry import HeadPiece
from portrait3d.geometry.skin import normals, view_cosine
from portrait3d.head.assembly import painted_skin
from portrait3d.head.fitted import FittedHead
from portrait3d.head.hair_body import grow_body
from portrait3d.head.hair_texture import paint_hair
from portrait3d.head.layout import Texels
from portrait3d.head.placement import texels
from portrait3d.head.skin import in_layers, photographed, under_hair
from portrait3d.head.skin_texture import (
    GRAZING,
    STEADY,
    bake_seen,
    bake_skin,
    bake_unseen,
    bare_light,
    view_weight,
    with_strands,
)
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from synthetic_head import COLOURS, Sitter, sitter

SKIN_COLOUR = COLOURS[ParsingClass.FACE] / 255
GREEN = np.array([0, 200, 0], np.uint8)


@dataclass(frozen=True)
class Baking:
    """A sitter on the way into a small texture."""

    known: Sitter
    model: FittedHead
    shown: Bool[np.ndarray, " V"]
    hairy: Float[np.ndarray, " V"]
    lying: Bool[np.ndarray, "S S"]
    fine: Texels

    @classmethod
    def of(cls, known: Sitter) -> "Baking":
        model, view = in_layers(known.head, known.view)
        shown = photographed(model, view)
        hairy = under_hair(model, view, grow_body(view, model), shown)
        return cls(known, model, shown, hairy, view.lying, texels(model.layout, 256)[0])

    def painted(self, where: np.ndarray) -> UInt8[np.ndarray, "2S 2S 3"]:
        """The photo with pixels of the crop in green."""
        picture = self.known.picture
        picture[np.kron(where, np.ones((2, 2), bool))] = GREEN
        return picture

    def seen(self, picture: np.ndarray) -> tuple[Float[np.ndarray, "N 3"], Float[np.ndarray, " N"]]:
        scene = self.known.scene(picture)
        return bake_seen(self.model, self.fine, scene, self.shown, scene.hairline(self.lying))

    def unseen(self, picture: np.ndarray | None = None) -> Float[np.ndarray, "N 3"]:
        return bake_unseen(self.model, self.fine, self.known.scene(picture), self.shown)

    def at_texels(self, values: np.ndarray) -> np.ndarray:
        return self.fine.spread(values.astype(np.float64)[:, None])[:, 0]

    @property
    def place(self) -> Float[np.ndarray, "N 3"]:
        """The texels in the model's frame; NaN off the skin."""
        place = self.fine.spread(self.model.model_vertices)
        place[self.model.layout.piece[self.fine.face] != HeadPiece.SURFACE] = np.nan
        return place


@pytest.fixture(scope="module")
def bald(sitters: dict[str, Sitter]) -> Baking:
    return Baking.of(sitters["bald"])


@pytest.fixture(scope="module")
def turned(model: HeadModel) -> Baking:
    """Turned so far that one cheek is hidden."""
    return Baking.of(sitter(model, "bald", yaw=45))


def greenness(colours: np.ndarray) -> np.ndarray:
    """How much more green than the synthetic skin colours are."""
    return (colours[:, 1] - colours[:, 0]) - (SKIN_COLOUR[1] - SKIN_COLOUR[0])


def test_only_skin_takes_the_photos_colours(sitters: dict[str, Sitter]) -> None:
    known = sitters["bald"]
    hand = np.zeros(known.labels.shape, bool)
    hand[140:160, 90:115] = True
    labels = np.where(hand, ParsingClass.BODY, known.labels).astype(np.uint8)
    baking = Baking.of(Sitter(known.head, labels, known.depth))
    colours, share = baking.seen(baking.painted(hand))
    on_hand = greenness(colours) > 0.3
    assert on_hand.sum() > 50
    assert share[on_hand].max() < 0.2


def test_skin_takes_the_photos_colours_as_far_as_it_faces_the_camera(bald: Baking) -> None:
    weight = view_weight(bald.model, bald.shown)
    cosine = view_cosine(bald.model.vertices, normals(bald.model.vertices, bald.model.faces))
    assert (weight[~bald.shown | (cosine < GRAZING)] == 0).all()
    assert (weight[bald.shown & (cosine > STEADY)] == 1).all()
    between = bald.shown & (cosine > GRAZING + 0.1) & (cosine < STEADY - 0.1)
    assert 0.2 < weight[between].min() < weight[between].max() < 0.8


def test_triangles_from_skin_to_the_hair_on_it_show_what_the_photo_does(sitters: dict[str, Sitter]) -> None:
    baking = Baking.of(sitters["cap"].with_hair_at(11.0))
    faces, shown = baking.model.faces, baking.shown
    cosine = view_cosine(baking.model.vertices, normals(baking.model.vertices, faces))
    edge = shown[faces].any(axis=1) & ~shown[faces].all(axis=1) & (cosine[faces] > STEADY).all(axis=1)
    edge &= (baking.model.model_vertices[faces, 1] < -30).all(axis=1)
    own = np.isin(baking.fine.face, np.flatnonzero(edge))
    assert own.sum() > 100
    assert np.median(baking.seen(baking.known.picture)[1][own]) > 0.8


def test_what_is_not_seen_goes_on_in_the_colours_beside_it(bald: Baking) -> None:
    scalp = (np.arange(256)[:, None] < 80) & np.isin(bald.known.labels, (1,))
    colours = bald.unseen(bald.painted(scalp))
    x, y, z = bald.place.T
    beside = (y < -85) & (np.abs(x) < 30) & (bald.at_texels(bald.shown) == 0) & (z < 70)
    assert beside.sum() > 50
    assert np.median(greenness(colours)[beside]) > 0.5 * np.median(
        greenness(GREEN[None] / 255 * np.ones((1, 3)))
    )


def test_far_from_what_is_seen_skin_has_the_faces_usual_colour(bald: Baking) -> None:
    off_face = np.isin(bald.known.labels, (1, 3, 4, 6)) & (np.arange(256)[:, None] < 90)
    colours = bald.unseen(bald.painted(off_face))
    x, y, z = bald.place.T
    back = (z > 110) & (y > 20) & (y < 90) & (np.abs(x) < 40)
    assert back.sum() > 50
    assert np.median(greenness(colours)[back]) < 0.12


def test_hollows_of_ears_that_the_photo_does_not_show_are_dark(bald: Baking) -> None:
    layout = bald.model.layout
    even = replace(bald.model, layout=replace(layout, ear_light=np.ones_like(layout.ear_light)))
    scene = bald.known.scene(bald.known.picture)
    shaded, plain = (bake_unseen(model, bald.fine, scene, bald.shown) for model in (bald.model, even))
    light = bald.at_texels(layout.ear_light)
    near = np.abs(shaded - plain * light[:, None])[bald.at_texels(bald.shown.astype(float)) == 0]
    assert np.quantile(near, 0.99) < 0.02
    ear = bald.model.ears_mask[bald.fine.corners].min(axis=1) > 0.5
    assert np.quantile((shaded / plain)[ear], 0.01) < 0.7


def test_a_hidden_cheek_has_the_colours_and_the_detail_of_the_other(turned: Baking) -> None:
    shown = turned.at_texels(turned.shown)
    weight = view_weight(turned.model, turned.shown)
    mirrored = turned.at_texels((weight > 0.9)[turned.model.layout.mirror])
    x, y, _ = turned.place.T
    hidden = (shown == 0) & (mirrored == 1) & (np.abs(x) > 40) & (np.abs(y - 20) < 50)
    hidden &= turned.at_texels(turned.model.layout.ear_light) == 1
    assert hidden.sum() > 200
    side = np.sign(np.median(x[hidden]))
    pixels = turned.model.pixels(turned.model.vertices)
    cheek = (np.abs(turned.model.model_vertices[:, 0] + side * 60) < 20) & turned.shown
    cheek &= np.abs(turned.model.model_vertices[:, 1] - 20) < 50
    column, row = np.floor(pixels[cheek]).astype(int).T
    box = np.zeros(turned.known.labels.shape, bool)
    box[row.min() : row.max() + 1, column.min() : column.max() + 1] = True
    plain, green = turned.unseen(), turned.unseen(turned.painted(box))
    assert np.median(greenness(green)[hidden] - greenness(plain)[hidden]) > 0.2
    striped = turned.unseen(turned.painted(box & (np.arange(256)[:, None] // 3 % 2 == 0)))
    steps, none = (np.abs(np.diff(colours[hidden, 1])).mean() for colours in (striped, green))
    assert steps > 3 * none


def test_skin_under_hair_has_the_hairs_colour_and_bare_skin_does_not(sitters: dict[str, Sitter]) -> None:
    known = sitters["cap"]
    baking = Baking.of(known)
    view = in_layers(known.head, known.view)[1]
    hair = paint_hair(view, baking.model, known.scene(), 128)
    assert hair is not None
    colours = with_strands(baking.model, baking.fine, baking.unseen(), baking.hairy, hair.colours)
    hairy = baking.at_texels(baking.hairy)
    under, bare = hairy > 0.99, (hairy == 0) & (baking.at_texels(baking.shown) == 1)
    assert min(under.sum(), bare.sum()) > 500
    assert np.abs(np.median(colours[under], axis=0) - COLOURS[2] / 255).max() < 0.06
    assert np.abs(np.median(colours[bare], axis=0) - SKIN_COLOUR).max() < 0.06
    pair = texels(baking.model.layout, 256)
    skin = bake_skin(baking.model, pair, known.scene(), baking.shown, baking.lying)
    texture = painted_skin(baking.model, pair, skin, baking.hairy, hair, delight=False) / 255
    finished = texture.reshape(-1, 3)[baking.fine.place]
    assert np.abs(np.median(finished[under], axis=0) - COLOURS[2] / 255).max() < 0.06


def test_light_is_taken_out_of_bare_skin_alone(bald: Baking) -> None:
    model = bald.model
    bright = np.where(model.face_mask > 0.5, 1.0, 1.4)
    lit = replace(model, irradiance=bright)
    hairy = (model.model_vertices[:, 1] < -60).astype(float)
    light = bare_light(lit, bald.fine, hairy)
    _, y, z = bald.place.T
    np.testing.assert_allclose(light[y < -90], 1.0, atol=1e-3)
    np.testing.assert_allclose(light[(y > -40) & (z > 60)], 1.4, atol=1e-3)
    eyes = np.isin(model.layout.piece[bald.fine.face], (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE))
    np.testing.assert_allclose(light[eyes], 1.0, atol=1e-3)


def test_a_mole_in_the_photo_is_one_on_the_skin(bald: Baking) -> None:
    mole = np.zeros(bald.known.labels.shape, bool)
    mole[88:92, 124:128] = True
    pair = texels(bald.model.layout, 256)
    scene = bald.known.scene(bald.painted(mole))
    skin = bake_skin(bald.model, pair, scene, bald.shown, bald.lying)
    texture = painted_skin(bald.model, pair, skin, bald.hairy, None, delight=False) / 255
    colours = texture.reshape(-1, 3)[bald.fine.place]
    pixels = bald.fine.spread(bald.model.pixels(bald.model.vertices))
    on_mole = (np.abs(pixels - [126, 90]) < 1).all(axis=1) & (bald.at_texels(bald.shown) == 1)
    assert on_mole.sum() > 2
    assert greenness(colours)[on_mole].min() > 0.5
    eyes = np.isin(bald.model.layout.piece[bald.fine.face], (HeadPiece.LEFT_EYE, HeadPiece.RIGHT_EYE))
    assert np.median(colours[eyes, 0] - colours[eyes, 2]) < 0.12  # white, not skin
    assert np.median(colours[eyes]) > 0.3  # nor nothing
    assert texture.shape == (512, 512, 3)
    unseen = bald.at_texels(bald.shown) == 0
    assert np.abs(np.median(colours[unseen], axis=0) - SKIN_COLOUR).max() < 0.06
