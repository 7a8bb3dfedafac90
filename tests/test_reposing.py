"""Turning the head in the photo: what must not change does not, and what must move does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.spatial.transform import Rotation

from portrait3d.geometry import HeadMesh, HeadPart, HeadPiece, Pose
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.expressions import expression_displacement
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import HEAD, ParsingClass
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing import Reposer, reduced
from portrait3d.reposing.expression import expression_vector
from portrait3d.reposing.motion import Turn, axis_angle
from portrait3d.reposing.surfaces import EYES, MOUTH
from synthetic_head import COLOURS, synthetic_portrait

GREEN = (0, 255, 0)


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


@pytest.fixture(scope="module")
def reposer(portrait: Portrait) -> Reposer:
    return Reposer(portrait, HeadModel.load())


def expression(**weights: float) -> np.ndarray:
    return expression_vector(weights, HeadModel.load().expression_names)


def with_head(portrait: Portrait, head: HeadMesh, **changes) -> Portrait:
    """The portrait with another head, which is not made anew from what changes."""
    other = replace(portrait, **changes)
    vars(other)["head"] = head
    return other


def with_labels(portrait: Portrait, where: np.ndarray, label: ParsingClass, colour=None) -> Portrait:
    """The portrait with pixels of the photo parsed and coloured otherwise."""
    labels, pixels = portrait.parsing.copy(), portrait.photo.pixels.copy()
    labels[where] = label
    pixels[where] = COLOURS[label] if colour is None else colour
    matte = portrait.matte if label in HEAD else np.where(where, 0, portrait.matte)
    parsing = replace(
        portrait.head_parsing,
        labels=labels,
        matte=matte.astype(np.float32),
        head_labels=portrait.head_crop.extract_labels(labels),
    )
    photo = replace(portrait.photo, pixels=pixels)
    return with_head(portrait, portrait.head, head_parsing=parsing, photo=photo)


def green_texture(portrait: Portrait) -> Portrait:
    """The portrait with nothing of the photo in the head's texture."""
    texture = np.zeros_like(portrait.head.texture)
    texture[:] = GREEN
    return with_head(portrait, replace(portrait.head, texture=texture))


def turned(portrait: Portrait, *angles: float, change: np.ndarray | None = None) -> np.ndarray:
    """The unrefined picture of a pose."""
    own = Reposer(portrait, HeadModel.load())
    return own.composite(own.coarse_turn(HeadAngles(*angles), change))


def is_green(picture: np.ndarray) -> np.ndarray:
    return (picture[..., 1] > 150) & (picture[..., ::2] < 100).all(axis=-1)


def shows(picture: np.ndarray, kind: ParsingClass) -> np.ndarray:
    """Pixels with the synthetic colour of a class."""
    return np.abs(picture.astype(int) - COLOURS[kind]).sum(axis=-1) < 25


def pieces_seen(reposer: Reposer, angles: HeadAngles, change: np.ndarray | None = None) -> np.ndarray:
    """`HeadPiece` of the opaque surface in every pixel of the window, 255 where there is none."""
    head = reposer.layers.head
    turn = Turn(reposer.portrait.camera_from_model, angles)
    points = head.surface.moved(turn, None if change is None else reposer.modes.displacement(change))
    drawn = reposer.layers.canvas.draw(points, head.surface.faces, np.zeros((len(points), 1)))
    pieces = np.full(reposer.window.shape, 255, np.uint8)
    box = np.full(drawn.depth.numel(), 255, np.uint8)
    box[drawn.place.numpy()] = head.piece[head.surface.faces[drawn.face.numpy(), 0]]
    pieces[drawn.box] = box.reshape(drawn.depth.shape)
    return pieces


def test_the_photos_own_pose_gives_the_photo_back(portrait: Portrait, reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0))
    assert not turn.holes.any()
    assert np.array_equal(reposer.composite(turn, turn.image), portrait.photo.pixels)


def test_a_tiny_turn_hardly_changes_the_photo(portrait: Portrait, reposer: Reposer) -> None:
    turned = reposer.composite(reposer.coarse_turn(HeadAngles(0.05, 0.0, 0.0)))
    difference = np.abs(turned.astype(int) - portrait.photo.pixels)
    assert difference.mean() < 0.5


@pytest.mark.parametrize("angles", [(15.0, 0.0, 0.0), (0.0, 10.0, 0.0), (-10.0, 5.0, 8.0)])
def test_pixels_away_from_the_head_stay_exactly_as_they_are(
    portrait: Portrait, reposer: Reposer, angles: tuple[float, float, float]
) -> None:
    turn = reposer.coarse_turn(HeadAngles(*angles))
    turned = reposer.composite(turn, torch.ones_like(turn.image))
    reach = ndimage.binary_dilation(portrait.parsing > 0, iterations=32)
    assert np.array_equal(turned[~reach], portrait.photo.pixels[~reach])
    assert (turned != portrait.photo.pixels).any()


def test_yaw_moves_the_face_to_the_right_of_the_picture(portrait: Portrait, reposer: Reposer) -> None:
    def face_centre(pixels: np.ndarray) -> float:
        return float(np.nonzero(shows(pixels, ParsingClass.FACE))[1].mean())

    before = face_centre(portrait.photo.pixels)
    right = face_centre(reposer.composite(reposer.coarse_turn(HeadAngles(12.0, 0.0, 0.0))))
    left = face_centre(reposer.composite(reposer.coarse_turn(HeadAngles(-12.0, 0.0, 0.0))))
    assert left < before - 2
    assert right > before + 2
    assert right - before == pytest.approx(before - left, abs=2.0)


def test_the_plate_shows_the_wall_where_the_head_was(portrait: Portrait, reposer: Reposer) -> None:
    picture = reposer.composite(reposer.coarse_turn(HeadAngles(0.0, 0.0, 25.0)))
    was_head = portrait.parsing == ParsingClass.LEFT_EAR
    is_wall = (np.abs(picture.astype(int) - 100) < 20).all(axis=-1)
    assert (was_head & is_wall).sum() > 0.5 * was_head.sum()


def test_the_photo_colours_what_it_shows_and_the_texture_the_rest(portrait: Portrait) -> None:
    own = Reposer(green_texture(portrait), HeadModel.load())
    for yaw in (-35.0, 35.0):
        turn = own.coarse_turn(HeadAngles(yaw, 0.0, 0.0))
        picture = own.composite(turn)
        face = shows(picture, ParsingClass.FACE)
        assert face.sum() > 0.4 * shows(portrait.photo.pixels, ParsingClass.FACE).sum()
        green = is_green(picture)[own.window.rows, own.window.columns]
        assert green.sum() > 300
        # What the photo does not show is the network's to refine, what it shows is not.
        assert turn.unknown[0].numpy()[green].mean() > 0.8
        inner = ndimage.binary_erosion(face[own.window.rows, own.window.columns], iterations=4)
        assert turn.unknown[0].numpy()[inner].mean() < 0.05
    slightly = own.composite(own.coarse_turn(HeadAngles(1.0, 0.0, 0.0)))
    assert is_green(slightly).sum() < 0.01 * (portrait.parsing > 0).sum()


def test_what_the_photo_saw_edge_on_loses_its_colours_in_a_large_turn(reposer: Reposer) -> None:
    head = reposer.layers.head
    pose = reposer.portrait.camera_from_model
    large, small = (head.surface.kept(Turn(pose, HeadAngles(yaw, 0.0, 0.0)), False) for yaw in (40.0, 2.0))
    assert 0.05 < np.mean(large[head.shown] < 0.5) < 0.5
    assert small[head.shown].min() > 0.95


def test_hair_loses_stretched_colours_before_skin_does(reposer: Reposer) -> None:
    head, pose = reposer.layers.head, reposer.portrait.camera_from_model
    skin, hair = (head.surface.kept(Turn(pose, HeadAngles(40.0, 0.0, 0.0)), hair) for hair in (False, True))
    assert (hair <= skin).all()
    assert ((hair < 0.1) & (skin > 0.5)).any()
    assert hair[skin == 1].max() == 1


def test_hair_is_as_see_through_as_the_matte(portrait: Portrait) -> None:
    hair = ndimage.distance_transform_edt(portrait.parsing != ParsingClass.HAIR)
    above = (hair > 1.5) & (hair < 3.5) & (np.indices(hair.shape)[0] < 60)
    pixels = portrait.photo.pixels.copy()
    pixels[above] = COLOURS[ParsingClass.HAIR]

    def brightness(share: float) -> float:
        matte = np.where(above, share, portrait.matte).astype(np.float32)
        strands = with_head(
            portrait,
            portrait.head,
            head_parsing=replace(portrait.head_parsing, matte=matte),
            photo=replace(portrait.photo, pixels=pixels),
        )
        return float(turned(strands, 0.5, 0.0, 0.0)[above].mean())

    thick, thin, none = brightness(1.0), brightness(0.35), brightness(0.0)
    assert thick + 8 < thin < none - 8


def test_photographed_hair_turns_on_its_sheet() -> None:
    portrait = green_texture(synthetic_portrait(style="fringe"))
    sheet = portrait.head.hair_sheet
    bare = portrait.head.kept((portrait.head.piece != HeadPiece.HAIR)[portrait.head.faces].all(axis=1))

    def hair(head: HeadMesh) -> int:
        return int(shows(turned(with_head(portrait, head), 8.0, 0.0, 0.0), ParsingClass.HAIR).sum())

    parsed = int((portrait.parsing == ParsingClass.HAIR).sum())
    assert hair(replace(bare, hair_sheet=sheet)) > 0.8 * parsed
    assert hair(bare) < 0.1 * parsed


def test_the_photographed_neck_bends_where_the_models_is_narrower(portrait: Portrait) -> None:
    neck = portrait.parsing == ParsingClass.NECK
    rows, columns = np.nonzero(neck)
    row, edge = int(np.median(rows)), int(columns[rows == int(np.median(rows))].min())
    beside = np.zeros_like(neck)
    beside[row - 12 : row + 40, edge - 10 : edge + 2] = True
    wide = with_labels(portrait, beside, ParsingClass.NECK, colour=(250, 20, 20))

    def red(roll: float) -> tuple[float, int]:
        picture = turned(wide, 0.0, 0.0, roll).astype(int)
        found = np.nonzero(
            (picture[row - 12 : row + 5, :, 0] > 180) & (picture[row - 12 : row + 5, :, 1] < 90)
        )
        return float(found[1].mean()), len(found[0])

    (left, some), (right, others) = red(8.0), red(-8.0)
    assert min(some, others) > 60
    assert left < right - 3  # the neck lies below the pivot: it moves against the crown


def test_clothes_stay_before_a_neck_that_turns(portrait: Portrait) -> None:
    rows, _ = np.nonzero(portrait.parsing == ParsingClass.NECK)
    collar = (np.indices(portrait.parsing.shape)[0] > np.quantile(rows, 0.4)) & (portrait.parsing > 0)
    dressed = with_labels(portrait, collar, ParsingClass.BODY)
    picture = turned(dressed, 20.0, 0.0, 0.0)
    inside = ndimage.binary_erosion(collar, iterations=4)
    assert inside.sum() > 100
    assert np.array_equal(picture[inside], dressed.photo.pixels[inside])


def test_hanging_hair_lags_behind_the_head() -> None:
    portrait = synthetic_portrait(style="long")
    own = Reposer(portrait, HeadModel.load())
    turn = Turn(portrait.camera_from_model, HeadAngles(20.0, 0.0, 0.0))
    assert own.layers.hair is not None
    for surface in (own.layers.head.surface, own.layers.hair.surface):
        share = surface.follow
        assert share.max() == 1
        assert share.min() < 0.75
    surface = own.layers.hair.surface
    way = np.linalg.norm(
        surface.moved(turn, None) - turn.apply(surface.vertices, np.ones(len(share))), axis=1
    )
    assert way[share == 1].max() < 1e-9
    assert way.max() > 4


def test_an_ear_that_comes_into_view_is_an_ear() -> None:
    """Turned far, the hidden half of a half-covered ear is seen, with the ear's own triangles before hair."""
    portrait = synthetic_portrait(style="half-covered ears")
    own = Reposer(portrait, HeadModel.load())
    head = portrait.head
    ear = (head.part == HeadPart.EAR) & (head.vertices[:, 0] < 0)

    def seen(yaw: float) -> int:
        surface = own.layers.head.surface
        turn = Turn(portrait.camera_from_model, HeadAngles(yaw, 0.0, 0.0))
        drawn = own.layers.canvas.draw(surface.moved(turn, None), head.faces, np.zeros((len(head.part), 1)))
        return int(ear[head.faces[drawn.face.numpy(), 0]].sum())

    assert seen(40.0) > 1.5 * seen(0.0) > 20


def test_the_refined_picture_is_used_in_holes_only(reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(15.0, 0.0, 0.0))
    plain = reposer.composite(turn)
    refined = reposer.composite(turn, torch.where(turn.holes > 0, 1.0, turn.image))
    window = turn.window
    changed = (plain != refined).any(axis=-1)[window.rows, window.columns]
    unknown = turn.unknown[0].numpy()
    assert 0.01 < turn.holes.mean() < 0.3
    assert not changed[unknown == 0].any()
    assert changed[unknown > 0.9].mean() > 0.8


def test_large_photos_are_drawn_smaller_and_stay_the_same_elsewhere(
    portrait: Portrait, reposer: Reposer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("portrait3d.reposing.reposer.LARGEST", 120)
    small = Reposer(portrait, HeadModel.load())
    assert max(small.window.shape) <= 122
    own = small.coarse_turn(HeadAngles(0.0, 0.0, 0.0))
    assert np.array_equal(small.composite(own), portrait.photo.pixels)
    angles = HeadAngles(12.0, 0.0, 0.0)
    picture = small.composite(small.coarse_turn(angles))
    exact = reposer.composite(reposer.coarse_turn(angles))
    assert np.array_equal(picture[:10], portrait.photo.pixels[:10])
    assert np.abs(picture.astype(int) - exact).mean() < 6


def test_a_smaller_photo_shares_the_head(portrait: Portrait) -> None:
    small = reduced(portrait, 0.5)
    assert small.head is portrait.head
    assert small.parsing.shape == small.matte.shape == small.photo.pixels.shape[:2] == (160, 170)
    nose = torch.tensor([[0.0, 10.0, 835.0]])
    torch.testing.assert_close(small.camera.project(nose), portrait.camera.project(nose) / 2)
    assert reduced(portrait, 1.0) is portrait


def test_no_expression_in_the_photos_pose_is_the_photo(portrait: Portrait, reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), np.zeros(64))
    assert turn.still
    assert np.array_equal(reposer.composite(turn), portrait.photo.pixels)


def test_an_open_jaw_shows_a_dark_mouth_that_the_hole_map_marks(portrait: Portrait, reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), expression(jawOpen=0.6))
    picture = reposer.composite(turn)
    newly = (picture.astype(int).sum(axis=-1) < 300) & shows(portrait.photo.pixels, ParsingClass.FACE)
    lips = torch.tensor([[0.0, 46.0, 852.0]])
    x, y = portrait.camera.project(lips)[0].tolist()
    row, column = np.nonzero(newly)
    assert len(row) > 40
    assert column.mean() == pytest.approx(x, abs=3)
    assert y - 3 < row.mean() < y + 30
    assert turn.holes.sum() > 30
    mouth = newly[turn.window.rows, turn.window.columns]
    # What is drawn in the mouth is not handed to the network.
    assert turn.unknown[0].numpy()[ndimage.binary_erosion(mouth)].max() < 0.2


def test_a_closed_mouth_shows_its_lips_until_it_opens(portrait: Portrait) -> None:
    """The fitted lips gape a little: the photo's colours fill the gap, the mouth's only once it opens."""
    ajar = HeadModel.load().expression_basis[HeadModel.load().expression_names.index("jawOpen")] * 0.1
    head = portrait.head.displaced(ajar.numpy())
    head = replace(head, seen=head.seen | np.isin(head.piece, MOUTH))
    gaping = green_texture(with_head(portrait, head))
    box = np.zeros(portrait.parsing.shape, bool)
    x, y = portrait.camera.project(torch.tensor([[0.0, 48.0, 852.0]]))[0].round().int().tolist()
    box[y - 12 : y + 25, x - 30 : x + 30] = True
    assert (is_green(turned(gaping, 1.0, 0.0, 0.0)) & box).sum() == 0
    opened = turned(gaping, 1.0, 0.0, 0.0, change=expression(jawOpen=0.4))
    assert (is_green(opened) & box).sum() > 60


def test_photographed_teeth_turn_with_the_head(portrait: Portrait) -> None:
    x, y = portrait.camera.project(torch.tensor([[0.0, 44.0, 855.0]]))[0].round().int().tolist()
    smile = np.zeros(portrait.parsing.shape, bool)
    smile[y - 3 : y + 9, x - 20 : x + 20] = True
    smiling = green_texture(with_labels(portrait, smile, ParsingClass.INNER_MOUTH, colour=(250, 250, 240)))
    own = Reposer(smiling, HeadModel.load())
    change = expression(jawOpen=0.3)
    angles = HeadAngles(12.0, 0.0, 0.0)
    picture = own.composite(own.coarse_turn(angles, change))[own.window.rows, own.window.columns]
    opening = ndimage.binary_erosion(np.isin(pieces_seen(own, angles, change), MOUTH))
    white = (picture > 215).all(axis=-1) & opening
    assert white.sum() > 30


def test_closed_lids_cover_the_eyes(reposer: Reposer) -> None:
    def seen(change: np.ndarray | None) -> int:
        return int(np.isin(pieces_seen(reposer, HeadAngles(2.0, 0.0, 0.0), change), EYES).sum())

    assert seen(None) > 50
    assert seen(expression(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)) < 0.35 * seen(None)


def test_left_and_right_are_the_persons(portrait: Portrait, reposer: Reposer) -> None:
    smile = reposer.modes.displacement(expression(mouthSmileLeft=1.0))
    assert smile is not None
    moved = np.linalg.norm(smile, axis=1)
    # The person's left is on the right of the picture.
    x = portrait.face.vertices[:, 0].numpy()
    assert x[moved > 0.5 * moved.max()].min() > 0


def test_pixels_away_from_the_head_stay_as_they_are_in_an_expression(
    portrait: Portrait, reposer: Reposer
) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), expression(jawOpen=0.7, browInnerUp=1.0))
    picture = reposer.composite(turn, torch.ones_like(turn.image))
    reach = ndimage.binary_dilation(portrait.parsing > 0, iterations=16)
    assert np.array_equal(picture[~reach], portrait.photo.pixels[~reach])


def test_unknown_expressions_are_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match="did you mean jawOpen"):
        expression(jawOpn=0.3)
    with pytest.raises(ValueError, match="unit0"):
        expression(unit0=0.3)
    with pytest.raises(ValueError, match="finite"):
        expression(jawOpen=float("inf"))


def test_a_neutral_photo_shows_closed_lips(portrait: Portrait) -> None:
    model = HeadModel.load()
    wide = {"jawOpen": 0.3, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}
    strengths = torch.from_numpy(expression(**wide)).float()
    # Nobody's mouth is open in the synthetic photo: lips that gape would be closed.
    opened = portrait.head.displaced(expression_displacement(wide))
    laughing = with_head(
        portrait,
        replace(opened, expression=expression_displacement(wide) + portrait.head.expression),
        coefficients=replace(portrait.coefficients, expression=strengths),
    )
    own = Reposer(laughing, model)
    inner = [*MOUTH]
    angles = HeadAngles(0.0, 0.0, 0.0)
    assert np.isin(pieces_seen(own, angles), inner).sum() > 100

    def hidden(neutral: float) -> int:
        head = own.layers.head
        points = head.surface.moved(
            Turn(laughing.camera_from_model, angles), own.modes.displacement(neutral=neutral)
        )
        drawn = own.layers.canvas.draw(points, head.surface.faces, np.zeros((len(points), 1)))
        return int(np.isin(head.piece[head.surface.faces[drawn.face.numpy(), 0]], inner).sum())

    assert hidden(1.0) < 5
    assert hidden(0.5) > 20
    turn = own.coarse_turn(angles, neutral=1.0)
    assert not turn.still
    assert own.coarse_turn(angles, neutral=0.0).still


def test_a_head_without_expression_has_nothing_to_take_out(portrait: Portrait) -> None:
    own = Reposer(with_head(portrait, replace(portrait.head, expression=None)), HeadModel.load())
    with pytest.raises(ValueError, match="doesn't know the photo's expression"):
        own.coarse_turn(HeadAngles(0.0, 0.0, 0.0), neutral=1.0)


@pytest.mark.parametrize("missing", ["hair", "neck", "everything"])
def test_any_layer_may_be_missing(portrait: Portrait, missing: str) -> None:
    if missing == "hair":
        person = synthetic_portrait(style="bald")
        assert person.head.hair_sheet is None
        assert not (person.head.piece == HeadPiece.HAIR).any()
    else:
        gone = (portrait.parsing == ParsingClass.NECK) | (missing == "everything")
        labels = np.where(gone, 0, portrait.parsing).astype(np.uint8)
        parsing = replace(
            portrait.head_parsing,
            labels=labels,
            head_labels=portrait.head_crop.extract_labels(labels),
            matte=portrait.matte * (missing != "everything"),
        )
        person = with_head(portrait, portrait.head, head_parsing=parsing)
    picture = turned(person, 12.0, 0.0, 0.0)
    assert picture.shape == person.photo.pixels.shape
    assert (picture != person.photo.pixels).any()


def test_a_face_that_fills_the_photo_turns(portrait: Portrait) -> None:
    rows, columns = slice(100, 220), slice(110, 230)
    parsing = replace(
        portrait.head_parsing,
        labels=portrait.parsing[rows, columns].copy(),
        matte=portrait.matte[rows, columns].copy(),
    )
    crop = replace(portrait.head_crop, centre=(60.0, 50.0))
    person = with_head(
        portrait,
        portrait.head,
        photo=replace(portrait.photo, pixels=portrait.photo.pixels[rows, columns].copy()),
        head_parsing=parsing,
        head_crop=crop,
        camera=crop.photo_camera(120, 120),
    )
    picture = turned(person, 10.0, 0.0, 0.0)
    assert picture.shape == (120, 120, 3)
    assert shows(picture, ParsingClass.FACE).mean() > 0.3


def test_turning_repeats_exactly(portrait: Portrait, reposer: Reposer) -> None:
    angles = HeadAngles(10.0, -5.0, 3.0)
    first = reposer.coarse_turn(angles)
    again = Reposer(portrait, HeadModel.load()).coarse_turn(angles)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.holes, again.holes)
    assert np.array_equal(reposer.composite(first), reposer.composite(again))


def test_the_head_turns_about_the_neck_which_lags() -> None:
    pose = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 900.0]))
    turn = Turn(pose, HeadAngles(20.0, 0.0, 0.0))
    pivot = HEAD_PIVOT + np.array([0, 0, 900.0])
    np.testing.assert_allclose(turn.apply(pivot[None], np.ones(1)), pivot[None], atol=1e-9)
    nose = np.array([[0.0, 10.0, 835.0]])
    assert turn.apply(nose, np.ones(1))[0, 0] > 30
    heights = np.array([[0.0, y, 900.0] for y in (0.0, 90.0, 135.0, 180.0, 300.0)])
    np.testing.assert_allclose(turn.following(heights), [1, 1, 0.5, 0, 0], atol=1e-9)
    # The head's underside rises towards the nape.
    np.testing.assert_allclose(turn.following(np.array([[0.0, 50.0, 1000.0], [0.0, 95.0, 1000.0]])), [1, 0.5])
    np.testing.assert_allclose(turn.apply(nose, np.zeros(1)), nose)


def test_the_whole_face_is_above_the_heads_underside() -> None:
    model = HeadModel.load()
    turn = Turn(Pose.identity(), HeadAngles(0.0, 0.0, 0.0))
    face = (model.face_mask > 0.6) | (model.ears_mask > 0.5)
    assert turn.following(model.mean.double().numpy())[face.numpy()].min() > 0.999


def test_a_turn_rotates_every_vector_by_its_share_of_the_angle() -> None:
    turn = Turn(Pose.identity(), HeadAngles(30.0, -20.0, 10.0))
    vectors, share = np.random.default_rng(0).normal(size=(9, 3)), np.repeat([1.0, 0.25, 0.0], 3)
    expected = Rotation.from_rotvec(share[:, None] * turn.axis_angle).apply(vectors)
    np.testing.assert_allclose(turn.rotate(vectors, share), expected, atol=1e-12)


def test_axis_and_angle_undo_a_rotation() -> None:
    assert axis_angle(np.eye(3)) == pytest.approx([0, 0, 0])
    angle = np.radians(30)
    about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    assert axis_angle(about_y) == pytest.approx([0, angle, 0])
