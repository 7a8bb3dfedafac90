"""Earrings that are taken off the photo and hung onto the head."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from drawn_earrings import BLUE, DROP, hanging_place, with_earrings
from drawn_glasses import blueness, with_glasses
from portrait3d import Portrait, Portrait3D
from portrait3d.data.synthetic.earrings import Earring, Piece
from portrait3d.export.photo_files import cutout
from portrait3d.geometry.mesh import SeeThrough
from portrait3d.geometry.pictures import as_bytes
from portrait3d.geometry.pose import Pose
from portrait3d.head.earrings import SHAPE, half_thickness
from portrait3d.models.earrings import lobes
from portrait3d.portrait import HeadAngles
from portrait3d.rendering.view import frame_head, render_view
from portrait3d.reposing import Reposer
from portrait3d.reposing.motion import Turn


@pytest.fixture(scope="module")
def wearer(portrait: Portrait) -> Portrait:
    """Return the astronaut with earrings."""
    return with_earrings(portrait)


def earrings_of(portrait: Portrait) -> SeeThrough:
    assert portrait.head.earrings is not None
    return portrait.head.earrings


def in_model(portrait: Portrait, worn: SeeThrough) -> np.ndarray:
    return portrait.camera_from_model.inverse().apply(torch.from_numpy(worn.vertices)).numpy()


def turned(portrait: Portrait, yaw: float) -> Portrait:
    """The portrait of a head that looks aside, by its pose alone."""
    angles = (torch.tensor(math.radians(yaw)), torch.tensor(0.0), torch.tensor(0.0))
    pose = portrait.head_crop.roll @ Pose.from_euler(*angles, portrait.crop_from_model.translation)
    vertices = portrait.head_model.vertices(portrait.coefficients.batched)[0]
    return replace(
        portrait, camera_from_model=pose, face=replace(portrait.face, vertices=pose.apply(vertices))
    )


def test_a_head_without_earrings_has_none(portrait: Portrait) -> None:
    assert portrait.earrings is None
    assert portrait.head.earrings is None
    assert "Earrings" not in portrait.head.see_through


def test_earrings_are_taken_off_the_photo(portrait: Portrait, wearer: Portrait) -> None:
    assert wearer.earrings is not None
    solid = wearer.earrings > 0.9
    before, after = (blueness(pixels)[solid].mean() for pixels in (wearer.photo.pixels, wearer.bare_pixels))
    assert before > 0.4
    assert abs(after - blueness(portrait.photo.pixels)[solid].mean()) < 0.1
    around = ndimage.binary_dilation(wearer.earrings > 0.02, iterations=6)
    assert np.array_equal(wearer.bare_pixels[~around], wearer.photo.pixels[~around])
    # The head's texture shows none of them.
    assert (blueness(wearer.head.texture) > 0.4).sum() <= (blueness(portrait.head.texture) > 0.4).sum() + 20


def test_glasses_and_earrings_are_taken_off_together(portrait: Portrait) -> None:
    both = with_earrings(with_glasses(portrait))
    assert both.glasses is not None
    assert both.earrings is not None
    for cover in (both.glasses, both.earrings):
        assert blueness(both.bare_pixels)[cover > 0.9].mean() < 0.2
    turn = Reposer(both, both.head_model).coarse_turn(HeadAngles(0.0, 0.0, 4.0))
    assert turn.worn is not None
    shown = [
        Reposer(one, one.head_model).coarse_turn(HeadAngles(0.0, 0.0, 4.0)).worn
        for one in (with_glasses(portrait), with_earrings(portrait))
    ]
    frame, drops = (one[3].numpy() for one in shown if one is not None)
    assert np.abs(turn.worn[3].numpy() - np.maximum(frame, drops)).max() < 0.3
    assert (turn.worn[3] > 0.9).sum() > 1.1 * (frame > 0.9).sum()


def test_they_hang_at_the_lobes_as_thick_as_wide(wearer: Portrait) -> None:
    points = in_model(wearer, earrings_of(wearer))
    places = lobes(wearer.head_model, wearer.camera_from_model.inverse().apply(wearer.face.vertices)).numpy()
    for side, place in zip((-1, 1), places, strict=True):
        own = points[side * points[:, 0] > 0]
        assert abs(own[:, 0].mean() - place[0]) < 5
        assert abs(own[:, 1].mean() - place[1] - 8) < 5
        assert 8 < np.ptp(own[:, 0]) < 16
        assert 18 < np.ptp(own[:, 1]) < 26
        assert abs(own[:, 2].mean() - place[2]) < 22
        assert 8 < np.ptp(own[:, 2]) < 14
    # From the side they are a body, not a line.
    alone = replace(wearer.head, hair_sheet=None)
    seen = blueness(render_view(alone, *frame_head(alone, 90, 0, 400))) > 0.3
    assert seen.any()


def test_thickness_is_that_of_a_ball_and_no_more_than_it_may() -> None:
    row, column = np.ogrid[-20:21, -20:21]
    ball = row**2 + column**2 < 8**2
    half = half_thickness(ball, 2.0)
    assert half.max() == pytest.approx(4.0, abs=0.3)
    assert half[20, 25] == pytest.approx(math.sqrt(4**2 - 2.5**2), abs=0.4)
    assert (half[~ball] == 0).all()
    assert half_thickness(np.ones((81, 81), bool), 1.0).max() == SHAPE.thickest
    for density in np.linspace(3, 6, 2000):
        assert half_thickness(ball, density)[~ball].max() == 0.0


def test_expressions_leave_earrings_alone(wearer: Portrait) -> None:
    move = np.ones((len(wearer.head_model.mean), 3), np.float32)
    assert wearer.head.displaced(move).earrings is wearer.head.earrings


def test_one_earring_stays_one_unless_the_other_ear_is_hidden(portrait: Portrait) -> None:
    single = earrings_of(with_earrings(portrait, sides=(0,)))
    assert (in_model(portrait, single)[:, 0] < 0).all()
    aside = with_earrings(turned(portrait, 50.0), sides=(0,))
    nearer = lobes(aside.head_model, aside.face.vertices)[:, 2]
    if nearer[0] > nearer[1]:
        aside = with_earrings(turned(portrait, 50.0), sides=(1,))
    points = in_model(aside, earrings_of(aside))
    left, right = points[points[:, 0] < 0], points[points[:, 0] > 0]
    assert len(left) == len(right) > 0
    flipped = right * [-1, 1, 1]
    assert np.abs(np.sort(flipped, axis=0) - np.sort(left, axis=0)).max() < 0.01


def test_turned_earrings_are_where_the_lobes_went(
    portrait: Portrait, wearer: Portrait, model: Portrait3D
) -> None:
    yaw = wearer.pose.yaw + 20.0
    turn = Turn(wearer.camera_from_model, HeadAngles(yaw, wearer.pose.pitch, wearer.pose.roll))
    places = lobes(wearer.head_model, wearer.face.vertices).double().numpy()
    moved = torch.from_numpy(turn.apply(places, np.ones(2))).float()
    at = wearer.camera.project(moved).numpy()
    blue = blueness(model.repose(wearer, yaw=yaw)) > 0.3
    # The ear that is turned to the camera.
    near = int(moved[:, 2].argmin())
    _, millimetre = hanging_place(wearer, near)
    row, column = np.nonzero(blue & (np.abs(np.arange(blue.shape[1]) - at[near, 0]) < 25 * millimetre))
    assert len(row) > 0.5 * math.pi * 5 * 10 * millimetre**2 * math.cos(math.radians(30))
    assert abs(column.mean() - at[near, 0]) < 8 * millimetre
    assert abs(row.mean() - at[near, 1] - 8 * millimetre) < 4 * millimetre


def test_files_and_cutouts_have_them(wearer: Portrait) -> None:
    assert list(wearer.head.see_through) == ["HairSheet", "Earrings"]
    assert wearer.earrings is not None
    alone = (wearer.earrings > 0.9) & (wearer.matte < 0.1)
    assert alone.sum() > 10
    assert cutout(wearer)[alone, 3].min() > 225


def test_a_wide_earring_is_flat(portrait: Portrait) -> None:
    wide = Earring((Piece((0.0, 14.0), (16.0, 16.0), 2.0, 0.0, 0, 0.0, BLUE),), 0.0, 0.0)
    points = in_model(portrait, earrings_of(with_earrings(portrait, wide, sides=(0,))))
    assert np.ptp(points[:, 2]) < 2 * SHAPE.thickest + 10
    assert DROP.behind == 0


@pytest.mark.parametrize(("hair", "middle"), [(-8.0, -8.0), (-60.0, -SHAPE.before_lobe), (30.0, 0.0)])
def test_they_hang_before_the_hair_and_never_behind_the_lobe(
    hair: float, middle: float, portrait: Portrait
) -> None:
    wearer = with_earrings(portrait, sides=(0,))
    posed = wearer._posed_vertices()
    lobe = wearer.crop_from_model.apply(lobes(wearer.head_model, torch.from_numpy(posed).float()))[0]
    front = torch.full_like(wearer.depth.front, float(lobe[2]) + hair)
    depth = replace(wearer.depth, front=front, valid=torch.ones_like(wearer.depth.valid))
    worn = replace(wearer, depth=depth)._lift_earrings(posed)
    assert worn is not None
    away = worn.vertices[:, 2] - float(lobe[2])
    assert (away.min() + away.max()) / 2 == pytest.approx(middle - SHAPE.lift, abs=1.5)


@pytest.mark.parametrize("yaw", [-88.0, 88.0])
def test_in_profile_an_earring_hangs_on_the_ear_that_is_seen(yaw: float, portrait: Portrait) -> None:
    aside = turned(portrait, yaw)
    far = int(lobes(aside.head_model, aside.face.vertices)[:, 2].argmax())
    # Where the hidden lobe would be seen; the ear before it wears it, and the other one its mirror image.
    points = in_model(aside, earrings_of(with_earrings(aside, sides=(far,))))
    assert (points[:, 0] < 0).sum() == (points[:, 0] > 0).sum() == len(points) / 2
    assert np.ptp(points[points[:, 0] < 0, 1]) > 16


def test_background_behind_an_earring_takes_nothing_of_what_filled_its_place(wearer: Portrait) -> None:
    assert wearer.earrings is not None
    free = (wearer.earrings > 0.9) & (wearer.matte == 0)
    assert free.sum() > 20
    # Skin's colours come into the background where earrings are taken off: here all of it is red.
    smeared = wearer.with_head(wearer.head)
    vars(smeared)["bare_pixels"] = wearer.photo.pixels.copy()
    smeared.bare_pixels[wearer.earrings > 0.02] = (255, 0, 0)
    layers = Reposer(smeared, wearer.head_model).layers
    window = layers.canvas.window
    behind = as_bytes(layers.clean_plate)[free[window.rows, window.columns]]
    assert np.abs(blueness(behind[None])).max() < 0.3
