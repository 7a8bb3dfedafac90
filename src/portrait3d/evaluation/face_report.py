"""Everything that can be said about the face network on labelled photos, one table for each question."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from portrait3d.data.photos import LabelledPhoto, PhotoFolder
from portrait3d.data.synthetic_faces import load_or_draw
from portrait3d.evaluation.face import angle_between, face_distance, normalised_error, predict_faces
from portrait3d.evaluation.face_colours import ColourScores, score_colours
from portrait3d.evaluation.face_groups import GroupRatio, GroupScores, compare_groups, score_groups
from portrait3d.evaluation.face_people import (
    ClipScores,
    IdentityScores,
    JitterScores,
    score_clips,
    score_identity,
    score_jitter,
)
from portrait3d.evaluation.face_reference import reference_fits
from portrait3d.evaluation.face_sheets import write_sheets
from portrait3d.evaluation.face_synthetic import SyntheticScores, score_synthetic
from portrait3d.models.face_net import FaceNet
from portrait3d.models.head_model import HeadModel


@dataclass(frozen=True, slots=True)
class FaceScores:
    """Mean errors over the photos of a folder, each beside that of the mean face in its best pose."""

    folder: str
    photos: int
    nme: float
    """Mean distance of the 68 landmarks to the teacher's over sqrt(w h) of their box, percent."""
    mean_face: float
    """The same for the mean face in the 3D pose that fits the teacher's landmarks best."""
    offline_fit: float
    """The same for the offline fits: the floor."""
    shape: float
    """Mean distance of the face's vertices to the offline fit's, in the model's frame, mm."""
    mean_shape: float
    """The same for the mean face."""
    rotation: float
    """Angle between the predicted and the offline fit's rotation, degrees."""


@dataclass(frozen=True, slots=True)
class FaceReport:
    """All tables; a table is empty where the labels don't allow it."""

    folders: list[FaceScores]
    groups: list[GroupScores]
    ratios: list[GroupRatio]
    clips: list[ClipScores]
    jitter: list[JitterScores]
    identity: list[IdentityScores]
    colours: list[ColourScores]
    synthetic: list[SyntheticScores]


def evaluate_face(
    net: FaceNet,
    data: Path | str,
    *,
    limit: int | None = None,
    research: bool = True,
    passes: int = 2,
    mirrored: bool = True,
    synthetic: int = 200,
    cache: Path | None = None,
    sheet: Path | None = None,
) -> FaceReport:
    """Score a network on the validation split below `data` and on synthetic people.

    Labels and fits come from a landmark network: the figures on photos say how well the two agree.

    Args:
        net: The network.
        data: Root of the labelled photos.
        limit: Take only so many photos, spread over the split.
        research: Include the research-only folders.
        passes: The first crop comes from the detector's box, further ones from the landmarks found.
        mirrored: Average over the last crop and its mirror image, as `Portrait3D` does.
        synthetic: Number of synthetic people, 0 for none.
        cache: Where synthetic people are kept between runs; drawing them takes about 0.1 s each.
        sheet: Write contact sheets here: see `face_sheets.write_sheets`.
    """
    folder = PhotoFolder(data, research=research, split="val")
    photos = list(folder)
    if limit is not None:
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, min(limit, len(photos))).astype(int)]
    head = HeadModel.load()
    found = predict_faces(net, head, photos, passes, mirrored=mirrored)
    fit, mean = reference_fits(net, head, photos)
    truth = np.stack([photo.landmarks for photo in photos])
    errors = {
        "nme": normalised_error(found.landmarks, truth),
        "mean_face": normalised_error(mean.landmarks, truth),
        "offline_fit": normalised_error(fit.landmarks, truth),
        "shape": face_distance(head, found.shape, fit.shape),
        "mean_shape": face_distance(head, mean.shape, fit.shape),
    }
    rotation = angle_between(found.rotation, fit.rotation).numpy()
    groups = score_groups(photos, errors)
    pairs = list(folder.clip_pairs()) if any(photo.clip for photo in photos) else []
    if sheet is not None:
        write_sheets(head, photos, found, errors["nme"], sheet)
    return FaceReport(
        folders=score_folders(photos, {**errors, "rotation": rotation}),
        groups=groups,
        ratios=compare_groups(groups),
        clips=score_clips(pairs, photos, found.rotation, fit.rotation, mean.rotation),
        jitter=score_jitter(photos, found.landmarks, truth, fit.landmarks),
        identity=score_identity(photos, found.coefficients.identity, fit.shape[:, :80]),
        colours=score_colours(head, photos, found),
        synthetic=evaluate_synthetic(net, head, synthetic, cache, passes=passes, mirrored=mirrored),
    )


def score_folders(
    photos: Sequence[LabelledPhoto], errors: dict[str, Float[np.ndarray, " N"]]
) -> list[FaceScores]:
    """One row for everything, then one a folder: means of `errors`, whose names are those of `FaceScores`."""
    folders = np.array([photo.folder for photo in photos])
    rows = []
    for name in ("all", *dict.fromkeys(folders.tolist())):
        chosen = (folders == name) | (name == "all")
        means = {key: float(value[chosen].mean()) for key, value in errors.items()}
        rows.append(FaceScores(name, int(chosen.sum()), **means))
    return rows


def evaluate_synthetic(
    net: FaceNet, head: HeadModel, count: int, cache: Path | None, *, passes: int, mirrored: bool
) -> list[SyntheticScores]:
    """Score the network on so many held-out synthetic people."""
    if count < 1:
        return []
    with tempfile.TemporaryDirectory() as directory:
        faces = load_or_draw(cache or Path(directory), count, split="val")
        return score_synthetic(net, head, faces, passes, mirrored=mirrored)
