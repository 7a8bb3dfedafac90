"""What people of an age look like on average, in the head model's identity modes."""

import numpy as np

from portrait3d.geometry.similarity import Similarity
from portrait3d.models.head_model import HeadModel

from .anny_data import HeadTemplate
from .bases import MILLIMETRES
from .identities import AXES, macro_anchors, target_weights

YEARS = (1.0, 3.0, 6.0, 10.0, 15.0, 25.0, 45.0, 65.0, 90.0)
"""Ages to project, years."""
ANCHORS = (1.0, 10.0, 25.0, 90.0)
"""Years that MakeHuman gives its targets baby, child, young and old (`human.py`, `getAgeYears`)."""
GROWN_UP = 25.0
"""The age whose proportions are the zero that others are told from."""
CERTAIN = 2.0
"""Strength of the modes' prior: what they can't show needs no extreme coefficients."""
SHOWN = 80.0
"""y (mm) down to which the head counts: the neck's length is none of a face's proportions."""


def project_ages(template: HeadTemplate, head: HeadModel) -> dict[str, np.ndarray]:
    """The arrays `years` [K] and `identity` [K, 80]: how the average person differs from that of 25 years."""
    mean, basis = head.mean.numpy().astype(float), head.identity_basis.numpy().astype(float)
    weight = (0.1 + head.face_mask.numpy()) * (mean[:, 1] < SHOWN) * (head.part_of_vertex.numpy() == 0)
    root = np.sqrt(weight)[:, None]
    flat = (basis * root).reshape(len(basis), -1)
    hessian = flat @ flat.T / 4 + CERTAIN * np.eye(len(basis))
    face = weight > 0.5

    def identity(years: float) -> np.ndarray:
        shape = average_person(template, years) * MILLIMETRES
        placed = Similarity.between(shape[face], mean[face]).apply(shape)
        return np.linalg.solve(hessian, flat @ ((placed - mean) * root).ravel() / 4)

    grown = identity(GROWN_UP)
    found = np.stack([identity(years) - grown for years in YEARS])
    return {"years": np.array(YEARS, np.float32), "identity": found.astype(np.float32)}


def average_person(template: HeadTemplate, years: float) -> np.ndarray:
    """The mean of both genders and all ancestries at an age, in MakeHuman's frame (decimetres), [V, 3]."""
    values = dict.fromkeys(AXES, 0.5) | {"age": np.interp(years, ANCHORS, np.linspace(0, 1, len(ANCHORS)))}
    anchors = macro_anchors(values, dict.fromkeys(("african", "asian", "caucasian"), 1 / 3))
    macros = [name for name in template.targets if name.startswith("macrodetails/")]
    shape = template.vertices.astype(float)
    for name, weight in target_weights(macros, anchors).items():
        shape = shape + weight * template.dense(name)
    return shape
