"""Everything that can be said about the face network on labelled photos, one table for each question."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from portrait3d.data.face.avatars import load_or_draw_avatars
from portrait3d.data.face.exact import ExactFaces
from portrait3d.data.face.synthetic import load_or_draw
from portrait3d.data.photos.labelled import (
    ClipPair,
    LabelledPhoto,
    PhotoFolder,
    people_photos,
    real_photo_folders,
)
from portrait3d.evaluation.face.colours import ColourScores, score_colours
from portrait3d.evaluation.face.drawn import SyntheticScores, score_synthetic
from portrait3d.evaluation.face.groups import GroupRatio, GroupScores, compare_groups, score_groups
from portrait3d.evaluation.face.people import (
    ClipScores,
    IdentityScores,
    JitterScores,
    score_clips,
    score_identity,
    score_jitter,
)
from portrait3d.evaluation.face.predictions import (
    angle_between,
    face_distance,
    normalised_error,
    predict_faces,
)
from portrait3d.evaluation.face.reference import reference_fits
from portrait3d.evaluation.face.sheets import write_sheets
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
    avatars: list[SyntheticScores]


def evaluate_face(
    net: FaceNet,
    data: Path | str,
    *,
    limit: int | None = None,
    synthetic: int = 200,
    avatars: int = 100,
    cache: Path | None = None,
    sheet: Path | None = None,
) -> FaceReport:
    """Score a network on the validation split below `data` and on drawn people.

    Labels and fits come from a landmark network: the figures on photos say how well the two agree.

    Args:
        net: The network.
        data: Root of the labelled photos.
        limit: Take only so many photos, spread over the split.
        synthetic: Number of synthetic people, 0 for none.
        avatars: Number of pictures of artist-made heads that no training sees, where `data` has `avatars/`.
        cache: Where drawn people are kept between runs; drawing them takes 0.1 to 0.2 s each.
        sheet: Write contact sheets here: see `face_sheets.write_sheets`.
    """
    photos = people_photos(Path(data), split="val")
    if limit is not None:
        photos = [photos[i] for i in np.linspace(0, len(photos) - 1, min(limit, len(photos))).astype(int)]
    head = HeadModel.load()
    found = predict_faces(net, head, photos)
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
    pairs = clip_pairs(Path(data)) if any(photo.clip for photo in photos) else []
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
        **{
            name: score_synthetic(net, head, faces) if faces else []
            for name, faces in drawn_people(Path(data), synthetic, avatars, cache).items()
        },
    )


def clip_pairs(data: Path) -> list[ClipPair]:
    """Pairs of frames of the validation split's clips."""
    return list(PhotoFolder(data, folders=real_photo_folders(data), split="val").clip_pairs())


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


def drawn_people(
    data: Path, synthetic: int, avatars: int, cache: Path | None
) -> dict[str, ExactFaces | None]:
    """So many synthetic people and artist-made heads with exact truth, of those that no training sees."""
    known = (data / "avatars" / "index.csv").is_file()
    with tempfile.TemporaryDirectory() as directory:
        kept = cache or Path(directory)
        return {
            "synthetic": load_or_draw(kept, synthetic, split="val") if synthetic else None,
            "avatars": load_or_draw_avatars(kept, data / "avatars", data, avatars, split="val")
            if avatars and known
            else None,
        }
