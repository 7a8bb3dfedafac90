"""Turning the head in the photo: what must not change does not, and what must move does."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import ndimage

from portrait3d.geometry import Pose
from portrait3d.geometry.skin import HEAD_PIVOT
from portrait3d.models.head_model import HeadModel
from portrait3d.portrait import HeadAngles, Portrait
from portrait3d.reposing import Reposer, layers
from portrait3d.reposing.expression import expression_vector
from portrait3d.reposing.motion import Turn, axis_angle
from portrait3d.reposing.neck import neck_below
from portrait3d.reposing.surfaces import CropGrid
from synthetic_head import synthetic_portrait


@pytest.fixture(scope="module")
def portrait() -> Portrait:
    return synthetic_portrait()


@pytest.fixture(scope="module")
def reposer(portrait: Portrait) -> Reposer:
    return Reposer(portrait, HeadModel.load())


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
    white = torch.ones_like(turn.image)
    turned = reposer.composite(turn, white)
    probabilities = portrait.head_parsing.head_probabilities[1:].sum(0, keepdim=True)
    head = portrait.head_crop.restore(probabilities, *portrait.photo.pixels.shape[:2])[0].numpy() > 0.05
    reach = ndimage.binary_dilation(head, iterations=32)
    assert np.array_equal(turned[~reach], portrait.photo.pixels[~reach])
    assert (turned != portrait.photo.pixels).any()


def test_yaw_moves_the_face_to_the_right_of_the_picture(portrait: Portrait, reposer: Reposer) -> None:
    def face_centre(pixels: np.ndarray) -> float:
        face = np.abs(pixels.astype(int) - (220, 170, 150)).sum(axis=-1) < 12
        return float(np.nonzero(face)[1].mean())

    before = face_centre(portrait.photo.pixels)
    right = face_centre(reposer.composite(reposer.coarse_turn(HeadAngles(12.0, 0.0, 0.0))))
    left = face_centre(reposer.composite(reposer.coarse_turn(HeadAngles(-12.0, 0.0, 0.0))))
    assert left < before - 2
    assert right > before + 2
    assert right - before == pytest.approx(before - left, abs=2.0)


def test_the_refined_picture_is_used_in_holes_only(reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(15.0, 0.0, 0.0))
    plain = reposer.composite(turn)
    refined = reposer.composite(turn, torch.where(turn.holes > 0, 1.0, turn.image))
    left, top = turn.window.left, turn.window.top
    height, width = turn.window.shape
    changed = (plain != refined).any(axis=-1)[top : top + height, left : left + width]
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
    turned = small.composite(small.coarse_turn(angles))
    exact = reposer.composite(reposer.coarse_turn(angles))
    assert np.array_equal(turned[:10], portrait.photo.pixels[:10])
    assert np.abs(turned.astype(int) - exact).mean() < 6


def expression(**weights: float) -> np.ndarray:
    return expression_vector(weights, HeadModel.load().expression_names)


def test_no_expression_in_the_photos_pose_is_the_photo(portrait: Portrait, reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), np.zeros(64))
    assert turn.still
    assert np.array_equal(reposer.composite(turn), portrait.photo.pixels)


def test_an_open_jaw_shows_a_dark_mouth_that_the_hole_map_marks(portrait: Portrait, reposer: Reposer) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), expression(jawOpen=0.6))
    picture = reposer.composite(turn)
    dark = picture.astype(int).sum(axis=-1) < 240
    newly = dark & (portrait.photo.pixels.astype(int).sum(axis=-1) > 400)
    focal, principal = float(portrait.camera.focal), portrait.camera.principal.numpy()
    lips = np.array([[0.0, 46.0, 852.0]])
    x, y = (focal * lips[:, :2] / lips[:, 2:] + principal)[0]
    row, column = np.nonzero(newly)
    assert len(row) > 40
    assert column.mean() == pytest.approx(x, abs=3)
    assert y - 3 < row.mean() < y + 30
    assert turn.holes.sum() > 30
    assert turn.unknown.max() == 0  # what is drawn in the mouth is not handed to the network


def test_closed_lids_cover_the_eyes_with_skin(portrait: Portrait, reposer: Reposer) -> None:
    blink = expression(eyeBlinkLeft=1.0, eyeBlinkRight=1.0)
    inside = reposer.insides.draw(reposer.rest, reposer.modes.displacement(blink))
    front = reposer.canvas.draw(
        reposer.front_surface,
        reposer.rest,
        torch.cat([reposer.front.colour, reposer.front.alpha]),
        displacement=reposer.modes.displacement(blink),
    )
    at_rest = reposer.canvas.draw(
        reposer.front_surface, reposer.rest, torch.cat([reposer.front.colour, reposer.front.alpha])
    )
    openings = [((inside.depth < torch.inf) & (drawn.depth == torch.inf)).sum() for drawn in (at_rest, front)]
    assert openings[0] > 50
    assert openings[1] < 0.35 * openings[0]


def test_left_and_right_are_the_persons(portrait: Portrait, reposer: Reposer) -> None:
    smile = reposer.modes.displacement(expression(mouthSmileLeft=1.0))
    moved = np.linalg.norm(smile, axis=1)
    # The person's left is on the right of the picture.
    x = portrait.face.vertices[:, 0].numpy()
    assert x[moved > 0.5 * moved.max()].min() > 0


def test_pixels_away_from_the_head_stay_as_they_are_in_an_expression(
    portrait: Portrait, reposer: Reposer
) -> None:
    turn = reposer.coarse_turn(HeadAngles(0.0, 0.0, 0.0), expression(jawOpen=0.7, browInnerUp=1.0))
    picture = reposer.composite(turn, torch.ones_like(turn.image))
    probabilities = portrait.head_parsing.head_probabilities[1:].sum(0, keepdim=True)
    head = portrait.head_crop.restore(probabilities, *portrait.photo.pixels.shape[:2])[0].numpy() > 0.05
    reach = ndimage.binary_dilation(head, iterations=16)
    assert np.array_equal(picture[~reach], portrait.photo.pixels[~reach])


def test_unknown_expressions_are_refused_with_the_nearest_names() -> None:
    with pytest.raises(ValueError, match="did you mean jawOpen"):
        expression(jawOpn=0.3)
    with pytest.raises(ValueError, match="unit0"):
        expression(unit0=0.3)
    with pytest.raises(ValueError, match="finite"):
        expression(jawOpen=float("inf"))


def test_what_the_photo_saw_edge_on_fades_in_a_large_turn(reposer: Reposer) -> None:
    values = torch.cat([reposer.front.colour, torch.ones_like(reposer.front.alpha)])
    turn = Turn(reposer.portrait.camera_from_model, HeadAngles(40.0, 0.0, 0.0))
    whole = reposer.canvas.draw(reposer.front_surface, turn, values)
    faded = reposer.canvas.draw(reposer.front_surface, turn, values, sizes=reposer.front_sizes)
    share = float(faded.alpha.sum() / whole.alpha.sum())
    assert 0.5 < share < 0.97
    small = Turn(reposer.portrait.camera_from_model, HeadAngles(3.0, 0.0, 0.0))
    kept = reposer.canvas.draw(reposer.front_surface, small, values, sizes=reposer.front_sizes)
    assert float(kept.alpha.sum() / kept.shown.sum()) > 0.995


def test_the_photos_outline_lies_on_the_head_itself(portrait: Portrait, reposer: Reposer) -> None:
    """The front as drawn in the photo's own pose covers the parsed head up to its outline."""
    drawn = reposer.canvas.draw(reposer.front_surface, reposer.rest, reposer.front.planes)
    crop = portrait.head_crop
    labels = torch.from_numpy(np.isin(portrait.head_parsing.head_labels, (1, 2, 3, 4))).float()[None]
    head = crop.restore(labels, *portrait.photo.pixels.shape[:2])[0] > 0.5
    head = head[reposer.window.rows, reposer.window.columns].numpy()
    shown = drawn.shown[0].numpy() > 0
    lids_and_lips = ndimage.binary_dilation(ndimage.binary_fill_holes(shown) & ~shown, iterations=2)
    assert (head & ~shown & ~lids_and_lips).sum() < 0.005 * head.sum()


def test_the_outline_runs_on_under_the_front_so_that_no_cracks_open(
    portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cracks() -> int:
        reposer, count = Reposer(portrait, HeadModel.load()), 0
        for yaw in (-30.0, 30.0):
            turn = Turn(portrait.camera_from_model, HeadAngles(yaw, 0.0, 0.0))
            drawn = reposer.canvas.draw(reposer.front_surface, turn, reposer.front.planes)
            shown = drawn.shown[0].numpy() > 0
            count += int((ndimage.binary_closing(shown, np.ones((3, 3))) & ~shown).sum())
        return count

    overlapping = cracks()
    monkeypatch.setattr(layers, "OVERLAP", 1)
    assert overlapping < 0.8 * cracks()


def test_a_raised_chin_opens_no_gap_over_the_neck(
    portrait: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deepest() -> float:
        reposer = Reposer(portrait, HeadModel.load())
        turn = Turn(portrait.camera_from_model, HeadAngles(0.0, 15.0, 0.0))
        throat, back = (
            reposer.canvas.draw(surface, turn, reposer.front.planes, reposer.texture)
            for surface in (reposer.throat_surface, reposer.back_surface)
        )
        middle = back.depth.shape[1] // 2
        chin = int((back.depth[:, middle] < torch.inf).nonzero().max())
        seen = torch.minimum(throat.depth, back.depth)
        return float(seen[chin - 3 : chin + 12, middle - 15 : middle + 15].max())

    # The throat is seen there, neither what is behind the head nor the inside of its nape.
    assert deepest() < 920
    monkeypatch.setattr(layers, "UNDER_CHIN", 0)
    assert deepest() > 940


def test_the_neck_goes_on_down_to_where_the_photos_ends(portrait: Portrait, reposer: Reposer) -> None:
    grid = CropGrid(portrait, portrait.head_parsing.head_labels)
    end = np.array([[x, 100.0, 930.0] for x in (-40.0, 40.0)])
    row = int(grid.project(end)[:, 1].mean())
    for rows in (0, 10, 30):
        labels = np.zeros_like(grid.labels)
        labels[row - 5 : row + 1 + rows, 100:150] = 6
        below = neck_below(CropGrid(portrait, labels), end)
        expected = rows * 930.0 / float(portrait.head_crop.camera().focal)
        np.testing.assert_allclose(below, expected, atol=2.0)
    assert not neck_below(CropGrid(portrait, np.zeros_like(grid.labels)), end).any()


def test_surfaces_hold_no_vertices_of_no_triangle(reposer: Reposer) -> None:
    whole = reposer.back_surface
    part = replace(whole, faces=whole.faces[:50], hidden=whole.hidden[:50])
    trimmed = part.trimmed()
    assert sorted(set(trimmed.faces.ravel().tolist())) == list(range(len(trimmed.vertices)))
    for name in ("vertices", "follow", "uv"):
        np.testing.assert_array_equal(
            getattr(trimmed, name)[trimmed.faces], getattr(part, name)[part.faces], err_msg=name
        )
    np.testing.assert_array_equal(trimmed.binding.index[trimmed.faces], part.binding.index[part.faces])


def test_turning_repeats_exactly(portrait: Portrait, reposer: Reposer) -> None:
    angles = HeadAngles(10.0, -5.0, 3.0)
    first = reposer.coarse_turn(angles)
    again = Reposer(portrait, HeadModel.load()).coarse_turn(angles)
    assert torch.equal(first.image, again.image)
    assert torch.equal(first.holes, again.holes)
    assert np.array_equal(reposer.composite(first), reposer.composite(again))


def test_the_head_turns_about_the_neck_and_hanging_hair_lags() -> None:
    pose = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 900.0]))
    turn = Turn(pose, HeadAngles(20.0, 0.0, 0.0))
    pivot = HEAD_PIVOT + np.array([0, 0, 900.0])
    np.testing.assert_allclose(turn.apply(pivot[None]), pivot[None], atol=1e-9)
    nose = np.array([[0.0, 10.0, 835.0]])
    assert turn.apply(nose)[0, 0] > 30
    heights = np.array([[0.0, y, 900.0] for y in (0.0, 62.0, 107.0, 152.0, 300.0)])
    np.testing.assert_allclose(turn.following(heights), [1, 1, 0.5, 0, 0], atol=1e-9)
    np.testing.assert_allclose(turn.apply(nose, np.zeros(1)), nose)


def test_axis_and_angle_undo_a_rotation() -> None:
    assert axis_angle(np.eye(3)) == pytest.approx([0, 0, 0])
    angle = np.radians(30)
    about_y = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    assert axis_angle(about_y) == pytest.approx([0, angle, 0])
