"""How one layer of a turned head goes over another: opacity, depth, trust in the photo."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.geometry import HeadPiece, Pose
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing import Reposer
from portrait3d.reposing.clean_plate import fill_clean_plate
from portrait3d.reposing.drawing import Drawing
from portrait3d.reposing.layers import OPENS, Painted, TurningHead, photographed_mouth
from portrait3d.reposing.motion import Turn
from portrait3d.reposing.regions import Regions, photo_frame, see_regions, soften
from portrait3d.reposing.sheets import LIFT, lifted, mouth_surface, neck_surface, part_depth
from portrait3d.reposing.surfaces import EYES, MOUTH, OpaqueHead
from synthetic_head import synthetic_portrait

GREEN = torch.tensor([0.0, 1.0, 0.0])[:, None, None]


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


@pytest.fixture(scope="module")
def reposer(portrait: Portrait) -> Reposer:
    return Reposer(portrait, HeadModel.load())


@pytest.fixture(scope="module")
def rest(portrait: Portrait) -> Turn:
    return Turn(portrait.camera_from_model, portrait.pose)


@pytest.fixture
def layers(reposer: Reposer) -> TurningHead:
    """A copy to change, with a green texture before a black clean plate without a hole."""
    own = copy.copy(reposer.layers)
    own.texture = np.zeros_like(own.texture)
    own.texture[:] = (0, 255, 0)
    own.clean_plate, own.hole = torch.zeros_like(own.clean_plate), torch.zeros_like(own.hole)
    return own


def pose_of(turn: Turn) -> Pose:
    """Where the head is before it turns."""
    return Pose(torch.from_numpy(turn.rotation).float(), torch.from_numpy(turn.translation).float())


def centre(portrait: Portrait, point: tuple[float, float, float]) -> tuple[slice, slice]:
    """A few pixels of the window around a point of the head, camera's frame, mm."""
    x, y = portrait.camera.project(torch.tensor([point]))[0].round().int().tolist()
    return slice(y - 2, y + 3), slice(x - 2, x + 3)


def opaque(layers: TurningHead, turn: Turn) -> Painted:
    """The window with what one z-buffer sorts."""
    painted = layers._ground(guided=False)
    layers._draw_opaque(painted, turn, None)
    return painted


def test_a_layer_covers_as_far_as_it_is_opaque() -> None:
    blank = torch.full((4, 4), torch.inf)
    painted = Painted(torch.tensor([0.0, 0, 0, 1, 0])[:, None, None].repeat(1, 4, 4), blank)
    none = torch.zeros(0, dtype=torch.int64)
    drawn = Drawing((slice(1, 3), slice(1, 3)), none, none, torch.zeros(1, 0), torch.full((2, 2), 900.0))
    maps = [torch.ones(3, 2, 2), torch.zeros(2, 2, 2)]
    painted.cover(drawn, maps, torch.full((1, 2, 2), 0.3), drawn.depth)
    torch.testing.assert_close(painted.picture[:, 1:3, 1:3], torch.full((3, 2, 2), 0.3))
    torch.testing.assert_close(painted.unknown[:, 1:3, 1:3], torch.full((1, 2, 2), 0.7))
    assert painted.picture.sum() == pytest.approx(12 * 0.3)
    assert (painted.depth < 1000).sum() == 4


@pytest.mark.parametrize(
    "hidden", ["nothing", "what is nearer", "its own alpha", "stretching", "standing still"]
)
def test_a_sheet_shows_unless_something_hides_it(layers: TurningHead, rest: Turn, hidden: str) -> None:
    assert layers.hair is not None
    surface, picture, depth = layers.hair.surface, layers.hair.picture, torch.inf
    if hidden == "what is nearer":
        depth = 100.0
    elif hidden == "its own alpha":
        picture = np.concatenate([picture[..., :3], np.zeros_like(picture[..., 3:])], axis=-1)
    elif hidden == "stretching":  # seen edge-on in the photo, face-on now
        edge_on = np.cross(surface.vertices, [0.0, 1.0, 0.0])
        edge_on /= np.linalg.norm(edge_on, axis=1, keepdims=True)
        surface = replace(surface, normals=edge_on)
    elif hidden == "standing still":
        surface = replace(surface, follow=np.zeros_like(surface.follow))
    turn = Turn(pose_of(rest), HeadAngles(60.0, 0.0, 0.0)) if hidden == "stretching" else rest
    size = layers.picture.shape[1:]
    ground = torch.cat([GREEN.expand(3, *size), layers.hole, torch.zeros_like(layers.hole)])
    painted = Painted(ground.clone(), torch.full(size, depth))
    layers._draw_sheet(painted, replace(layers.hair, surface=surface, picture=picture), None, turn, None)
    changed = ((painted.picture - ground[:3]).abs().amax(0) > 0.3).sum()
    assert changed > 1000 if hidden == "nothing" else changed < 20


@pytest.mark.parametrize("name", ["neck", "teeth", "hair"])
def test_every_sheet_is_drawn_and_clothes_stay_before_the_neck(
    layers: TurningHead, portrait: Portrait, name: str
) -> None:
    sheet = layers.hair
    assert sheet is not None
    green = np.broadcast_to(np.array([0, 1, 0, 1], np.float32), sheet.picture.shape)
    layers.texture = np.zeros_like(layers.texture)
    layers.neck = layers.teeth = layers.hair = None
    setattr(layers, name, replace(sheet, picture=green.copy()))
    turn = Turn(portrait.camera_from_model, HeadAngles(2.0, 0.0, 0.0))
    for clothes in (0.0, 1.0):
        layers.clothes = torch.full_like(layers.clothes, clothes)
        shown = (layers.draw(turn, None).picture[1] > 0.9).sum() > 1000
        assert shown == (clothes == 0 or name != "neck")


def test_the_sheet_of_hair_is_where_hair_is_and_the_plate_shows_no_head(
    portrait: Portrait, reposer: Reposer
) -> None:
    layers, window = reposer.layers, reposer.window
    assert layers.hair is not None
    shown = portrait.parsing[window.rows, window.columns]
    inner = {kind: ndimage.binary_erosion(shown == kind, iterations=5) for kind in (0, 1, 2)}
    alpha = layers.hair.picture[..., 3]
    assert alpha[inner[ParsingClass.HAIR]].min() > 0.95
    assert alpha[inner[ParsingClass.FACE]].max() < 0.05
    assert alpha[inner[ParsingClass.BACKGROUND]].max() < 0.05
    wall = layers.clean_plate.numpy()[:, inner[ParsingClass.FACE] | inner[ParsingClass.HAIR]]
    assert np.abs(wall * 255 - 100).max() < 15


@pytest.mark.parametrize("why", ["not shown", "stretched", "another class", "shown"])
def test_the_photo_colours_the_opaque_head_where_it_can_be_trusted(
    layers: TurningHead, portrait: Portrait, rest: Turn, why: str
) -> None:
    head = layers.head
    turn = rest
    if why == "not shown":
        layers.head = replace(head, shown=np.zeros_like(head.shown))
    elif why == "stretched":
        flat = np.cross(head.surface.vertices, [1.0, 0.0, 0.0])
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        layers.head = replace(head, surface=replace(head.surface, normals=flat))
        turn = Turn(pose_of(rest), HeadAngles(0.0, 25.0, 0.0))
    elif why == "another class":
        layers.photo = np.concatenate([layers.photo[..., :3], np.zeros_like(layers.photo[..., 3:])], axis=-1)
    painted = opaque(layers, turn)
    nose = centre(portrait, (0.0, 0.0, 840.0))
    green = float((painted.picture[1] - painted.picture[0])[nose].mean())
    unknown = float(painted.unknown[0][nose].mean())
    assert (green > 0.8) == (unknown > 0.8) == (why != "shown")
    assert (green < 0.1) == (unknown < 0.1) == (why == "shown")


def test_eyes_are_new_but_not_unknown_and_the_plate_is_unknown(
    layers: TurningHead, reposer: Reposer, rest: Turn
) -> None:
    layers.head = replace(layers.head, shown=np.zeros_like(layers.head.shown))
    layers.hole = reposer.layers.hole
    painted = opaque(layers, rest)
    head = layers.head
    drawn = layers.canvas.draw(head.surface.vertices, head.surface.faces, np.zeros((len(head.piece), 1)))
    piece = np.full(drawn.depth.shape, 255, np.uint8)
    piece.reshape(-1)[drawn.place.numpy()] = head.piece[head.surface.faces[drawn.face.numpy(), 0]]
    eyes = np.isin(piece, EYES)
    unknown, inner = (m[0][drawn.box].numpy()[eyes] for m in (painted.unknown, painted.inner))
    assert eyes.sum() > 20
    assert np.median(inner) > 0.9
    assert np.median(unknown) < 0.1
    behind = (layers.hole[0] == 1) & ~torch.isfinite(painted.depth)
    behind = torch.nn.functional.max_pool2d(1 - behind[None].float(), 3, 1, 1)[0] == 0
    assert behind.sum() > 20
    assert painted.unknown[0][behind].min() == 1


def test_the_opaque_head_has_a_soft_outline(layers: TurningHead, rest: Turn) -> None:
    layers.head = replace(layers.head, shown=np.zeros_like(layers.head.shown))
    green = opaque(layers, rest).picture[1]
    assert ((green > 0.05) & (green < 0.95)).sum() > 100


def test_what_stands_still_or_hangs_behind_clothes_is_not_drawn(layers: TurningHead, rest: Turn) -> None:
    drawn = opaque(layers, rest).picture
    low = (layers.head.under > 0.99) & (layers.head.surface.moving > 0.99)
    assert low.sum() > 20
    x, y = (layers.head.surface.photo[low] - [layers.canvas.window.left, layers.canvas.window.top]).T.astype(
        int
    )
    x, y = x.clip(0, drawn.shape[2] - 1), y.clip(0, drawn.shape[1] - 1)
    assert (drawn.amax(0)[y, x] > 0.2).float().mean() > 0.9
    layers.clothes = torch.ones_like(layers.clothes)
    assert (opaque(layers, rest).picture.amax(0)[y, x] > 0.2).float().mean() < 0.5
    surface = replace(layers.head.surface, follow=np.zeros_like(layers.head.surface.follow))
    layers.head = replace(layers.head, surface=surface)
    assert opaque(layers, rest).picture.amax() < 0.01


def test_lips_that_part_show_the_mouths_own_colours(layers: TurningHead) -> None:
    apart = np.zeros((layers._lips.max() + 1, 3))
    apart[layers._lips[0], 1] = OPENS / 2
    assert layers._closed(None) == 1
    assert layers._closed(apart) == pytest.approx(0.5)
    layers.teeth = layers.hair
    assert layers._closed(None) == 0


def test_the_photographed_mouth_goes_on_behind_upper_lip_and_corners() -> None:
    mouth, none = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20)
    mouth[:, 10:12, 8:12] = 1
    alpha = photographed_mouth(torch.rand(3, 20, 20), Regions(none, none, none, none, none, mouth, none), 3)[
        ..., 3
    ]
    wanted = np.zeros((20, 20))
    wanted[7:12, 5:15] = 1
    np.testing.assert_array_equal(alpha, wanted)


def test_eyes_and_mouth_turn_fully_and_clothes_hide_what_hangs_behind(portrait: Portrait, rest: Turn) -> None:
    head = portrait.head
    assert head.binding is not None
    lower = replace(head, vertices=head.vertices + np.array([0, 90, 0], np.float32))
    opaque = OpaqueHead.of(lower, head.binding, portrait.camera, rest)
    inner = np.isin(head.piece, (*EYES, *MOUTH))
    assert (opaque.surface.follow[inner] == 1).all()
    assert (opaque.surface.follow[~inner] < 0.5).any()
    before = rest.to_model(lower.vertices.astype(np.float64))[:, 2] < HEAD_PIVOT[2]
    hair = head.piece == HeadPiece.HAIR
    low = opaque.surface.follow < 0.5
    assert (opaque.under[~hair & low & ~inner] == 1).all()
    assert not opaque.under[hair & before].any()


def test_the_neck_lies_just_before_the_models_and_is_smooth(portrait: Portrait, rest: Turn) -> None:
    frame, labels = photo_frame(portrait)
    head = portrait.head
    faces = head.faces[(head.piece == HeadPiece.SURFACE)[head.faces].all(axis=1)]
    depth = part_depth(frame, head, faces)
    assert depth is not None
    points, _ = lifted(frame, labels == ParsingClass.NECK, 50, head, head.piece == HeadPiece.SURFACE)
    column, row = np.round(
        (frame.camera().project(torch.from_numpy(points).float()).numpy() - 0.5) / 4
    ).T.astype(int)
    np.testing.assert_allclose(points[:, 2], depth[row, column] - LIFT, atol=0.05)
    rough = replace(
        head, vertices=head.vertices + [[0, 0, 15]] * (np.arange(len(head.vertices)) % 7 == 0)[:, None]
    )
    spiked = part_depth(frame, replace(rough, vertices=rough.vertices.astype(np.float32)), faces)
    assert spiked is not None
    inner = (slice(28, 36), slice(28, 36))
    assert np.abs(np.diff(spiked[inner], axis=1)).max() < 8


def test_the_photographed_neck_lies_on_the_neck_wherever_it_is_parsed(portrait: Portrait, rest: Turn) -> None:
    labels = np.where(portrait.parsing > 0, ParsingClass.NECK, 0).astype(np.uint8)
    all_neck = replace(portrait, head_parsing=replace(portrait.head_parsing, labels=labels))
    vars(all_neck)["head"] = portrait.head
    surface = neck_surface(all_neck, HeadModel.load(), rest)
    assert surface is not None
    chin = portrait.head.vertices[portrait.head.seen, 2].min()
    assert surface.vertices[:, 2].min() > chin + 30
    # Nor on the nape, which no photo of a face shows.
    assert surface.vertices[:, 2].max() < rest.pivot[2]


def test_photographed_teeth_stand_still_and_a_few_pixels_are_none(portrait: Portrait, rest: Turn) -> None:
    x, y = portrait.camera.project(torch.tensor([[0.0, 44.0, 855.0]]))[0].round().int().tolist()
    for half, there in ((1, False), (14, True)):
        labels = portrait.parsing.copy()
        labels[y - 1 : y + half // 2 + 1, x - half : x + half] = ParsingClass.INNER_MOUTH
        smiling = replace(portrait, head_parsing=replace(portrait.head_parsing, labels=labels))
        vars(smiling)["head"] = portrait.head
        surface = mouth_surface(smiling, rest)
        assert (surface is not None) == there
        if surface is not None:
            assert not surface.binding.apply(np.ones((len(HeadModel.load().mean), 3))).any()


def test_nothing_comes_to_light_where_nothing_turns(portrait: Portrait, reposer: Reposer, rest: Turn) -> None:
    low = Turn(portrait.camera_from_model, portrait.pose)
    low.translation = low.translation - np.array([0, 120.0, 0])  # as if the shoulders were that much higher
    hole = see_regions(portrait, reposer.window, rest).hole
    assert see_regions(portrait, reposer.window, low).hole.sum() < 0.7 * hole.sum()


def test_the_border_of_what_is_unknown_is_soft_and_known_pixels_stay_known() -> None:
    unknown = torch.zeros(1, 900, 40)
    unknown[:, 300:600] = 1.0
    soft = soften(unknown)
    assert not soft[unknown == 0].any()
    assert 0 < soft[0, 300, 20] < 0.8
    assert soft[0, 450, 20] == 1


def test_clothes_behind_the_head_have_a_sharp_border() -> None:
    picture, body, hole = torch.zeros(3, 60, 60), torch.zeros(60, 60), torch.zeros(60, 60)
    picture[0, :30], picture[2, 30:], body[30:], hole[10:50, 20:40] = 1.0, 1.0, 1.0, 1.0
    red = fill_clean_plate(picture, hole, body)[0, :, 30]
    assert ((red > 0.1) & (red < 0.9)).sum() < 12


def test_what_the_network_changes_everywhere_changes_nothing(reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(15.0, 0.0, 0.0))
    plain = reposer.composite(turn).astype(int)
    brighter = reposer.composite(turn, turn.image + 0.2).astype(int)
    assert np.quantile(np.abs(brighter - plain), 0.999) < 12


def test_expressions_move_the_surface_before_it_turns(reposer: Reposer, rest: Turn) -> None:
    surface = reposer.layers.head.surface
    change = np.zeros((len(HeadModel.load().mean), 3))
    change[:, 1] = 2.0
    moved = surface.moved(rest, change) - surface.moved(rest, None)
    assert moved[:, 1].max() == pytest.approx(2.0, abs=0.01)


def test_beside_the_hole_the_plate_is_the_photo() -> None:
    hole = torch.zeros(800, 60)  # so high that it is filled at a lower resolution
    hole[300:500, 20:40] = 1.0
    picture = torch.rand(3, 800, 60)
    filled = fill_clean_plate(picture, hole, torch.zeros(800, 60))
    assert torch.equal(filled[:, hole == 0], picture[:, hole == 0])
    assert filled[:, 380:420, 28:32].std() < 0.5 * picture.std()


def test_around_the_window_the_network_sees_the_photo(reposer: Reposer) -> None:
    blank = torch.zeros(3, *reposer.window.shape)
    image, holes = reposer._to_crop(blank, torch.ones_like(blank[:1]))
    inside = reposer._places[1][0] == 1
    assert min(inside.sum(), (~inside).sum()) > 1000
    around = reposer.drawn.head_crop.extract(reposer.drawn.photo.pixels)
    torch.testing.assert_close(image[:, ~inside], around[:, ~inside])
    assert not holes[:, ~inside].any()
    assert image[:, inside].max() < 0.01
    assert holes[:, inside].all()


def test_new_parts_of_eyes_and_mouth_are_holes_for_the_network(
    reposer: Reposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (1, *reposer.window.shape)
    new = torch.zeros(size)
    new[:, 80:100, 80:100] = 1.0
    painted = Painted(torch.cat([torch.zeros(4, *size[1:]), new]), torch.zeros(size[1:]))
    monkeypatch.setattr(reposer.layers, "draw", lambda *_, **__: painted)
    turn = reposer.coarse_turn(HeadAngles(10.0, 0.0, 0.0))
    assert turn.holes.sum() > 50
    assert not turn.unknown.any()
