"""ARKit's expressions on the head model."""

import numpy as np
import pytest
import torch

from portrait3d.models.coefficients import FaceCoefficients
from portrait3d.models.expressions import arkit_basis, expression_displacement
from portrait3d.models.head_model import HeadModel


@pytest.fixture(scope="module")
def model() -> HeadModel:
    return HeadModel.load()


def lid_gap(model: HeadModel, weights: dict[str, float]) -> dict[str, float]:
    """How far the lids of either eye stand apart, mm; sides are the picture's."""
    moved = model.mean + torch.from_numpy(expression_displacement(weights))
    points = model.landmarks(moved[None])[0]
    gap = (points[[40, 41, 46, 47], 1] - points[[38, 37, 44, 43], 1]).view(2, 2).mean(dim=1)
    return {"picture's left": float(gap[0]), "picture's right": float(gap[1])}


def test_the_model_has_arkits_expressions(model: HeadModel) -> None:
    names, basis = arkit_basis()
    assert names == model.expression_names[:52]
    assert (torch.from_numpy(basis) == model.expression_basis[:52]).all()
    assert len(set(names)) == 52
    assert list(names) == sorted(names)


def test_left_in_a_name_is_the_persons_left(model: HeadModel) -> None:
    rest, blink = lid_gap(model, {}), lid_gap(model, {"eyeBlinkLeft": 1.0})
    assert blink["picture's right"] < 0.3 * rest["picture's right"]
    assert blink["picture's left"] == pytest.approx(rest["picture's left"], abs=0.1)


def test_a_displacement_is_what_the_head_model_does(model: HeadModel) -> None:
    weights = {"jawOpen": 0.7, "mouthSmileRight": 0.4, "browInnerUp": -0.2}
    face = FaceCoefficients.neutral()
    for name, weight in weights.items():
        face.expression[0, model.expression_names.index(name)] = weight
    wanted = model.vertices(face)[0] - model.vertices(FaceCoefficients.neutral())[0]
    assert np.allclose(expression_displacement(weights), wanted.numpy(), atol=1e-4)


def test_an_unknown_expression_is_refused_with_near_names() -> None:
    with pytest.raises(ValueError, match=r"no expression 'eyeBlinkleft'; did you mean eyeBlinkLeft or"):
        expression_displacement({"eyeBlinkleft": 1.0})
    with pytest.raises(ValueError, match=r"no expression 'qqq'; known are browDownLeft"):
        expression_displacement({"qqq": 1.0})


def test_a_weight_that_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expression\['jawOpen'\] must be a finite number, got nan"):
        expression_displacement({"jawOpen": float("nan")})
