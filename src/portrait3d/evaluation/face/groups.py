"""Groups of people and pictures that the face network should serve alike."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from portrait3d.data.photos.groups import groups_of
from portrait3d.data.photos.labelled import LabelledPhoto

GLASSES_CLASS, LEAST_GLASSES = 6, 0.01
"""Parsing class (of 19), and how much of the detector's box it must cover."""
LEAST_PHOTOS = 10
"""Groups with fewer photos do not count as best or worst."""


@dataclass(frozen=True, slots=True)
class GroupScores:
    """Mean errors over the photos of one group, percent and mm as in `FaceScores`."""

    by: str
    group: str
    photos: int
    nme: float
    mean_face: float
    """NME of the mean face in its best pose."""
    offline_fit: float
    shape: float
    mean_shape: float


@dataclass(frozen=True, slots=True)
class GroupRatio:
    """How evenly an error is spread over the groups of one kind."""

    by: str
    best: str
    worst: str
    nme: float
    """NME of the worst group over that of the best."""
    mean_face: float
    """The mean face's NME of the same kind: worst over best."""
    offline_fit: float


def face_groups(photo: LabelledPhoto) -> dict[str, str]:
    """The groups of a photo's person, and glasses where it has been parsed: kind of group -> group."""
    groups = groups_of(photo)
    if photo.parsing_path.is_file():
        worn = (photo.finer_parsing() == GLASSES_CLASS).sum()
        area = np.prod(photo.box[2:] - photo.box[:2])
        groups["glasses"] = "with" if worn > LEAST_GLASSES * area else "without"
    return groups


def score_groups(
    photos: Sequence[LabelledPhoto], errors: dict[str, Float[np.ndarray, " N"]]
) -> list[GroupScores]:
    """One row for every group: means of `errors`, whose names are those of `GroupScores`."""
    known = [face_groups(photo) for photo in photos]
    rows = []
    for by in dict.fromkeys(kind for groups in known for kind in groups):
        names = np.array([groups.get(by, "") for groups in known])
        for group in sorted(set(names) - {""}):
            chosen = names == group
            means = {name: float(values[chosen].mean()) for name, values in errors.items()}
            rows.append(GroupScores(by, str(group), int(chosen.sum()), **means))
    return rows


def compare_groups(rows: Sequence[GroupScores]) -> list[GroupRatio]:
    """For every kind the ratio of the worst to the best group, among groups of ten photos and more."""
    ratios = []
    for by in dict.fromkeys(row.by for row in rows):
        large = [row for row in rows if row.by == by and row.photos >= LEAST_PHOTOS]
        if len(large) < 2:
            continue
        large.sort(key=lambda row: row.nme)
        spread = {
            name: max(getattr(row, name) for row in large) / min(getattr(row, name) for row in large)
            for name in ("nme", "mean_face", "offline_fit")
        }
        ratios.append(GroupRatio(by, large[0].group, large[-1].group, **spread))
    return ratios
