"""Glasses that are taken off the photo and put onto a surface of their own."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy import ndimage

from drawn_glasses import BLUE, blueness, with_glasses, worn_glasses
from portrait3d import Portrait
from portrait3d.geometry.mesh import SeeThrough
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.head.glasses import SHAPE, Standing, add_temples, before_skin, in_front, on_both_sides
from portrait3d.portrait import HeadAngles
from portrait3d.rendering.interpolation import interpolate
from portrait3d.rendering.rasterizer import rasterize
from portrait3d.reposing import Reposer
from portrait3d.reposing.motion import Turn


@pytest.fixture(scope="module")
def wearer(portrait: Portrait) -> Portrait:
    """Return the astronaut with glasses."""
    return with_glasses(portrait)


def glasses_of(portrait: Portrait) -> SeeThrough:
    assert portrait.head.glasses is not None
    return portrait.head.glasses


def drawn(portrait: Portrait, worn: SeeThrough) -> Float[np.ndarray, "4 H W"]:
    """The glasses by themselves, as the photo's camera sees them."""
    height, width = portrait.photo.pixels.shape[:2]
    screen = portrait.camera.screen(torch.from_numpy(worn.vertices))
    faces = torch.from_numpy(worn.faces)
    seen = rasterize(screen[None], faces, height, width)
    uv = interpolate(torch.from_numpy(worn.uv)[None], faces, seen)[0]
    row, column = (uv * torch.tensor(worn.texture.shape[1::-1])[:, None, None]).long().numpy()[::-1]
    inside = seen.face_index[0].numpy() >= 0
    high, wide = worn.texture.shape[:2]
    texels = worn.texture[row.clip(0, high - 1), column.clip(0, wide - 1)].transpose(2, 0, 1) / 255
    return texels * inside


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


def test_a_head_without_glasses_has_none(portrait: Portrait) -> None:
    assert portrait.glasses is None
    assert portrait.head.glasses is None
    assert portrait.bare_pixels is portrait.photo.pixels


def test_glasses_are_taken_off_the_photo(portrait: Portrait, wearer: Portrait) -> None:
    frame = worn_glasses(portrait).cover > 0.5
    before, after = (blueness(pixels)[frame].mean() for pixels in (wearer.photo.pixels, wearer.bare_pixels))
    assert before > 0.6
    assert abs(after - blueness(portrait.photo.pixels)[frame].mean()) < 0.06
    around = ndimage.binary_dilation(frame, iterations=6)
    assert np.array_equal(wearer.bare_pixels[~around], wearer.photo.pixels[~around])
    # The skin's texture shows none of it either.
    assert (blueness(wearer.head.texture) > 0.4).sum() <= (blueness(portrait.head.texture) > 0.4).sum() + 20


def test_edges_that_the_cover_misses_leave_no_ghost(wearer: Portrait) -> None:
    assert wearer.glasses is not None
    eroded = ndimage.grey_erosion(wearer.glasses, (3, 3))
    narrow = replace(wearer, glasses=eroded)
    frame = (wearer.glasses > 0.9) & (eroded > 0)
    edge = ndimage.binary_dilation(frame) & (wearer.glasses > 0.5)
    assert blueness(wearer.photo.pixels)[edge].mean() > 0.6
    assert blueness(narrow.bare_pixels)[edge].mean() < 0.1


def test_glasses_lie_where_the_photo_shows_them(wearer: Portrait) -> None:
    assert wearer.glasses is not None
    seen = drawn(wearer, glasses_of(wearer))
    assert overlap(seen[3] > 0.5, wearer.glasses > 0.5) > 0.75
    frame = (seen[3] > 0.5) & (wearer.glasses > 0.9)
    assert np.abs(seen[:3, frame].mean(axis=1) - BLUE.frame).max() < 0.1


def test_they_stand_before_the_eyes_and_reach_the_ears(wearer: Portrait) -> None:
    worn = glasses_of(wearer)
    inverse = wearer.camera_from_model.inverse()
    points = inverse.apply(torch.from_numpy(worn.vertices)).numpy()
    marks = wearer.head_model.landmarks(inverse.apply(wearer.face.vertices)[None])[0].numpy()
    eyes, ears = marks[36:48].mean(0), marks[[0, 16]].mean(0)
    middle = points[np.abs(points[:, 0] - eyes[0]) < 40]
    assert eyes[2] - middle[:, 2].max() > 5
    assert eyes[2] - middle[:, 2].min() < SHAPE.distance + SHAPE.farthest + 4
    assert points[:, 2].max() > ears[2] - 15
    for side in (-1, 1):
        temple = points[points[:, 2] > eyes[2] + 20]
        assert (side * temple[:, 0]).max() > 60


def test_temples_that_no_photo_shows_have_the_frames_colour(wearer: Portrait) -> None:
    worn = glasses_of(wearer)
    solid = worn.texture[..., 3] > 128
    # Columns of the temples: a fifth of the texture on either side.
    fifth = worn.texture.shape[1] // 5
    for side in (slice(fifth // 2, fifth), slice(-fifth, -fifth // 2)):
        high = solid[:, side].sum(axis=0)
        assert (high > 0).all()
        assert high.mean() < worn.texture.shape[0] / 4
        colour = worn.texture[:, side, :3][solid[:, side]].mean(axis=0) / 255
        assert np.abs(colour - BLUE.frame).max() < 0.15


def test_temples_fade_behind_the_ears(wearer: Portrait) -> None:
    alpha = glasses_of(wearer).texture[..., 3].max(axis=0)
    assert alpha[0] < 20
    assert alpha[-1] < 20


def test_expressions_leave_glasses_alone(wearer: Portrait) -> None:
    move = np.ones((len(wearer.head_model.mean), 3), np.float32)
    assert wearer.head.displaced(move).glasses is wearer.head.glasses


def test_what_one_side_hides_is_the_other_sides() -> None:
    picture, seen = np.arange(4 * 2 * 6.0).reshape(4, 2, 6), np.ones((2, 6))
    seen[:, :2] = [0, 0.25]
    both, known = on_both_sides(picture, seen)
    assert np.array_equal(known, np.ones((2, 6)))
    assert np.array_equal(both[..., 2:], picture[..., 2:])
    assert np.array_equal(both[..., 0], picture[..., 5])
    assert np.allclose(both[..., 1], 0.25 * picture[..., 1] + 0.75 * picture[..., 4])
    seen[:, 5] = 0
    assert (on_both_sides(picture, seen)[1][:, [0, 5]] == 0).all()


def test_surface_is_moved_before_skin(portrait: Portrait) -> None:
    model = portrait.head_model
    skin = model.mean
    ears = np.array([[-75.0, -10.0, 50.0], [75.0, -10.0, 50.0]])
    middle = model.landmarks(skin[None])[0, 36:48].mean(0).double().numpy()
    standing = Standing(middle, 66.0, -5.0, ears, -20.0, 20.0)
    columns, rows = standing.lines()
    plain = standing.points(*np.meshgrid(columns, rows))
    # Set back into the face, the front comes out again, but for no more than it may.
    sunk = plain + np.array([0, 0, 12.0])
    moved = before_skin(sunk, skin, model.skin_faces, columns, standing)
    front = np.abs(columns) <= standing.half
    out = (sunk - moved)[:, front, 2]
    assert out.max() == pytest.approx(SHAPE.farthest)
    assert out.min() == 0
    assert np.array_equal(moved[:, front, :2], sunk[:, front, :2])


def test_temples_rise_to_the_ears_but_not_steeply() -> None:
    for height, risen in ((-8.0, -8.0), (-40.0, -SHAPE.slope)):
        ears = np.array([[-75.0, height, 90.0], [75.0, height, 90.0]])
        standing = Standing(np.zeros(3), 60.0, 0.0, ears, -10.0, 10.0)
        ends = standing.points(np.array([[-1, 1]]) * (60.0 + standing.length), np.zeros((1, 2)))
        assert np.allclose(ends[0], [[-75, risen, 90], [75, risen, 90]])


def test_a_known_temple_stays_as_it_is() -> None:
    ears = np.array([[-75.0, -10.0, 50.0], [75.0, -10.0, 50.0]])
    standing = Standing(np.zeros(3), 60.0, 0.0, ears, -10.0, 10.0)
    across, down = np.arange(-110.0, 110.5), np.arange(-14.0, 14.5)
    picture = np.zeros((4, len(down), len(across)))
    picture[:, 10:19, np.abs(across) < 60] = 1
    added = add_temples(picture, (np.abs(across) < 60) * np.ones((len(down), 1)), across, down, 1.0, standing)
    temple = added[3][:, np.abs(across) > 65]
    assert temple.max() == pytest.approx(1)
    assert (temple > 0.5).sum(axis=0).max() <= SHAPE.arm[1]
    known = add_temples(picture, np.ones((len(down), len(across))), across, down, 1.0, standing)
    assert np.array_equal(known[3], picture[3])


def test_turned_glasses_are_where_turned_glasses_are(portrait: Portrait, wearer: Portrait, model) -> None:
    target = HeadAngles(25.0, wearer.pose.pitch, wearer.pose.roll)
    true = worn_glasses(portrait, target=target).cover > 0.5
    turned = blueness(model.repose(wearer, yaw=25.0)) > 0.3
    painted = blueness(model.repose(replace(wearer, glasses=None), yaw=25.0)) > 0.3
    assert overlap(turned, true) > 0.4
    assert overlap(turned, true) > overlap(painted, true) + 0.15


def test_a_half_hidden_front_is_as_the_other_half(portrait: Portrait) -> None:
    # Turned by 60 degrees: the nose hides a part of the farther lens.
    turned = Pose.from_euler(
        torch.tensor(math.radians(60)),
        torch.tensor(0.0),
        torch.tensor(0.0),
        portrait.crop_from_model.translation,
    )
    camera_from_model = portrait.head_crop.roll @ turned
    aside = with_glasses(replace(portrait, camera_from_model=camera_from_model))
    front = glasses_of(aside).texture[..., 3] > 128
    middle = slice(front.shape[1] // 3, -front.shape[1] // 3)
    assert overlap(front[:, middle], front[:, middle][:, ::-1]) > 0.4


def test_what_lies_behind_the_face_is_hidden(portrait: Portrait) -> None:
    crop, model = portrait.head_crop, portrait.head_model
    skin = model.vertices(portrait.coefficients.batched)[0]
    points = portrait.crop_from_model.apply(skin).double().numpy()[model.face_mask.numpy() > 0.9][None]
    for behind, share in ((0.0, 1.0), (3 * SHAPE.hidden, 0.0)):
        # Along the rays, so that they stay behind what they were behind.
        moved = points * (1 + behind / points[..., 2:])
        shown = in_front(moved, crop, skin, model.faces, portrait.crop_from_model)
        assert shown.mean() == pytest.approx(share, abs=0.08)


def test_thin_wires_tell_how_wide_the_glasses_are(portrait: Portrait) -> None:
    wires = replace(BLUE, thickness=0.8, arm=1.5)
    thin = glasses_of(with_glasses(portrait, wires))
    thick = glasses_of(with_glasses(portrait))
    inverse = portrait.camera_from_model.inverse()
    for worn in (thin, thick):
        points = inverse.apply(torch.from_numpy(worn.vertices)).numpy()
        front = points[points[:, 2] < -35]
        assert np.abs(front[:, 0]).max() > 58


def test_refinement_and_large_photos_leave_them_as_they_are(
    portrait: Portrait, wearer: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    reposer = Reposer(wearer, wearer.head_model)
    turn = reposer.coarse_turn(HeadAngles(20.0, 0.0, 0.0), guided=True)
    assert turn.worn is not None
    solid = turn.worn[3].numpy() > 0.99
    assert solid.sum() > 50
    # The network neither sees them nor draws over them.
    assert blueness(as_bytes(turn.image)).max() < 0.4
    grey = reposer.composite(turn, torch.full_like(turn.image, 0.5), everywhere=True)
    plain = reposer.composite(turn)
    inside = np.zeros(plain.shape[:2], bool)
    inside[turn.window.rows, turn.window.columns] = solid
    assert np.abs(grey[inside].astype(int) - plain[inside]).max() <= 2
    assert (grey != plain).any()
    monkeypatch.setattr("portrait3d.reposing.reposer.LARGEST", 150)
    small = Reposer(wearer, wearer.head_model)
    assert small.drawn is not small.portrait
    drawn = small.composite(small.coarse_turn(HeadAngles(20.0, 0.0, 0.0)))
    assert overlap(blueness(drawn) > 0.3, blueness(plain) > 0.3) > 0.6


def test_hair_and_skin_before_glasses_hide_them(wearer: Portrait) -> None:
    layers = Reposer(wearer, wearer.head_model).layers
    turn = Turn(wearer.camera_from_model, HeadAngles(10.0, 0.0, 0.0))
    painted = layers.draw(turn, None)
    shown = layers.draw_worn(painted, turn)
    assert shown is not None
    assert shown[3].max() > 0.9
    hidden = layers.draw_worn(replace(painted, depth=torch.zeros_like(painted.depth)), turn)
    assert hidden is not None
    assert hidden[3].max() == 0


def test_a_lens_before_the_background_goes_with_the_head(wearer: Portrait) -> None:
    # Glasses that reach out of the head are no part of what is behind it.
    assert wearer.glasses is not None
    pixels, cover = wearer.photo.pixels.copy(), wearer.glasses.copy()
    x, y = wearer.landmarks[36:48].mean(axis=0).astype(int)
    out = (slice(y - 4, y + 4), slice(x + 60, x + 100))
    pixels[out], cover[out] = (20, 40, 230), 1.0
    wide = replace(wearer, photo=replace(wearer.photo, pixels=pixels), glasses=cover)
    plate = Reposer(wide, wide.head_model).layers.clean_plate
    assert blueness(as_bytes(plate)).max() < 0.4


@pytest.mark.parametrize("yaw", [-35, 35])
def test_the_farther_side_tells_the_width(portrait: Portrait, yaw: float) -> None:
    # The temple that is seen beside the front of a turned head is no part of it.
    turned = Pose.from_euler(
        torch.tensor(math.radians(yaw)),
        torch.tensor(0.0),
        torch.tensor(0.0),
        portrait.crop_from_model.translation,
    )
    aside = with_glasses(replace(portrait, camera_from_model=portrait.head_crop.roll @ turned))
    assert aside.glasses is not None
    skin = torch.from_numpy(aside._posed_vertices()).float()
    crop, model = portrait.head_crop, portrait.head_model
    standing = Standing.of(aside.glasses, crop, model, skin, aside.crop_from_model)
    assert 53 < standing.half < 66


def test_profiles_have_glasses_too(portrait: Portrait) -> None:
    turned = Pose.from_euler(
        torch.tensor(math.radians(85)),
        torch.tensor(0.0),
        torch.tensor(0.0),
        portrait.crop_from_model.translation,
    )
    aside = with_glasses(replace(portrait, camera_from_model=portrait.head_crop.roll @ turned))
    worn = glasses_of(aside)
    assert aside.glasses is not None
    assert overlap(drawn(aside, worn)[3] > 0.5, aside.glasses > 0.5) > 0.3
