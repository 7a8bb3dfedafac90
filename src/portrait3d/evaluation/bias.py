"""Whether face, parsing and quality serve all groups of people alike, on labelled photos."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool

from portrait3d.data.photos.labelled import LabelledPhoto, evenly, people_photos
from portrait3d.errors import NoFaceError
from portrait3d.evaluation.face.groups import LEAST_PHOTOS, face_groups
from portrait3d.evaluation.face.predictions import normalised_error
from portrait3d.models.fit_quality import LEAST_QUALITY, FitSigns
from portrait3d.models.head_parsing import parse_head
from portrait3d.parsing_classes import ParsingClass
from portrait3d.pipeline import Portrait3D
from portrait3d.preprocessing.image import Photo

CERTAIN = 0.5
"""Probability from which a map's pixel counts as hair, or as the person."""


@dataclass(frozen=True, slots=True)
class PhotoScores:
    """What the networks make of one photo; NaN where no face is found or a label is missing."""

    found: float
    """1 where the detector finds a face, else 0."""
    nme: float
    """Distance to the labels' landmarks, percent of face size."""
    hair: float
    """Overlap of the parsed hair with the hair map, percent of their union."""
    person: float
    """The same of all that is not background and the figure map."""
    quality: float
    """`Portrait.quality`."""
    warned: float
    """1 where that is so low that a warning follows, else 0."""


@dataclass(frozen=True, slots=True)
class GroupBias:
    """Means over the photos of one group."""

    by: str
    group: str
    photos: int
    found: float
    """Percent of the photos in which a face is found."""
    nme: float
    hair: float
    person: float
    quality: float
    warned: float
    """Percent of the photos."""


@dataclass(frozen=True, slots=True)
class WorstOverBest:
    """How evenly a measure is spread over the groups of one kind."""

    by: str
    measure: str
    best: str
    worst: str
    ratio: float
    """Error of the worst group over that of the best; of overlaps what lacks to the whole."""


@dataclass(frozen=True, slots=True)
class BiasReport:
    """Both tables."""

    groups: list[GroupBias]
    ratios: list[WorstOverBest]


def evaluate_bias(model: Portrait3D, data: Path, limit: int | None = None) -> BiasReport:
    """Score the validation photos below a root, by group; about half a second a photo on one core.

    Landmarks and maps come from other networks: what is measured is agreement with them, and where they
    serve a group badly, that shows too.
    """
    # Frames of clips are left out: many show the same few people.
    photos = [photo for photo in people_photos(data, split="val") if photo.clip is None]
    photos = evenly(photos, limit)
    groups = group_means(photos, [score_photo(model, photo) for photo in photos])
    return BiasReport(groups, list(worst_over_best(groups)))


@torch.inference_mode()
def score_photo(model: Portrait3D, photo: LabelledPhoto) -> PhotoScores:
    """What the pipeline's first stages make of a photo."""
    pixels = photo.pixels()
    nothing = float("nan")
    try:
        detections = model.detector.detect(pixels, photo.name)
    except NoFaceError:
        return PhotoScores(0.0, nothing, nothing, nothing, nothing, nothing)
    # The labelled face: the largest is sometimes somebody else's.
    middle = photo.landmarks.mean(axis=0)
    detection = min(detections, key=lambda face: np.linalg.norm(face.box.reshape(2, 2).mean(0) - middle))
    fit = model.fit_face(Photo(pixels, photo.name), detection)
    head_crop = fit.crop.head_crop()
    parsing = parse_head(model.parsing_net, pixels, head_crop)
    quality = FitSigns.of(fit, head_crop, parsing, model.head_model).quality
    hair = person = nothing
    if photo.has_maps:
        hair = overlap(parsing.labels == ParsingClass.HAIR, photo.probability("hair") > CERTAIN)
        person = overlap(parsing.labels != ParsingClass.BACKGROUND, photo.probability("figure") > CERTAIN)
    error = float(normalised_error(fit.landmarks.numpy()[None], photo.landmarks[None])[0])
    return PhotoScores(1.0, error, hair, person, quality, float(quality < LEAST_QUALITY))


def overlap(found: Bool[np.ndarray, "H W"], wanted: Bool[np.ndarray, "H W"]) -> float:
    """Intersection over union, percent; NaN if both are empty."""
    either = (found | wanted).sum()
    return 100 * float((found & wanted).sum() / either) if either else float("nan")


def group_means(photos: Sequence[LabelledPhoto], scores: Sequence[PhotoScores]) -> list[GroupBias]:
    """One row for everybody, then one for every group."""
    known = [{"everybody": "all", **face_groups(photo)} for photo in photos]
    columns = {name: np.array([getattr(one, name) for one in scores]) for name in PhotoScores.__slots__}
    rows = []
    for by in dict.fromkeys(kind for groups in known for kind in groups):
        names = np.array([groups.get(by, "") for groups in known])
        for group in sorted(set(names.tolist()) - {""}):
            chosen = names == group
            means = {name: mean_of_known(values[chosen]) for name, values in columns.items()}
            means |= {"found": 100 * means["found"], "warned": 100 * means["warned"]}
            rows.append(GroupBias(by, group, int(chosen.sum()), **means))
    return rows


def mean_of_known(values: np.ndarray) -> float:
    """The mean of what is no NaN; NaN if nothing is left."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def worst_over_best(groups: Sequence[GroupBias]) -> Iterator[WorstOverBest]:
    """For every kind of group and measure the groups that fare best and worst, of ten photos and more."""
    for by in dict.fromkeys(row.by for row in groups):
        large = [row for row in groups if row.by == by and row.photos >= LEAST_PHOTOS]
        for measure, whole in (("nme", None), ("hair", 100.0), ("person", 100.0)):
            lacking = {
                row.group: getattr(row, measure) if whole is None else whole - getattr(row, measure)
                for row in large
            }
            lacking = {group: value for group, value in lacking.items() if np.isfinite(value)}
            if len(lacking) > 1:
                best, worst = min(lacking, key=lacking.__getitem__), max(lacking, key=lacking.__getitem__)
                yield WorstOverBest(by, measure, best, worst, lacking[worst] / max(lacking[best], 1e-6))
