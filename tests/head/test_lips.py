"""The model's lips: closed where they should be, and where the photo shows them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from portrait3d.geometry import HeadPiece
from portrait3d.geometry.pose import Pose
from portrait3d.head.lips import close_lips, fit_lips, lips_of
from portrait3d.models.expressions import expression_displacement
from portrait3d.models.head_model import HeadModel
from portrait3d.parsing_classes import ParsingClass
from portrait3d.rendering.rasterizer import rasterize
from synthetic_head import CAMERA, SIZE, synthetic_portrait

POSE = Pose(torch.eye(3), torch.tensor([0.0, 0.0, 900.0]))
GRIN = {"jawOpen": 0.25, "mouthUpperUpLeft": 0.5, "mouthUpperUpRight": 0.5, "mouthSmileLeft": 0.4}


def behind_lips(model: HeadModel, vertices: np.ndarray, fine: int = 4) -> np.ndarray:
    """Where teeth, tongue and mouth are seen in the crop, at a higher resolution."""
    screen = CAMERA.screen(POSE.apply(torch.from_numpy(vertices).float())) * torch.tensor([fine, fine, 1.0])
    seen = rasterize(screen[None], model.faces, SIZE * fine, SIZE * fine).face_index[0].numpy()
    inner = [
        model.part_names.index(name) for name in ("upper_teeth", "lower_teeth", "tongue", "mouth_cavity")
    ]
    return (seen >= 0) & np.isin(model.face_part.numpy()[seen], inner)


def probabilities(opening: np.ndarray) -> torch.Tensor:
    """Classes of a crop that shows a face with that opening (at four times its resolution)."""
    share = opening.reshape(SIZE, 4, SIZE, 4).mean(axis=(1, 3))
    planes = torch.zeros(9, SIZE, SIZE)
    planes[ParsingClass.INNER_MOUTH] = torch.from_numpy(share).float()
    planes[ParsingClass.FACE] = 1 - planes[ParsingClass.INNER_MOUTH]
    return planes


def fitted(model: HeadModel, vertices: np.ndarray, planes: torch.Tensor) -> np.ndarray:
    return fit_lips(model, vertices, POSE, float(CAMERA.focal), planes)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.fixture(scope="module")
def calm(model: HeadModel) -> np.ndarray:
    return model.mean.double().numpy()


@pytest.fixture(scope="module")
def grin(calm: np.ndarray) -> np.ndarray:
    return calm + expression_displacement(GRIN)


def test_strips_run_from_corner_to_corner_of_each_lip(model: HeadModel, calm: np.ndarray) -> None:
    upper, lower = (lip.edge(calm[:, :2]) for lip in lips_of(model))
    for edge in (upper, lower):
        assert edge[0, 0] < -18
        assert edge[-1, 0] > 18
        assert (np.diff(edge[:, 0]) >= 0).all()
    assert np.interp(0, *upper.T) == pytest.approx(np.interp(0, *lower.T), abs=1.5)


def test_closed_lips_hide_what_is_behind_them(model: HeadModel, calm: np.ndarray) -> None:
    gaping = calm + expression_displacement({"jawOpen": 0.1})
    for vertices, shown in ((calm, 20), (gaping, 200)):
        assert behind_lips(model, vertices).sum() > shown
        assert behind_lips(model, close_lips(model, vertices)).sum() < 5


def test_lips_that_overlap_stay(model: HeadModel, calm: np.ndarray) -> None:
    closed = close_lips(model, calm)
    assert np.abs(close_lips(model, closed) - closed).max() < 0.3


def test_closing_moves_the_lips_alone_and_keeps_their_sides_alike(model: HeadModel, calm: np.ndarray) -> None:
    gaping = calm + expression_displacement({"jawOpen": 0.15})
    way = close_lips(model, gaping) - gaping
    assert np.abs(way[:, [0, 2]]).max() == 0
    assert np.abs(way[:, 1]).max() > 1
    assert not way[(model.ears_mask > 0) | (model.lids_mask > 0)].any()
    far = np.linalg.norm(calm - [0, 45, -48], axis=1) > 60
    assert not way[far].any()
    assert np.abs(way - way[model.mirror]).max() < 0.2


def test_lips_move_to_the_photographed_opening(model: HeadModel, calm: np.ndarray, grin: np.ndarray) -> None:
    wide = behind_lips(model, grin)
    planes = probabilities(wide)
    for start in (calm, calm + expression_displacement({"jawOpen": 0.4})):
        before, after = (overlap(behind_lips(model, v), wide) for v in (start, fitted(model, start, planes)))
        assert before < 0.5
        assert after > 0.75
    assert overlap(behind_lips(model, fitted(model, grin, planes)), wide) > 0.85


def test_a_mouth_that_the_photo_shows_closed_is_closed(model: HeadModel, grin: np.ndarray) -> None:
    closed = fitted(model, grin, probabilities(np.zeros((4 * SIZE, 4 * SIZE), bool)))
    assert behind_lips(model, grin).sum() > 1000
    assert behind_lips(model, closed).sum() < 20


def test_a_few_pixels_are_no_opening(model: HeadModel, calm: np.ndarray) -> None:
    none = probabilities(np.zeros((4 * SIZE, 4 * SIZE), bool))
    few = none.clone()
    row, column = (int(k) for k in CAMERA.project(POSE.apply(torch.tensor([[0.0, 45.0, -48.0]])))[0].flip(0))
    few[ParsingClass.INNER_MOUTH, row - 1 : row + 1, column - 2 : column + 2] = 1
    assert np.array_equal(fitted(model, calm, few), fitted(model, calm, none))
    few[ParsingClass.INNER_MOUTH, row - 2 : row + 2, column - 2 : column + 2] = 1
    assert not np.array_equal(fitted(model, calm, few), fitted(model, calm, none))


def test_what_the_lips_draw_along_follows_less_and_less(model: HeadModel, grin: np.ndarray) -> None:
    closed = fitted(model, grin, probabilities(np.zeros((4 * SIZE, 4 * SIZE), bool)))
    way = (closed - grin)[:, 1]
    away = np.abs(way[model.lips_mask.numpy() == 0])
    assert np.abs(way).max() > 3
    a, b = model.skin_faces[:, :2].T
    outside = (model.lips_mask[a] == 0) & (model.lips_mask[b] == 0)
    assert np.abs(way[a] - way[b])[outside].max() < 0.4 * away.max()


def test_the_fold_behind_the_lower_lip_stays(model: HeadModel, calm: np.ndarray) -> None:
    # If it went along with a lip that goes down it would come out of the chin.
    start = calm + expression_displacement({"jawOpen": 0.15})
    shown = behind_lips(model, start)
    way = (fitted(model, start, probabilities(shown | np.roll(shown, 16, axis=0))) - start)[:, 1]
    skin = np.unique(model.skin_faces.numpy())
    own = model.face_part.numpy() == model.part_names.index("mouth_cavity")
    fold = np.setdiff1d(model.faces.numpy()[own], skin)
    at = start[fold]
    fold = fold[(np.abs(at[:, 0]) < 12) & (at[:, 1] > 59) & (at[:, 2] < -30)]
    assert len(fold) > 4
    assert way.max() > 3
    assert way[fold].max() < 0.3 * way.max()


def test_an_opening_elsewhere_is_nobodys(model: HeadModel, calm: np.ndarray) -> None:
    wrong = np.zeros((4 * SIZE, 4 * SIZE), bool)
    wrong[40:120, 40:200] = True
    none = fitted(model, calm, probabilities(np.zeros_like(wrong)))
    assert np.array_equal(fitted(model, calm, probabilities(wrong)), none)


def test_a_neutral_head_is_the_models_and_photo_is_the_way_back() -> None:
    portrait = synthetic_portrait()
    model, names = portrait.head_model, portrait.head_model.expression_names
    strengths = torch.tensor([GRIN.get(name, 0.0) for name in names])
    grinning = replace(portrait, coefficients=replace(portrait.coefficients, expression=strengths))
    head = grinning.head
    assert head.binding is not None
    assert head.expression is not None
    neutral, at = head.neutral(), head.binding.index[:, 0]
    # Elsewhere skin is moved behind photographed hair.
    face = np.isin(head.piece, (HeadPiece.TEETH, HeadPiece.TONGUE))
    face |= (head.piece == HeadPiece.SURFACE) & (model.lips_mask.numpy()[at] > 0)
    assert np.abs(neutral.vertices - head.vertices)[face].max() > 3
    # The synthetic photo shows a closed mouth, the model's.
    closed = close_lips(model, model.mean.double().numpy())[at]
    wanted = grinning.crop_from_model.apply(torch.from_numpy(closed).float()).numpy()
    assert np.abs(neutral.vertices - wanted)[face].max() < 0.05
    assert neutral.is_neutral
    assert neutral.neutral() is neutral
    back = neutral.displaced(head.expression)
    assert np.abs(back.vertices - head.vertices).max() < 1e-3


def test_a_head_that_does_not_know_its_expression_has_no_neutral_one() -> None:
    with pytest.raises(ValueError, match="doesn't know its photo's expression"):
        replace(synthetic_portrait().head, expression=None).neutral()
