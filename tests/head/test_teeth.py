"""The model's teeth: as long as the photo shows them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.evaluation.heads.teeth import teeth_share
from portrait3d.geometry.pose import Pose
from portrait3d.head.teeth import RANGE, SeenMouth, fit_teeth, row_ends, shown_teeth, teeth_of
from portrait3d.head.teeth import SIZE as MOUTH
from portrait3d.models.expressions import expression_displacement
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import Portrait
from portrait3d.rendering.rasterizer import rasterize
from synthetic_head import CAMERA, CROP, SIZE, synthetic_portrait

POSE = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 900.0]))
SKIN, TOOTH, TONGUE, DARK = (210, 160, 140), (225, 215, 200), (190, 90, 90), (40, 15, 15)
GRIN = {"jawOpen": 0.35, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5}


@pytest.fixture(scope="module")
def grin(model: HeadModel) -> np.ndarray:
    return model.mean.double().numpy() + expression_displacement(GRIN)


@pytest.fixture(scope="module")
def labels(model: HeadModel, grin: np.ndarray) -> np.ndarray:
    return classes(model, grin)


def classes(model: HeadModel, vertices: np.ndarray, pose: Pose = POSE) -> np.ndarray:
    """The classes of a photo of a face: its skin, and its open mouth."""
    screen = CAMERA.screen(pose.apply(torch.from_numpy(vertices).float()))
    seen = rasterize(screen[None], model.faces, SIZE, SIZE).face_index[0].numpy()
    names = ("upper_teeth", "lower_teeth", "tongue", "mouth_cavity")
    inner = np.isin(model.face_part.numpy()[seen], [model.part_names.index(name) for name in names])
    return np.where(inner & (seen >= 0), ParsingClass.INNER_MOUTH, ParsingClass.FACE).astype(np.uint8)


def photo(labels: np.ndarray, upper: float, lower: float, between: tuple[int, int, int]) -> np.ndarray:
    """The mouth with teeth from the upper lip down to a row, and from another one to the lower lip."""
    pixels = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    inside, row = labels == ParsingClass.INNER_MOUTH, np.arange(SIZE)[:, None]
    pixels[inside] = between
    pixels[inside & ((row < upper) | (row >= lower))] = TOOTH
    return pixels


def edges(model: HeadModel, vertices: np.ndarray) -> list[np.ndarray]:
    """The rows of the photo in which the middle of the upper and of the lower teeth's edge lie."""
    placed = CAMERA.project(POSE.apply(torch.from_numpy(vertices).float()))[:, 1].numpy()
    return [placed[row.vertices[row.edge[1:-1]]] for row in teeth_of(model)]


def fitted(model: HeadModel, grin: np.ndarray, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return fit_teeth(model, grin, POSE, CROP, pixels, labels)


def opening(labels: np.ndarray) -> tuple[int, int]:
    """The first row of the mouth's middle and the row after the last."""
    rows = np.flatnonzero(labels[:, SIZE // 2] == ParsingClass.INNER_MOUTH)
    return int(rows[0]), int(rows[-1]) + 1


def test_edges_lie_in_front_and_roots_stay(model: HeadModel) -> None:
    for row in teeth_of(model):
        place = model.mean.numpy()[row.vertices]
        assert np.ptp(row.share) == 1
        assert (row.share[row.edge] > 0.9).all()
        assert (place[row.edge, 2] < -30).all()
        assert (np.diff(row.across[row.edge]) > 0).all()
        root = place[row.share < 0.1, 1].mean()
        assert row.down * (place[row.edge, 1].mean() - root) > 12


def test_teeth_reach_as_far_as_the_photos(model: HeadModel, grin: np.ndarray, labels: np.ndarray) -> None:
    top, bottom = opening(labels)
    for upper, lower in ((top + 5, bottom), (bottom - 4, bottom), (top + 3, bottom - 3)):
        found = fitted(model, grin, photo(labels, upper, lower, DARK), labels)
        ends = edges(model, found)
        assert ends[0] == pytest.approx(upper, abs=1)
        if lower < bottom:
            assert ends[1] == pytest.approx(lower, abs=1)
        else:
            assert (ends[1] > bottom + 1).all(), "the lip hides what is not seen"


def test_teeth_from_lip_to_lip_are_the_upper_ones(model: HeadModel) -> None:
    grin = model.mean.double().numpy() + expression_displacement(GRIN | {"jawOpen": 0.2})
    labels = classes(model, grin)
    _, bottom = opening(labels)
    ends = edges(model, fitted(model, grin, photo(labels, bottom, bottom, DARK), labels))
    assert (ends[0] > bottom).all()
    assert (ends[1] > bottom).all()


def test_bright_lips_and_tongues_are_no_lower_teeth(
    model: HeadModel, grin: np.ndarray, labels: np.ndarray
) -> None:
    top, bottom = opening(labels)
    pixels = photo(labels, top + 4, bottom, DARK)
    mouth = labels == ParsingClass.INNER_MOUTH
    mouth[: bottom - 4] = False
    pixels[mouth] = (255, 170, 170)
    assert (edges(model, fitted(model, grin, pixels, labels))[1] > bottom + 1).all()


def test_a_mouth_without_teeth_keeps_the_models_upper_ones(
    model: HeadModel, grin: np.ndarray, labels: np.ndarray
) -> None:
    none = photo(labels, 0, SIZE, TONGUE)
    assert edges(model, fitted(model, grin, none, labels))[0] == pytest.approx(edges(model, grin)[0])


def test_a_closed_mouth_keeps_its_teeth(model: HeadModel, grin: np.ndarray, labels: np.ndarray) -> None:
    closed = np.full_like(labels, ParsingClass.FACE)
    assert np.array_equal(fitted(model, grin, photo(labels, 0, 0, TOOTH), closed), grin)


def test_a_few_pixels_show_no_teeth(model: HeadModel, grin: np.ndarray, labels: np.ndarray) -> None:
    few = np.full_like(labels, ParsingClass.FACE)
    _, bottom = opening(labels)
    few[bottom - 3 : bottom, SIZE // 2 - 2 : SIZE // 2 + 2] = ParsingClass.INNER_MOUTH
    assert np.array_equal(fitted(model, grin, photo(few, SIZE, SIZE, DARK), few), grin)


def test_teeth_grow_by_no_more_than_they_may(model: HeadModel) -> None:
    gaping = model.mean.double().numpy() + expression_displacement(GRIN | {"jawOpen": 0.8})
    labels = classes(model, gaping)
    way = (fitted(model, gaping, photo(labels, SIZE, SIZE, DARK), labels) - gaping)[:, 1]
    assert way.max() == pytest.approx(RANGE[1])
    assert (way[teeth_of(model)[1].vertices] >= -RANGE[1]).all()


def test_only_teeth_move_and_only_up_or_down(model: HeadModel, grin: np.ndarray, labels: np.ndarray) -> None:
    top, bottom = opening(labels)
    way = fitted(model, grin, photo(labels, top + 6, bottom, DARK), labels) - grin
    teeth = np.zeros(len(way), bool)
    for row in teeth_of(model):
        teeth[row.vertices] = True
        assert np.abs(way[row.vertices[row.share == 0]]).max() == 0
    assert not way[~teeth].any()
    assert not way[:, [0, 2]].any()


def test_a_gap_between_two_teeth_is_bridged(model: HeadModel, grin: np.ndarray, labels: np.ndarray) -> None:
    top, bottom = opening(labels)
    pixels = photo(labels, top + 6, bottom, DARK)
    whole = edges(model, fitted(model, grin, pixels, labels))[0]
    pixels[labels == ParsingClass.INNER_MOUTH] = np.where(
        (np.arange(SIZE) // 2 % 8 == 0)[None, :, None], DARK, pixels
    )[labels == ParsingClass.INNER_MOUTH]
    assert edges(model, fitted(model, grin, pixels, labels))[0] == pytest.approx(whole, abs=0.5)


def test_gums_above_and_a_dark_line_between_are_passed_over() -> None:
    inside = np.zeros((MOUTH, MOUTH), bool)
    inside[50:70, 30:90] = True
    bright = inside.copy()
    bright[:54] = bright[58:59] = bright[64:] = False
    upper, lower = row_ends(SeenMouth(CROP, inside, bright, bright))
    assert upper[60] == pytest.approx(64)
    assert lower[60] > 72
    late = inside.copy()
    late[:62] = False
    upper, lower = row_ends(SeenMouth(CROP, inside, late, late))
    assert np.isnan(upper).all(), "these begin too far down"
    assert lower[60] == pytest.approx(62)


def test_the_line_of_teeth_is_smooth_and_follows_a_curved_lip() -> None:
    row, column = np.mgrid[:MOUTH, :MOUTH]
    bottom = 80 - 0.02 * (column - 64) ** 2
    inside = (row >= 50) & (row < bottom)
    bright = inside & (row < bottom - 6 + 3 * (column % 2))
    upper, _ = row_ends(SeenMouth(CROP, inside, bright, bright))
    middle = slice(50, 79)
    assert np.abs(np.diff(upper[middle])).max() < 1.6
    assert upper[middle] == pytest.approx(bottom[0, middle] - 4.5, abs=1)


def test_the_lowest_teeth_of_a_strongly_curved_line_are_not_blurred_upwards() -> None:
    row, column = np.mgrid[:MOUTH, :MOUTH]
    bottom = 80 - 0.1 * (column - 64) ** 2
    inside = (row >= 40) & (row < bottom)
    bright = inside & (row < bottom - 5)
    upper, _ = row_ends(SeenMouth(CROP, inside, bright, bright))
    assert upper[62:67] == pytest.approx(bottom[0, 62:67] - 5, abs=1)


def test_a_dim_mouth_shows_no_teeth() -> None:
    inside = np.zeros((64, 64), bool)
    inside[28:36, 20:44] = True
    picture = np.full((3, 64, 64), 0.6)
    picture[:, inside] = 0.4
    assert not any(mask.any() for mask in shown_teeth(picture, inside))
    everything = np.ones((64, 64), bool)
    assert not any(mask.any() for mask in shown_teeth(picture, everything)), "nothing to compare with"
    picture[:, inside] = 0.8
    assert all(np.array_equal(mask, inside) for mask in shown_teeth(picture, inside))


@pytest.fixture(scope="module")
def smiling(model: HeadModel) -> Portrait:
    """A portrait with teeth from lip to lip."""
    portrait = synthetic_portrait()
    strengths = torch.tensor([(GRIN | {"jawOpen": 0.2}).get(name, 0.0) for name in model.expression_names])
    coefficients = replace(portrait.coefficients, expression=strengths)
    vertices = model.vertices(coefficients.batched)[0]
    mouth = classes(model, vertices.double().numpy(), portrait.crop_from_model) == ParsingClass.INNER_MOUTH
    planes = portrait.head_parsing.head_probabilities * torch.from_numpy(~mouth)
    planes[ParsingClass.INNER_MOUTH] = torch.from_numpy(mouth).float()
    labels, pixels = portrait.parsing.copy(), portrait.photo.pixels.copy()
    shown = portrait.head_crop.restore(torch.from_numpy(mouth)[None].float(), *labels.shape)[0].numpy() > 0.5
    labels[shown], pixels[shown] = ParsingClass.INNER_MOUTH, TOOTH
    return replace(
        portrait,
        photo=replace(portrait.photo, pixels=pixels),
        coefficients=coefficients,
        face=replace(portrait.face, vertices=portrait.camera_from_model.apply(vertices)),
        head_parsing=replace(portrait.head_parsing, labels=labels, head_probabilities=planes),
    )


def test_a_portraits_head_has_teeth_where_the_photo_has(
    smiling: Portrait, monkeypatch: pytest.MonkeyPatch
) -> None:
    share = teeth_share(smiling)
    assert share is not None
    assert share > 0.9
    monkeypatch.setattr("portrait3d.portrait.fit_teeth", lambda model, vertices, *_: vertices)
    short = teeth_share(replace(smiling))
    assert short is not None
    assert short < 0.6


def test_a_closed_mouth_has_no_share_of_teeth() -> None:
    assert teeth_share(synthetic_portrait()) is None
