"""Expressions by ARKit's names: what weights of the blendshapes do to the head model."""

import difflib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources

import numpy as np
from jaxtyping import Float

from portrait3d import arguments

ARKIT_COUNT = 52
"""The first modes of the head model's expression basis are ARKit's blendshapes; the rest have no name."""

NEUTRAL = "neutral"
"""Name of the change that takes the photo's own expression out, at 1 all of it."""
PHOTO = "photo"
"""Name of its opposite: the morph target that brings the photo's expression back to a neutral head."""


@lru_cache(maxsize=1)
def arkit_basis() -> tuple[tuple[str, ...], Float[np.ndarray, "52 V 3"]]:
    """Names of ARKit's 52 blendshapes and what each does to the bundled head model at full strength.

    Displacements are float32, mm, in the model's frame. Left and right in the names are the person's own.
    """
    source = resources.files("portrait3d") / "assets" / "head_model.npz"
    with source.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        names = tuple(arrays["expression_names"].tolist()[:ARKIT_COUNT])
        return names, arrays["expression_basis"][:ARKIT_COUNT].astype(np.float32)


def check_expressions(weights: Mapping[str, float], names: Sequence[str]) -> dict[str, float]:
    """Weights of expressions that exist.

    Raises `ValueError` for an unknown name, naming near ones, and for a weight that is not finite or outside
    `arguments.WEIGHTS`; `TypeError` for what is no mapping of names to numbers.
    """
    checked = arguments.weights(weights, "expression")
    for name in checked:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; known are {', '.join(names)}."
            raise ValueError(f"There is no expression {name!r}{hint}")
    return checked


def expression_displacement(weights: Mapping[str, float]) -> Float[np.ndarray, "V 3"]:
    """How far the bundled head model's vertices move under expressions given by ARKit's names.

    Weights are 1 at full strength and may lie outside [0, 1]. Model frame, mm. Errors as of
    `check_expressions`.
    """
    names, basis = arkit_basis()
    checked = check_expressions(weights, names)
    vector = np.array([checked.get(name, 0.0) for name in names], np.float32)
    return np.tensordot(vector, basis, axes=1)
