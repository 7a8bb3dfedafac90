"""Labels by a teacher of one's own: a Python file whose function `teach` says what a photo shows."""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from portrait3d import arguments
from portrait3d.data.photos.labelling import PhotoLabels
from portrait3d.names import in_one_line
from portrait3d.parsing_classes import ParsingClass
from portrait3d.portrait import Portrait

Teacher = Callable[[PhotoLabels, Portrait], PhotoLabels]
"""Puts labels of its own in the place of the package's."""
KINDS = ("parsing", "hair", "figure", "points")
"""What a teacher may know."""


def load_teacher(path: Path) -> Teacher:
    """The teacher in a Python file, which is run: its function `teach(portrait)` returns some of `KINDS`.

    `parsing` are classes [H, W] by `ParsingClass`, `hair` and `figure` probabilities [H, W], `points` the 468
    of MediaPipe's face mesh [468, 3], all in pixels of `portrait.photo`. What it doesn't return is the
    package's own; maps follow the parsing where it returns that alone. Raises `FileNotFoundError` or
    `ValueError` for what is no such file; the teacher raises `ValueError` for answers that can't be labels
    and when `teach` fails, naming the file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; --teacher needs a Python file.")
    spec = importlib.util.spec_from_file_location("teacher", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file (.py).")
    module = importlib.util.module_from_spec(spec)
    named = in_one_line(str(path))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{named} can't be run: {type(error).__name__}: {error}") from error
    teach = getattr(module, "teach", None)
    if not callable(teach):
        raise ValueError(f"{named} has no function teach(portrait).")

    def teacher(own: PhotoLabels, portrait: Portrait) -> PhotoLabels:
        try:
            answer = teach(portrait)
        except Exception as error:
            raise ValueError(
                f"{named} fails on {portrait.photo.name}: {type(error).__name__}: {error}"
            ) from error
        try:
            return with_answer(own, answer)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{named} on {portrait.photo.name}: {error}") from error

    return teacher


def with_answer(own: PhotoLabels, answer: object) -> PhotoLabels:
    """Labels with what a teacher answered, as `load_teacher` says.

    Raises `TypeError` or `ValueError` for answers that can't be labels.
    """
    if not isinstance(answer, Mapping):
        raise TypeError(f"teach must return a dict, got {type(answer).__name__}.")
    if unknown := [str(key) for key in answer if key not in KINDS]:
        raise ValueError(f"teach knows of {', '.join(KINDS)}, got {', '.join(unknown)}.")
    shape, changed = own.parsing.shape, {}
    if "parsing" in answer:
        classes = arguments.numbers_of(answer["parsing"], "parsing", *shape)
        if not np.isin(classes, list(ParsingClass)).all():
            raise ValueError(f"parsing must hold classes 0 to {max(ParsingClass)}.")
        changed["parsing"] = parsing = classes.astype(np.uint8)
        changed["hair"] = _as_map(parsing == ParsingClass.HAIR)
        changed["figure"] = _as_map(parsing != ParsingClass.BACKGROUND)
    for kind in ("hair", "figure"):
        if kind in answer:
            probability = arguments.numbers_of(answer[kind], kind, *shape)
            if probability.min() < 0 or probability.max() > 1:
                raise ValueError(f"{kind} must lie within 0 and 1.")
            changed[kind] = _as_map(probability)
    if "points" in answer:
        changed["points"] = arguments.numbers_of(answer["points"], "points", *own.points.shape)
    return replace(own, **changed)


def _as_map(probability: np.ndarray) -> UInt8[np.ndarray, "H W"]:
    return (255 * probability.astype(np.float64)).round().astype(np.uint8)
