"""The closing surface and the lifted sheet meet without steps, spikes or slits."""

import numpy as np
import pytest

from portrait3d.geometry.backing import close_behind
from portrait3d.geometry.concealing import keep_behind
from portrait3d.geometry.rim import DIP, INSET, LEAD, THINNEST, deep_pixels, hair_back, meet, surface_depths
from portrait3d.geometry.sheet import Sheet, even, lift
from portrait3d.geometry.skin import FittedHead
from portrait3d.geometry.stitching import photographed
from portrait3d.geometry.tail import hair_tail
from portrait3d.models.head_model import HeadModel
from synthetic_head import SIZE, capped_head, fitted_head

FOCAL = 600.0


@pytest.fixture(scope="module")
def head() -> FittedHead:
    return fitted_head(HeadModel.load())


@pytest.fixture(scope="module")
def lock() -> Sheet:
    """A round lock of hair that hangs free, 60 pixels wide."""
    return lift(
        np.full((90, 90), 900.0), disc(90, 30), np.zeros((90, 90), bool), *hair_of(disc(90, 30)), FOCAL
    )


def disc(size: int, radius: float) -> np.ndarray:
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.hypot(x, y) < radius


def hair_of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.where(mask, 2, 0).astype(np.uint8), mask.astype(float)


def test_an_ear_that_the_photo_does_not_show_keeps_its_form_out_of_sight(head: FittedHead) -> None:
    depth, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    labels[labels == 4] = 0
    region = depth.valid.numpy() & (labels != 0)
    parsing = np.eye(9)[labels].transpose(2, 0, 1)
    shown = photographed(head, parsing)
    held = np.zeros(len(head.vertices), bool)
    held[head.faces[shown[head.faces].all(axis=1)]] = True
    sheet = np.where(region & ~np.isfinite(head.depth), depth.depth.double().numpy(), np.inf)
    closed = close_behind(head, held, sheet, labels, region)
    settled = keep_behind(head, closed, held, sheet, labels, region)

    ear = (head.ears_mask > 0.5) & (head.model_vertices[:, 0] > 0)
    edges = head.faces[ear[head.faces].all(axis=1)][:, [0, 1]]

    def lengths(vertices: np.ndarray) -> np.ndarray:
        return np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)

    assert (lengths(settled) < lengths(head.vertices) + 6.0).all()
    column, row = np.floor(head.pixels(settled[ear])).astype(int).clip(0, SIZE - 1).T
    assert (labels[row, column] != 0).mean() > 0.95
    moved = np.linalg.norm(settled - closed, axis=1)
    assert moved[held].max() < 1e-9


def test_the_sheet_is_led_smoothly_below_the_surface_that_continues_it() -> None:
    depth, behind = np.full((20, 40), 900.0), np.full((20, 40), 906.0)
    away = np.zeros((20, 40), bool)
    away[:, :5] = True
    met = meet(depth, ~away, away, behind)[10]
    assert met[5] == pytest.approx(906.0 + DIP)
    assert (met[5 + LEAD :] == 900.0).all()
    assert (np.diff(met[5:]) <= 0).all()
    assert np.abs(np.diff(met[5:])).max() < 2.0
    assert (meet(depth, ~away, away, np.full_like(depth, np.inf)) == depth).all()
    assert meet(depth, ~away, np.zeros_like(away), behind) is depth


def test_a_surfaces_depth_is_that_of_its_triangles() -> None:
    x, y = np.meshgrid(np.linspace(-80, 80, 5), np.linspace(-80, 80, 5))
    near = np.stack([x, y, 900 + 0.3 * x], axis=-1).reshape(-1, 3)
    index = np.arange(25).reshape(5, 5)
    a, b, c, d = (
        index[:-1, :-1].ravel(),
        index[:-1, 1:].ravel(),
        index[1:, :-1].ravel(),
        index[1:, 1:].ravel(),
    )
    faces = np.concatenate([np.stack([a, b, c], axis=1), np.stack([b, d, c], axis=1)])
    vertices = np.concatenate([near, near + np.array([0, 0, 50])])
    both = np.concatenate([faces, faces + 25])
    depths = surface_depths(vertices, both, FOCAL, (160, 160))
    column = (np.arange(160) + 0.5 - 80) / FOCAL
    for depth, offset, nothing in zip(depths, (0.0, 50.0), (np.inf, -np.inf), strict=True):
        expected = (900 + offset) / (1 - 0.3 * column)
        np.testing.assert_allclose(depth[80, 40:120], expected[40:120], atol=0.6)
        assert depth[0, 0] == nothing


def test_ripples_of_hair_are_evened_out_and_steps_between_layers_stay() -> None:
    y, x = np.mgrid[:60, :60]
    depth = np.where(x < 30, 900.0, 940.0) + np.where(y % 2, 1.0, -1.0)
    smooth = even(depth, np.ones((60, 60), bool))
    assert np.abs(smooth[10:50, 5:25] - 900).max() < 0.3
    assert np.abs(smooth[10:50, 35:55] - 940).max() < 0.3
    assert (smooth[10:50, 30] - smooth[10:50, 29] > 38).all()


def test_the_far_side_of_a_lock_is_thick_inside_and_closes_at_its_rim(lock: Sheet) -> None:
    far = hair_back(lock, disc(90, 30), np.zeros((90, 90), bool), lock.pixels, FOCAL)
    assert far is not None
    back, used = far
    gap = back.vertices[:, 2] - lock.vertices[used, 2]
    np.testing.assert_allclose(gap[lock.rim[used]], THINNEST, atol=1e-9)
    assert gap[~lock.rim[used]].min() > 2
    assert 18 < gap.max() < 26
    assert set(used) == set(range(len(lock.vertices)))  # no vertex of the rim is left open


def test_surfaces_behind_the_rim_of_hair_take_their_colours_from_well_inside(lock: Sheet) -> None:
    hair = disc(90, 30)
    pixels = deep_pixels(lock, hair)
    radius = np.hypot(*(pixels - 45).T)
    assert radius.max() < 30 - INSET + 2
    inner = np.hypot(*(lock.pixels - 45).T) < 30 - INSET - 2
    np.testing.assert_array_equal(pixels[inner], lock.pixels[inner])
    thread = np.zeros((90, 90), bool)
    thread[45] = True
    assert deep_pixels(lock, thread) is lock.pixels


def test_the_neck_does_not_stand_out_beside_the_one_in_the_photo(head: FittedHead) -> None:
    depth, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    column = np.arange(SIZE)
    middle = head.pixels(head.to_camera(np.zeros((1, 3))))[0, 0]
    labels[(labels == 6) & (column > middle + 12)] = 0
    held = np.zeros(len(head.vertices), bool)
    settled = keep_behind(
        head, head.vertices, held, np.full((SIZE, SIZE), np.inf), labels, depth.valid.numpy()
    )
    neck = np.isin(np.arange(len(held)), head.faces) & (head.model_vertices[:, 1] > 100)

    def standing_out(vertices: np.ndarray) -> float:
        x, y = np.floor(head.pixels(vertices[neck])).astype(int).clip(0, SIZE - 1).T
        return float((labels[y, x] == 0).mean())

    assert standing_out(head.vertices) > 0.2
    assert standing_out(settled) < 0.05


def test_hanging_hair_falls_from_the_back_of_the_head_without_a_crease(head: FittedHead) -> None:
    labels = np.zeros((SIZE, SIZE), np.uint8)
    middle = int(head.pixels(head.to_camera(np.zeros((1, 3))))[0, 0])
    labels[60:230, middle - 70 : middle - 35] = 2
    labels[60:230, middle + 35 : middle + 70] = 2
    hair = labels == 2
    sheet = lift(np.full(hair.shape, 900.0), hair, ~hair & False, *hair_of(hair), head.focal)
    _, far = surface_depths(head.vertices, head.faces, head.focal, hair.shape)
    found = hair_tail(head, sheet, labels, hair, far)
    assert found is not None
    points, column = found
    back = points[:, points.shape[1] // 2]
    skull = np.nanmax(np.where(np.isfinite(far[:, middle]), far[:, middle], np.nan))
    assert back[0, 2] == pytest.approx(skull, abs=4.0)
    slope = np.gradient(back[:, 2]) / np.gradient(back[:, 1])
    hanging = back[:, 1] < back[-1, 1] - 60
    assert np.abs(slope[hanging]).max() < 0.3  # it never follows the skull in toward the nape
    assert column.min() > middle - 70
    assert column.max() < middle + 70
    assert hair_tail(head, sheet, labels, hair & (np.arange(SIZE) < middle), far) is None


def test_ears_under_hair_sink_with_what_is_around_them(head: FittedHead) -> None:
    _, parsing, _ = capped_head(head)
    labels = parsing.argmax(axis=0).astype(np.uint8)
    beside = np.abs(np.arange(SIZE) - head.pixels(head.to_camera(np.zeros((1, 3))))[0, 0]) > 55
    labels[np.isin(labels, (3, 4)) | (beside & (labels != 0))] = 2
    hair = labels == 2
    sheet = np.where(hair, 880.0, np.inf)
    held = np.zeros(len(head.vertices), bool)
    closed = close_behind(head, held, sheet, labels, labels != 0)
    settled = keep_behind(head, closed, held, sheet, labels, labels != 0)
    ear = head.ears_mask > 0.3
    around = (head.ears_mask > 0.005) & ~ear
    for side in (-1, 1):
        own = side * head.model_vertices[:, 0] > 0
        assert (side * settled[ear & own, 0]).max() < (side * settled[around & own, 0]).max() + 8.0
