"""One person in several photos: do rotation, landmarks and identity agree from photo to photo?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from portrait3d.data.photos.labelled import ClipPair, LabelledPhoto, pairs_by_clip
from portrait3d.evaluation.face.predictions import angle_between, extent

LONGEST_SPAN = 12
"""Frames of a clip that three pictures may be apart and still count as consecutive."""


@dataclass(frozen=True, slots=True)
class ClipScores:
    """How well the rotation between two frames of a clip is found, degrees."""

    clip: str
    pairs: int
    rotation: float
    """Mean angle between the two frames by the labels."""
    error: float
    """Mean angle between the network's relative rotation and that of the offline fits."""
    mean_face: float
    """The same for the mean face in its best pose."""
    error_of_labels: float
    """Mean difference between the network's angle and the labels'."""


@dataclass(frozen=True, slots=True)
class JitterScores:
    """How much landmarks tremble over consecutive frames, percent of face size.

    Mean distance of a frame's landmarks from the straight line between the frames before and after it: half
    the second difference, for frames at equal steps.
    """

    clip: str
    frames: int
    network: float
    teacher: float
    offline_fit: float


@dataclass(frozen=True, slots=True)
class IdentityScores:
    """Whether identity coefficients tell people apart: area under the ROC curve of their cosine."""

    photos: str
    same: int
    """Pairs of photos of one person."""
    different: int
    auc: float
    offline_fit: float
    """The same for the identity coefficients of the offline fits."""


def score_clips(
    pairs: Sequence[ClipPair],
    photos: Sequence[LabelledPhoto],
    found: Float[Tensor, "N 3 3"],
    fitted: Float[Tensor, "N 3 3"],
    plain: Float[Tensor, "N 3 3"],
) -> list[ClipScores]:
    """One row for every clip: rotations in the photos by the network, the offline fits and the mean face."""
    row_of = {photo.name: k for k, photo in enumerate(photos)}
    pairs = [pair for pair in pairs if pair.first.name in row_of and pair.second.name in row_of]
    scores = []
    for clip, own in pairs_by_clip(pairs).items():
        first = [row_of[pair.first.name] for pair in own]
        second = [row_of[pair.second.name] for pair in own]
        ours, theirs, mean = (r[second] @ r[first].transpose(1, 2) for r in (found, fitted, plain))
        labels = torch.tensor([math.degrees(pair.rotation) for pair in own])
        turned = angle_between(ours, torch.eye(3).expand_as(ours))
        scores.append(
            ClipScores(
                clip=clip,
                pairs=len(own),
                rotation=float(labels.mean()),
                error=float(angle_between(ours, theirs).mean()),
                mean_face=float(angle_between(mean, theirs).mean()),
                error_of_labels=float((turned - labels).abs().mean()),
            )
        )
    return scores


def score_jitter(
    photos: Sequence[LabelledPhoto],
    found: Float[np.ndarray, "N 68 2"],
    truth: Float[np.ndarray, "N 68 2"],
    fitted: Float[np.ndarray, "N 68 2"],
) -> list[JitterScores]:
    """One row for every clip with three frames close to each other."""
    scores = []
    for clip in dict.fromkeys(photo.clip for photo in photos if photo.clip):
        rows = sorted((photo.frame or 0, k) for k, photo in enumerate(photos) if photo.clip == clip)
        frame, row = np.array(rows).T
        middle = np.flatnonzero(frame[2:] - frame[:-2] <= LONGEST_SPAN) + 1
        if not len(middle):
            continue
        share = (frame[middle] - frame[middle - 1]) / (frame[middle + 1] - frame[middle - 1])
        triples = [row[middle + step] for step in (-1, 0, 1)]
        trembles = [tremble(points, triples, share) for points in (found, truth, fitted)]
        size = extent(truth[row[middle]])
        scores.append(JitterScores(str(clip), len(middle), *(float((t / size).mean()) for t in trembles)))
    return scores


def tremble(
    points: Float[np.ndarray, "N 68 2"], triples: list[np.ndarray], share: Float[np.ndarray, " M"]
) -> Float[np.ndarray, " M"]:
    """Mean distance (hundredths of a pixel) of landmarks from the line between two other frames' landmarks.

    `triples` are the rows of the frames before, now and after; `share` is where now lies between them.
    """
    before, now, after = (points[rows] for rows in triples)
    expected = before + share[:, None, None] * (after - before)
    return 100 * np.linalg.norm(now - expected, axis=-1).mean(1)


def score_identity(
    photos: Sequence[LabelledPhoto], found: Float[Tensor, "N 80"], fitted: Float[Tensor, "N 80"]
) -> list[IdentityScores]:
    """One row for all pairs of photos, then one for the pairs within every folder."""
    people = np.array([photo.person for photo in photos])
    folders = np.array([photo.folder for photo in photos])
    first, second = np.triu_indices(len(photos), 1)
    same = people[first] == people[second]
    cosines = [pair_cosines(identity)[first, second] for identity in (found, fitted)]
    scores = []
    for name in ("all", *dict.fromkeys(folders.tolist())):
        chosen = np.full(len(first), True)
        if name != "all":
            chosen = (folders[first] == name) & (folders[second] == name)
        count = int((same & chosen).sum())
        if 0 < count < chosen.sum():
            areas = [ranking_area(cosine[chosen], same[chosen]) for cosine in cosines]
            scores.append(IdentityScores(name, count, int(chosen.sum()) - count, *areas))
    return scores


def pair_cosines(identity: Float[Tensor, "N 80"]) -> Float[np.ndarray, "N N"]:
    """Cosines between all pairs of identities, each coefficient in units of its spread about its mean."""
    standard = (identity - identity.mean(0)) / identity.std(0).clamp_min(1e-6)
    unit = torch.nn.functional.normalize(standard, dim=1)
    return (unit @ unit.T).numpy()


def ranking_area(score: Float[np.ndarray, " N"], positive: np.ndarray) -> float:
    """Area under the ROC curve: how often a positive scores higher than a negative; NaN if undefined."""
    count = int(positive.sum())
    if not 0 < count < len(positive):
        return math.nan
    _, inverse, ties = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(ties) - (ties - 1) / 2)[inverse]
    return float((rank[positive].sum() - count * (count + 1) / 2) / (count * (len(positive) - count)))
